"""The errors that jaxlm raises on purpose, each with the exit status of the command line."""

from __future__ import annotations

from collections.abc import Sequence


class JaxlmError(Exception):
    """Base class: a failure that has a clear message and needs no traceback."""

    exit_status = 1


class InputError(JaxlmError):
    """Bad input or configuration. Holds every problem found, not only the first.

    Args:
      problems: one message or several; each names the field, file or argument, its value, and
        the way out.
    """

    exit_status = 2

    def __init__(self, problems: str | Sequence[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DamageError(JaxlmError):
    """A verification found stored bytes that differ from what was written."""

    exit_status = 3


class StoppedError(JaxlmError):
    """Asked to stop; the state was saved and the same command continues the run.

    Args:
      message: what was saved.
      interrupted: by a person (Ctrl-C) rather than by the system.
    """

    exit_status = 75

    def __init__(self, message: str, *, interrupted: bool = False):
        super().__init__(message)
        if interrupted:
            self.exit_status = 130


class NonFiniteError(JaxlmError):
    """The numbers went bad: too many steps in a row with a non-finite loss or gradient."""

    exit_status = 76
