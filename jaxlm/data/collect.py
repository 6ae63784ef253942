"""The first stage of the data line: from any sources to a store of documents."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxlm.data.cleaning.balance import count, source_group
from jaxlm.data.documents import Document
from jaxlm.data.reading import DocumentCounts, Reading, ReadSettings
from jaxlm.data.sources import find_inputs, no_text, read_inputs
from jaxlm.data.stages import Engine, Progress, Unit, in_process, run_stage
from jaxlm.data.store import write_shard
from jaxlm.errors import InputError

_SOURCES = 1000  # that are told apart in the statistics of a unit
_FOUND = ("ignored_files", "repeated_files", "skipped", "problems")


def collection_units(
    corpus: Sequence[str],
    *,
    target_bytes: int | None = None,
    settings: ReadSettings = ReadSettings(),  # noqa: B008 (frozen)
) -> list[Unit]:
    """Divides a corpus into units of work, the same for the same files.

    Files are grouped in order until they have `target_bytes`; one file is never divided. A named
    data set and the embedded corpus are a unit each. What was found on the way (files that are
    ignored or repeated) is counted in the first.

    Args:
      corpus: as `read_documents` takes it.
      target_bytes: size on disk from which on a group is complete; by default a 32nd of the
        corpus, but at least 1 MiB and at most 64 MiB.
      settings: how the documents will be read.

    Raises:
      InputError: for everything that is wrong with the corpus, all at once.
    """
    counts = DocumentCounts()
    groups: list[dict[str, Any]] = []
    inputs = list(find_inputs(corpus, Reading(settings, counts)))
    if target_bytes is None:
        total = sum(one.get("size", 0) for one in inputs)
        target_bytes = min(max(total // 32, 1 << 20), 64 << 20)
    size = target_bytes
    for one in inputs:
        if "path" not in one:
            groups.append({"inputs": [one]})
            size = target_bytes
            continue
        if size >= target_bytes:
            groups.append({"inputs": []})
            size = 0
        groups[-1]["inputs"].append(one)
        size += one["size"]
    found = {name: value for name in _FOUND if (value := getattr(counts, name))}
    if groups and found:
        groups[0]["found"] = found
    return list(groups)


def collect_unit(
    unit: Unit,
    directory: Path,
    *,
    settings: ReadSettings = ReadSettings(),  # noqa: B008 (frozen)
) -> dict[str, Any]:
    """Reads one unit into a shard in `directory`: the work of a stage.

    Returns:
      The counts of `DocumentCounts` (with "problems", the first messages), those of the shard
      ("documents", "characters", "bytes"), and "sources": for each the part before the first slash
      of its name "documents" and "characters".

    Raises:
      InputError: what cannot be read, unless `settings` skips it.
    """
    counts = DocumentCounts(**{k: _copied(v) for k, v in unit.get("found", {}).items()})
    sources: dict[str, dict[str, int]] = {}
    documents = read_inputs(unit["inputs"], Reading(settings, counts))
    written = write_shard(directory, _counted(documents, sources))
    counts.kept = written["documents"]
    return {**dataclasses.asdict(counts), **written, "sources": dict(sorted(sources.items()))}


def collect(
    corpus: Sequence[str],
    directory: str | Path,
    settings: ReadSettings,
    *,
    target_bytes: int | None = None,
    engine: Engine = in_process,
    part: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
) -> dict[str, Any] | None:
    """Collects a corpus into a store; returns its manifest, or None if other parts are missing.

    Args:
      corpus: as `read_documents` takes it.
      directory: of the store.
      settings: how the documents are read.
      target_bytes: of the files of one shard, as in `collection_units`.
      engine: where units are done.
      part: (i, n) does only every n-th unit from the i-th on.
      progress: told the number of finished units.

    Raises:
      InputError: a wrong corpus, what cannot be read (unless it is skipped), or no text at all.
    """

    def check(statistics: Any) -> dict[str, Any]:
        if not statistics["documents"]:
            names = {field.name for field in dataclasses.fields(DocumentCounts)}
            counts = DocumentCounts(**{k: v for k, v in statistics.items() if k in names})
            raise no_text(corpus, counts, settings.options)
        return {}

    _check_apart(corpus, Path(directory), settings)
    identity = dataclasses.asdict(settings)
    del identity["options"]
    return run_stage(
        directory,
        collection_units(corpus, target_bytes=target_bytes, settings=settings),
        functools.partial(collect_unit, settings=settings),
        stage="collect",
        settings=identity,
        engine=engine,
        part=part,
        progress=progress,
        extra=check,
    )


def _check_apart(corpus: Sequence[str], directory: Path, settings: ReadSettings) -> None:
    """Raises `InputError` if a second call would read what the first one wrote."""
    output = directory.resolve()
    for root in (Path(entry).resolve() for entry in corpus if Path(entry).is_dir()):
        if not output.is_relative_to(root):
            continue
        if not any(name.startswith(".") for name in output.relative_to(root).parts):
            raise InputError(
                f"{directory} lies in {root}, so that what is written would be read as well; "
                f"choose an output that is not in a folder of {settings.options.corpus}"
            )


def _counted(
    documents: Iterable[Document], sources: dict[str, dict[str, int]]
) -> Iterator[Document]:
    for document in documents:
        count(sources, source_group(document.source), len(document.text), _SOURCES)
        yield document


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value
