"""From command-line arguments and YAML files to a configuration: defaults < file < flags."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
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
    size = _size(arguments) or data.get("size", "tiny")
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


def write_now(text: str) -> None:
    """Shows text that goes on, without waiting for its line to end."""
    print(text, end="", flush=True)


def _size(arguments: Sequence[str]) -> str | None:
    """The last --size, as the parser takes it."""
    found = None
    for position, argument in enumerate(arguments):
        if argument.startswith("--size="):
            found = argument.removeprefix("--size=")
        if argument == "--size" and position + 1 < len(arguments):
            found = arguments[position + 1]
    return found


def _fields(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
