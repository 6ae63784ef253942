"""The `jaxlm` command: finds the verb and turns errors into messages and exit statuses.

Exit status: 0 done; 1 failed at run time; 2 bad input or configuration; 3 a verification found
damage; 75 asked to stop, saved, run again; 76 the numbers went bad; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from jaxlm import __version__
from jaxlm.errors import JaxlmError, StoppedError

VERBS = {
    "data": "collect, clean, deduplicate and tokenise a corpus, stage by stage",
    "tokenizer": "train a tokenizer, compare several, show the pieces of a text",
    "train": "train a decoder on a corpus, or continue a run",
    "evaluate": "score a trained model on text",
    "generate": "continue a prompt",
    "chat": "talk with a trained model",
    "plan": "print the reference table, or the size and memory of a configuration",
    "report": "write the report of a run again",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a verb; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] in ("--version", "-V"):
        print(f"jaxlm {__version__}")
        return 0
    if not arguments or arguments[0] in ("--help", "-h"):
        width = max(map(len, VERBS))
        print("usage: jaxlm VERB [options]\n\nverbs:")
        for verb, text in VERBS.items():
            print(f"  {verb:<{width}}  {text}")
        print("\nexample: jaxlm train --corpus my_texts/ --run runs/mine")
        print("`jaxlm VERB --help` lists the options of a verb.")
        return 0 if arguments else 2
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        import difflib

        near = difflib.get_close_matches(verb, VERBS, n=1, cutoff=0.0)[0]
        print(
            f"jaxlm: unknown verb {verb!r}; the nearest is {near!r}. Known are {', '.join(VERBS)}",
            file=sys.stderr,
        )
        return 2

    def command() -> int:
        with _signals_held():  # an extension module that is interrupted while it loads is broken
            module = importlib.import_module(f"jaxlm.commands.{verb}")
        return module.main(rest)

    return run_guarded(command)


def run_guarded(command: Callable[[], int]) -> int:
    """Runs a command; an expected error becomes a message and an exit status, no traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    _hide_late_writes()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack characters of a text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = command()
        sys.stdout.flush()
        return status
    except JaxlmError as error:
        print(f"jaxlm: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("jaxlm: interrupted; the same command starts again where it can", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone; Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"jaxlm: {where}{error.strerror or error}; check the path, its permissions and the "
            "free space, then give the same command again",
            file=sys.stderr,
        )
        return 1
    except MemoryError:
        print("jaxlm: out of memory; try a smaller --training.batch-size", file=sys.stderr)
        return 1


def _hide_late_writes() -> None:
    """Hides the tracebacks of storage threads whose save has already failed and been reported."""

    def is_late(error: BaseException | None) -> bool:
        return isinstance(error, RuntimeError) and str(error) == "Event loop is closed"

    show, show_unraisable = sys.excepthook, sys.unraisablehook
    sys.excepthook = lambda kind, error, trace: None if is_late(error) else show(kind, error, trace)
    sys.unraisablehook = lambda about: None if is_late(about.exc_value) else show_unraisable(about)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Delivers SIGINT and SIGTERM only after the block (where the system can hold them)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stop(number: int, frame: FrameType | None) -> None:
    if frame is not None and frame.f_code.co_name == "_xla_gc_callback":
        # Python drops what is raised during garbage collection: ask again in a moment.
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        return
    # Not an Exception: nothing on the way may take it for a failure of its own.
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    print("jaxlm: asked to stop; the same command starts again where it can", file=sys.stderr)
    raise SystemExit(StoppedError.exit_status)


def entry(arguments: Sequence[str] | None = None) -> None:
    """`main` as a whole process: leaves even if a storage thread still waits for a failed save."""
    leave(main(arguments))


def leave(status: int) -> None:
    """Ends the process with an exit status."""
    waiting = [
        thread
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not thread.daemon
    ]
    if status and waiting:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    entry()
