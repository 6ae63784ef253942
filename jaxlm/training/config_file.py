"""Configurations as plain dictionaries and YAML: reading, checking, comparing."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from jaxlm.errors import InputError

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as nested dictionaries of YAML's own types."""
    return {
        field.name: to_dict(value)
        if dataclasses.is_dataclass(value := getattr(config, field.name))
        else list(value)
        if isinstance(value, tuple)
        else value
        for field in dataclasses.fields(config)
    }


def from_dict(data: Any, default: T, *, where: str) -> tuple[T, list[str]]:
    """Overrides fields of `default` by those of `data`.

    Args:
      data: nested dictionaries; fields may be missing.
      default: a configuration.
      where: name of the file, for messages.

    Returns:
      (configuration, problems): every unknown key with the nearest known one, every wrong type.
    """
    problems: list[str] = []
    return _override(data, default, where, "", problems), problems


def read_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
      InputError: if the file cannot be read or is not a mapping.
    """
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise InputError(f"{path}: must hold a mapping of keys to values")
    return data


def to_yaml(config: Any) -> str:
    """A configuration as YAML text."""
    return yaml.safe_dump(to_dict(config), sort_keys=False, allow_unicode=True)


def differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Lines `field: old -> new` for every field that differs between two dictionaries."""
    found = []
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"{prefix}{name}: {before!r} in the run, {after!r} asked for")
    return found


def _override(data: Any, default: Any, where: str, prefix: str, problems: list[str]) -> Any:
    if not isinstance(data, dict):
        problems.append(f"{where}: {prefix.rstrip('.')} must be a mapping, got {data!r}")
        return default
    hints = typing.get_type_hints(type(default))
    changes = {}
    for key, value in data.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1, cutoff=0.0)
            problems.append(f"{where}: unknown key {prefix}{key}; the nearest is {prefix}{near[0]}")
            continue
        current = getattr(default, key)
        if dataclasses.is_dataclass(current):
            changes[key] = _override(value, current, where, f"{prefix}{key}.", problems)
            continue
        try:
            changes[key] = _convert(value, hints[key])
        except ValueError as error:
            problems.append(f"{where}: {prefix}{key}: {error}, got {value!r}")
    return dataclasses.replace(default, **changes)


def _convert(value: Any, hint: Any) -> Any:
    """The value in the type of a field, or ValueError that says what the field takes."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(value, next(a for a in arguments if a is not type(None)))
    if origin is typing.Literal:
        if value not in arguments:
            raise ValueError(f"must be one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        try:
            if not isinstance(value, list | tuple):
                raise ValueError
            return tuple(_convert(one, arguments[0]) for one in value)
        except ValueError:
            name = "numbers" if arguments[0] in (int, float) else "texts"
            raise ValueError(f"must be a list of {name}") from None
    if hint is float and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-3 as a text
        except (TypeError, ValueError, OverflowError):
            raise ValueError("must be a number") from None
    if type(value) is not hint:
        name = {int: "a whole number", bool: "true or false", str: "a text"}.get(hint, str(hint))
        raise ValueError(f"must be {name}")
    return value
