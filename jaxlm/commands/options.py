"""From command-line arguments and YAML files to a configuration: defaults < file < flags."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, get_args

import tyro

from jaxlm.errors import InputError
from jaxlm.training.config import RunConfig, Size, problems, reference
from jaxlm.training.config_file import from_dict, read_yaml, to_dict

T = TypeVar("T")


def parse_run(arguments: Sequence[str], *, program: str, description: str) -> RunConfig:
    """The configuration of a training command.

    `--size` chooses the defaults, then a YAML file given first overrides them, then flags, which
    may also be written as `training.steps=500`.

    Raises:
      InputError: everything that is wrong with the configuration, together.
      SystemExit: with 2 for flags that cannot be parsed, with 0 after `--help`.
    """
    known = set(_fields(to_dict(RunConfig())))
    arguments = [
        f"--{argument}" if argument.partition("=")[0] in known and "=" in argument else argument
        for argument in arguments
    ]
    found: list[str] = []
    data: dict[str, Any] = {}
    if arguments and arguments[0].endswith((".yaml", ".yml")):
        data, where = read_yaml(arguments[0]), arguments[0]
        arguments = arguments[1:]
    size = flag_value(arguments, "--size") or data.get("size", "tiny")
    default = reference(size if size in get_args(Size) else "tiny")  # type: ignore[arg-type]
    if data:
        default, found = from_dict(data, default, where=where)
    try:
        config = parse(
            RunConfig,
            arguments,
            tyro.conf.FlagConversionOff,  # booleans take a value, as in the file
            program=program,
            description=description,
            default=default,
        )
    except SystemExit as error:
        if error.code and found:
            print("\n".join(found), file=sys.stderr)
        raise
    if "--corpus" in arguments and not config.corpus:
        found.append("--corpus: is empty; leave it out for the default corpus, or name files")
    found += problems(config)
    if found:
        raise InputError(found)
    return config


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


def _fields(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
