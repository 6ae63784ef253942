"""What all commands share: flags to a dataclass, actions of a verb, text that is shown at once."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import tyro

from jaxlm.data.reading import OptionNames

T = TypeVar("T")

READING = OptionNames("--corpus", "--text-field", "--encoding", "with --on-error skip")
"""How the flags of commands that read a corpus are called in messages."""


def parse(
    kind: type[T],
    arguments: Sequence[str],
    *markers: Any,
    program: str,
    description: str,
    default: T | None = None,
) -> T:
    """A dataclass from flags, with help and suggestions by tyro; `markers` are `tyro.conf`'s."""
    given: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(
        kind,
        args=list(arguments),
        prog=program,
        description=description,
        config=(tyro.conf.HelptextFromCommentsOff, *markers),
        **given,
    )


def run_action(
    program: str,
    description: str,
    actions: Mapping[str, Callable[[Sequence[str]], int]],
    arguments: Sequence[str],
) -> int:
    """Runs the action that the first argument names; returns the exit status."""
    if not arguments or arguments[0] in ("--help", "-h"):
        print(f"usage: {program} ACTION [options]\n\n{description}", end="")
        return 0 if arguments else 2
    if arguments[0] not in actions:
        near = difflib.get_close_matches(arguments[0], actions, n=1, cutoff=0.0)[0]
        print(
            f"{program}: unknown action {arguments[0]!r}; the nearest is {near!r}. Known are "
            f"{', '.join(actions)}",
            file=sys.stderr,
        )
        return 2
    return actions[arguments[0]](arguments[1:])


def write_now(text: str) -> None:
    """Shows text that goes on, without waiting for its line to end."""
    print(text, end="", flush=True)


def flag_value(arguments: Sequence[str], flag: str) -> str | None:
    """The last value of a flag, as the parser takes it, for what is needed before parsing."""
    found = None
    for position, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            found = argument.removeprefix(f"{flag}=")
        if argument == flag and position + 1 < len(arguments):
            found = arguments[position + 1]
    return found
