"""The `jaxlm` command: finds the verb and turns errors into messages and exit statuses.

Exit status: 0 done; 1 failed at run time; 2 bad input or configuration; 3 a verification found
damage; 75 asked to stop, saved, run again; 76 the numbers went bad; 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence

from jaxlm import __version__
from jaxlm.errors import JaxlmError, StoppedError

VERBS = {
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
        return importlib.import_module(f"jaxlm.commands.{verb}").main(rest)

    return run_guarded(command)


def run_guarded(command: Callable[[], int]) -> int:
    """Runs a command; an expected error becomes a message and an exit status, no traceback."""
    signal.signal(signal.SIGTERM, _terminate)
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


def _terminate(number: int, frame: object) -> None:
    # Not an Exception: nothing on the way may take it for a failure of its own.
    print("jaxlm: asked to stop; the same command starts again where it can", file=sys.stderr)
    raise SystemExit(StoppedError.exit_status)


if __name__ == "__main__":
    sys.exit(main())
