"""`jaxlm data show`, `report` and `verify`: looking at what the stages wrote."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from jaxlm.commands.options import parse
from jaxlm.data.documents import to_line
from jaxlm.data.prepare import open_prepared
from jaxlm.data.stages import MANIFEST, read_manifest
from jaxlm.data.store import open_store
from jaxlm.errors import DamageError, InputError
from jaxlm.evaluation.data_report import write_data_report


@dataclasses.dataclass(frozen=True)
class Show:
    """Arguments of `jaxlm data show`."""

    store: Annotated[str, tyro.conf.Positional]
    """A folder that collect, clean or deduplicate wrote."""
    count: int = 3
    """How many documents."""
    skip: int = 0
    """Leave out this many first."""
    json: bool = False
    """One line of JSON for each document."""


def show(arguments: Sequence[str]) -> int:
    """Prints documents of a store."""
    options = parse(
        Show,
        arguments,
        program="jaxlm data show",
        description="Print documents.\n\nExample: jaxlm data show line/clean --count 2",
    )
    if options.count < 0 or options.skip < 0:
        raise InputError(f"--count {options.count} --skip {options.skip}: neither must be negative")
    documents = open_store(options.store).documents()
    for document in itertools.islice(documents, options.skip, options.skip + options.count):
        if options.json:
            print(to_line(document).decode(), end="")
            continue
        about = json.dumps(dict(document.metadata), ensure_ascii=False)
        print(f"=== {document.source} {document.identifier} {about}\n{document.text}\n")
    return 0


@dataclasses.dataclass(frozen=True)
class Report:
    """Arguments of `jaxlm data report`."""

    stages: Annotated[tuple[str, ...], tyro.conf.Positional]
    """The folders of the stages, in their order."""
    output: str = "report.html"
    """The page."""


def report(arguments: Sequence[str]) -> int:
    """Writes the page of a line."""
    options = parse(
        Report,
        arguments,
        program="jaxlm data report",
        description="Write an HTML page of what the stages did.\n\n"
        "Example: jaxlm data report line/collect line/clean line/unique --output report.html",
    )
    if not options.stages:
        raise InputError("name the folders of the stages, such as line/collect line/clean")
    path = write_data_report(list(map(_stage, options.stages)), Path(options.output))
    print(f"report: {path}")
    return 0


@dataclasses.dataclass(frozen=True)
class Verify:
    """Arguments of `jaxlm data verify`."""

    stages: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Folders that stages wrote, also the prepared data of tokenize and build."""


def verify(arguments: Sequence[str]) -> int:
    """Compares every file with its checksum; damage ends with status 3."""
    options = parse(
        Verify,
        arguments,
        program="jaxlm data verify",
        description="Compare every file with its checksum.\n\n"
        "Example: jaxlm data verify line/collect line/clean line/tokens",
    )
    if not options.stages:
        raise InputError("name the folders of the stages, such as line/collect line/clean")
    console = Console()
    damaged = []
    for stage in map(_stage, options.stages):
        try:
            if stage.name == "tokens" and (stage.parent / MANIFEST).is_file():
                open_prepared(stage.parent)  # its tokenizer as well
            manifest = read_manifest(stage, verify=True)
        except DamageError as error:
            damaged.append(str(error))
            continue
        files = sum(len(shard["files"]) for shard in manifest["shards"])
        console.print(
            f"{stage}: {manifest['stage']}, {files:,} files as they were written",
            highlight=False,
            soft_wrap=True,
        )
    if damaged:
        raise DamageError("\n".join(damaged))
    return 0


def _stage(folder: str) -> Path:
    """The folder of a stage; that of the tokens, if it is prepared data."""
    tokens = Path(folder, "tokens")
    return tokens if (tokens / MANIFEST).is_file() else Path(folder)
