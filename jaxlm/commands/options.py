"""From command-line arguments and YAML files to a configuration: defaults < file < flags."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, TypeVar, get_args

import tyro

from jaxlm.errors import InputError
from jaxlm.training.config import RunConfig, Size, problems, reference
from jaxlm.training.config_file import from_dict, read_yaml

T = TypeVar("T")


def parse_run(arguments: Sequence[str], *, program: str, description: str) -> RunConfig:
    """The configuration of a training command.

    `--size` chooses the defaults, then a YAML file given first overrides them, then flags, which
    may also be written as `training.steps=500`.

    Raises:
      InputError: everything that is wrong with the configuration, together.
      SystemExit: with 2 for flags that cannot be parsed, with 0 after `--help`.
    """
    arguments = [re.sub(r"^([a-z][\w.]*)=", r"--\1=", argument) for argument in arguments]
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
            RunConfig, arguments, program=program, description=description, default=default
        )
    except SystemExit as error:
        if error.code and found:
            print("\n".join(found), file=sys.stderr)
        raise
    found += problems(config)
    if found:
        raise InputError(found)
    return config


def parse(
    kind: type[T],
    arguments: Sequence[str],
    *,
    program: str,
    description: str,
    default: T | None = None,
) -> T:
    """A dataclass from flags, with help and suggestions by tyro."""
    given: dict[str, Any] = {} if default is None else {"default": default}
    return tyro.cli(
        kind,
        args=list(arguments),
        prog=program,
        description=description,
        config=(tyro.conf.FlagConversionOff, tyro.conf.HelptextFromCommentsOff),
        **given,
    )


def _size(arguments: Sequence[str]) -> str | None:
    for position, argument in enumerate(arguments):
        if argument.startswith("--size="):
            return argument.removeprefix("--size=")
        if argument == "--size" and position + 1 < len(arguments):
            return arguments[position + 1]
    return None
