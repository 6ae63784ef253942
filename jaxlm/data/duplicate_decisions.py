"""What becomes of each document of a corpus, from the signatures of all of them."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxlm.data.deduplication import first_of_equals
from jaxlm.data.documents import Document
from jaxlm.data.duplicate_clusters import connect, find_clusters, roots
from jaxlm.data.near_duplicates import NearConfig, jaccard, shingles, similarity
from jaxlm.data.repeated_lines import RepeatedLinesConfig, count_lines
from jaxlm.data.stages import Engine, Progress, Unit, run_stage, unit_name
from jaxlm.data.store import read_shard
from jaxlm.files import directory_atomic

KEPT, EXACT, CONTAMINATED, NEAR = range(4)
EXAMPLES = 5
"""At most so many examples of each kind are shown."""
_SHOWN = 300
_PAIRS = 1024  # compared at a time


@dataclasses.dataclass(frozen=True)
class Signatures:
    """The finished first pass: a folder of arrays for each shard.

    Attributes:
      directory: of the pass.
      units: the shards of documents.
      offsets: int64 [units + 1]; unit i holds the documents from offsets[i] up to offsets[i + 1].
    """

    directory: Path
    units: Sequence[Unit]
    offsets: np.ndarray

    def load(self, unit: int, name: str) -> np.ndarray:
        """An array of one unit, as a memory map."""
        return np.load(self.directory / unit_name(unit) / f"{name}.npy", mmap_mode="r")

    def joined(self, name: str) -> np.ndarray:
        """An array of all units, in memory."""
        return np.concatenate([self.load(unit, name) for unit in range(len(self.units))])

    def rows(self, numbers: np.ndarray) -> np.ndarray:
        """The MinHash signatures of documents."""
        owners = self.unit_of(numbers)
        result: np.ndarray | None = None
        for unit in np.unique(owners):
            here = owners == unit
            found = self.load(unit, "signatures")
            if result is None:
                result = np.empty((len(numbers), found.shape[1]), found.dtype)
            result[here] = found[numbers[here] - self.offsets[unit]]
        return np.empty((0, 1), np.uint32) if result is None else result

    def bands(self, count: int) -> Iterator[np.ndarray]:
        """The band keys of all documents, one band after the other."""
        for band in range(count):
            yield np.concatenate([self.load(u, "bands")[band] for u in range(len(self.units))])

    def lines(self, unit: int) -> tuple[np.ndarray, np.ndarray]:
        """The line hashes of a unit, and the document number of each."""
        return self.load(unit, "lines"), self.load(unit, "line_documents") + self.offsets[unit]

    def unit_of(self, numbers: np.ndarray) -> np.ndarray:
        """The unit that holds each of these documents."""
        return np.searchsorted(self.offsets, numbers, side="right") - 1


def decide(
    directory: Path,
    signatures: Signatures,
    *,
    exact: bool,
    near: NearConfig,
    lines: RepeatedLinesConfig,
    drop_contaminated: bool,
    settings: dict[str, Any],
    engine: Engine,
    progress: Progress | None = None,
) -> None:
    """Writes the fate of every document into `directory`/decisions.

    Holds about 60 bytes for each document; signatures stay on disk. In this order: an exact
    duplicate goes; so does what is contaminated; near duplicates are sought among what is left, and
    repeated lines in what is left then.

    Args:
      directory: for this and for what is needed on the way.
      signatures: of the first pass.
      exact, near, lines, drop_contaminated: what to do.
      settings: of the whole stage.
      engine: computes the shingles of candidates that signatures leave open.
      progress: told of that.
    """
    total = int(signatures.offsets[-1])
    fate = np.full(total, KEPT, np.uint8)
    original = np.arange(total)
    if exact:
        original = first_of_equals(signatures.joined("exact"))
        fate[original != np.arange(total)] = EXACT
    if drop_contaminated:
        fate[signatures.joined("contaminated") & (fate == KEPT)] = CONTAMINATED
    if near.enabled:
        labels, pairs = find_clusters(
            signatures.bands(near.bands), signatures.rows, fate == KEPT, near
        )
        if len(pairs):
            compare = _comparison(directory, signatures, pairs, near, settings, engine, progress)
            for start in range(0, len(pairs), _PAIRS):
                some = pairs[start : start + _PAIRS]
                # Of a crowd, most pairs are connected by those before them.
                some = some[roots(labels, some[:, 0]) != roots(labels, some[:, 1])]
                equal = np.array([compare(*pair) >= near.threshold for pair in some], bool)
                connect(labels, some[equal, 0], some[equal, 1])
            labels = roots(labels, np.arange(total))
        dropped = labels != np.arange(total)
        original[dropped] = labels[dropped]
        fate[dropped] = NEAR
    with directory_atomic(directory / "decisions") as target:
        np.save(target / "fate.npy", fate)
        np.save(target / "offsets.npy", signatures.offsets)
        if lines.enabled:
            parts = [functools.partial(signatures.lines, u) for u in range(len(signatures.units))]
            repeated = count_lines(parts, fate == KEPT, lines)
            np.save(target / "lines.npy", repeated.hashes)
            np.save(target / "first.npy", repeated.first)
        examples = _examples(signatures, fate, original, near)
        (target / "examples.json").write_text(
            json.dumps(examples, ensure_ascii=False), encoding="utf-8"
        )


def described(document: Document) -> dict[str, str]:
    """A document as an example: its source, identifier and first characters."""
    return {
        "source": document.source,
        "id": document.identifier,
        "text": document.text[:_SHOWN],
    }


def _comparison(
    directory: Path,
    signatures: Signatures,
    pairs: np.ndarray,
    near: NearConfig,
    settings: dict[str, Any],
    engine: Engine,
    progress: Progress | None,
) -> Callable[[int, int], float]:
    """The exact Jaccard similarity of two documents that are in `pairs`, from their texts."""
    wanted = np.unique(pairs)
    with directory_atomic(directory / "wanted") as target:
        np.save(target / "wanted.npy", wanted)
    numbers = np.unique(signatures.unit_of(wanted))
    units = [
        {
            **signatures.units[i],
            "start": int(signatures.offsets[i]),
            "end": int(signatures.offsets[i + 1]),
        }
        for i in numbers
    ]
    work = functools.partial(_shingle_unit, directory / "wanted" / "wanted.npy", near)
    run_stage(
        directory / "shingles",
        units,
        work,
        stage="compare",
        settings=settings,
        engine=engine,
        progress=progress,
    )
    places = np.searchsorted(wanted, signatures.offsets[numbers])
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def of(document: int) -> np.ndarray:
        index = int(np.searchsorted(wanted, document))
        unit = int(np.searchsorted(places, index, side="right")) - 1
        if unit not in found:
            if len(found) >= 64:  # files that are open at a time
                found.clear()
            folder = directory / "shingles" / unit_name(unit)
            found[unit] = (
                np.load(folder / "shingles.npy", mmap_mode="r"),
                np.load(folder / "ends.npy"),
            )
        values, ends = found[unit]
        place = index - places[unit]
        return values[ends[place] : ends[place + 1]]

    return lambda first, second: jaccard(of(first), of(second))


def _shingle_unit(wanted: Path, near: NearConfig, unit: Unit, directory: Path) -> dict[str, Any]:
    numbers = np.load(wanted)
    numbers = numbers[(numbers >= unit["start"]) & (numbers < unit["end"])] - unit["start"]
    found = [shingles(d.text, near) for d in _chosen(unit, numbers.tolist())]
    np.save(directory / "shingles.npy", np.concatenate(found))
    np.save(directory / "ends.npy", np.cumsum([0, *map(len, found)]))
    return {"documents": len(found)}


def _examples(
    signatures: Signatures, fate: np.ndarray, original: np.ndarray, near: NearConfig
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """The first exact and near duplicates, by unit of the dropped one and by kind."""
    dropped = {kind: np.flatnonzero(fate == kind)[:EXAMPLES] for kind in (EXACT, NEAR)}
    numbers = np.concatenate([*dropped.values(), *(original[d] for d in dropped.values())])
    documents: dict[int, Document] = {}
    owners = signatures.unit_of(numbers)
    for unit in np.unique(owners):
        here = np.unique(numbers[owners == unit])
        local = (here - signatures.offsets[unit]).tolist()
        chosen = _chosen(signatures.units[unit], local)
        documents |= dict(zip(here.tolist(), chosen, strict=True))
    result: dict[str, dict[str, list[dict[str, Any]]]] = {}
    measures: dict[str, Callable[[str, str], float]] = {
        "exact": lambda first, second: 1.0,
        "near": lambda first, second: similarity(first, second, near),
    }
    for (name, measure), some in zip(measures.items(), dropped.values(), strict=True):
        for number in some.tolist():
            kept, gone = documents[int(original[number])], documents[number]
            of_unit = result.setdefault(str(signatures.unit_of(np.array([number]))[0]), {})
            of_unit.setdefault(name, []).append(
                {
                    "kept": described(kept),
                    "dropped": described(gone),
                    "similarity": round(measure(kept.text, gone.text), 4),
                }
            )
    return result


def _chosen(unit: Unit, numbers: Sequence[int]) -> Iterator[Document]:
    """The documents of a unit with these numbers, in ascending order."""
    remaining = iter(numbers)
    following = next(remaining, None)
    for number, document in enumerate(read_shard(unit["documents"])):
        if following is None:
            return
        if number == following:
            yield document
            following = next(remaining, None)
