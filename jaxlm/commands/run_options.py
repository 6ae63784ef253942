"""From command-line arguments and YAML files to a run: defaults < file < flags."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import tyro

from jaxlm.commands.options import flag_value, parse
from jaxlm.errors import InputError
from jaxlm.training.config import RunConfig, Size, problems, reference
from jaxlm.training.config_file import from_dict, read_yaml, to_dict


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


def _fields(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted names of all fields."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"
