"""The stage that removes duplicates and passages of evaluation sets from a document store.

Two passes over the documents with a merge between them: signatures of every shard, what becomes of
each document, and the survivors. A first pass that is finished is not done again.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxlm.data.decontamination import (
    Contamination,
    DecontaminationConfig,
    cut_passages,
    evaluation_runs,
    find_contamination,
    load_runs,
    read_evaluation,
    save_runs,
)
from jaxlm.data.deduplication import ExactConfig, text_digest
from jaxlm.data.documents import Document
from jaxlm.data.duplicate_decisions import (
    CONTAMINATED,
    EXACT,
    EXAMPLES,
    KEPT,
    NEAR,
    Signatures,
    decide,
    described,
)
from jaxlm.data.near_duplicates import NearConfig, band_keys, signatures
from jaxlm.data.repeated_lines import (
    RepeatedLines,
    RepeatedLinesConfig,
    line_hashes,
    without_lines,
)
from jaxlm.data.stages import UNIT, Engine, Progress, Task, Unit, in_process, run_stage, unit_name
from jaxlm.data.store import open_store, read_unit, write_shard
from jaxlm.data.word_hashes import words
from jaxlm.errors import InputError
from jaxlm.files import directory_atomic

_BATCH = 200_000  # characters whose words are hashed together
_WORK = ".work-signatures"
_FATES = {EXACT: "exact", CONTAMINATED: "contaminated", NEAR: "near"}


@dataclasses.dataclass(frozen=True)
class DeduplicationConfig:
    """What is removed from a corpus because it is there twice, or in an evaluation set."""

    exact: ExactConfig = dataclasses.field(default_factory=ExactConfig)
    near: NearConfig = dataclasses.field(default_factory=NearConfig)
    lines: RepeatedLinesConfig = dataclasses.field(default_factory=RepeatedLinesConfig)
    decontamination: DecontaminationConfig = dataclasses.field(
        default_factory=DecontaminationConfig
    )

    def problems(self) -> list[str]:
        """What is wrong with the fields."""
        return [
            *self.near.problems(),
            *self.lines.problems(),
            *self.decontamination.problems(),
        ]


def deduplicate(
    store_directory: str | Path,
    output_directory: str | Path,
    config: DeduplicationConfig,
    *,
    engine: Engine = in_process,
    part: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
) -> dict[str, Any] | None:
    """Writes the documents of a store that are left, in their order, as a store.

    The first document of a group of duplicates is kept. What grows with the corpus is, on disk, a
    signature of each document (1.1 kB) and 12 bytes for each long line, until the stage is
    finished; in memory of the merge, 60 bytes for each document and 16 for each pair of documents
    whose similarity only their texts can tell (at most 16 for a document).

    Args:
      store_directory: a finished stage of documents.
      output_directory: of the result; shard i of it is what is left of shard i.
      config: what to remove.
      engine: where shards are worked on.
      part: (i, n) works on every n-th shard. When all parts have returned, part 0 merges if it is
        called again; then the others, called again, finish.
      progress: told of "signatures", "compare" (open candidates) and "deduplicate".

    Returns:
      The manifest, None while other parts are not finished. Its statistics: "documents_in",
      "characters_in", "documents", "characters", "bytes", "dropped" by reason, "lines_removed",
      "passages_cut", "contaminated" by evaluation set, "examples" by kind.

    Raises:
      InputError: bad settings, no store, or an output directory of something else.
    """
    if problems := config.problems():
        raise InputError(problems)
    output = Path(output_directory)
    work = output / _WORK
    store = open_store(store_directory)
    units = [{**unit, "number": number} for number, unit in enumerate(store.units)]
    runs = evaluation_runs(read_evaluation(config.decontamination), config.decontamination)
    evaluation = {"digest": runs.digest, "too_short": list(runs.too_short)}
    settings = {**dataclasses.asdict(config), "evaluation": evaluation}
    finish = functools.partial(
        run_stage,
        output,
        units,
        functools.partial(_write_unit, config, work),
        stage="deduplicate",
        settings=settings,
        part=part,
    )
    # First only a look at what is finished: the directory must be ours before we work in it, and
    # what the first pass left may be gone already.
    manifest = finish(engine=_nothing)
    if manifest is None:
        mine = range(part[0], len(units), part[1])
        if all((output / unit_name(number) / UNIT).is_file() for number in mine):
            return None
        if not (work / "evaluation").is_dir():
            with directory_atomic(work / "evaluation") as target:
                save_runs(target, runs)
        signed = run_stage(
            work / "signatures",
            units,
            functools.partial(_sign_unit, config, work / "evaluation"),
            stage="signatures",
            settings=settings,
            engine=engine,
            part=part,
            progress=progress,
        )
        if signed is None:
            return None
        if not (work / "decisions").is_dir():
            if part[0] != 0:
                return None
            counts = [shard["statistics"]["documents"] for shard in signed["shards"]]
            decide(
                work,
                Signatures(work / "signatures", units, np.cumsum([0, *counts])),
                exact=config.exact.enabled,
                near=config.near,
                lines=config.lines,
                drop_contaminated=config.decontamination.action == "drop",
                settings=settings,
                engine=engine,
                progress=progress,
            )
        manifest = finish(engine=engine, progress=progress)
    if manifest is not None and work.exists():
        shutil.rmtree(work)
    return manifest


def _nothing(function: Callable[[Task], Any], tasks: Sequence[Task]) -> Iterator[Any]:
    """The engine that leaves everything undone."""
    return iter(())


def _sign_unit(
    config: DeduplicationConfig, evaluation: Path, unit: Unit, directory: Path
) -> dict[str, Any]:
    """The arrays of one shard that the merge needs; holds those and a batch of documents."""
    runs = load_runs(evaluation)
    near, count = config.near, 0
    found: dict[str, list[np.ndarray]] = {
        "exact": [np.empty((0, 2), np.uint64)],
        "contaminated": [np.empty(0, bool)],
        "signatures": [np.empty((0, near.permutations), np.uint32)],
        "lines": [np.empty(0, np.uint64)],
        "line_documents": [np.empty(0, np.uint32)],
    }
    for texts in _batches(document.text for document in read_unit(unit)):
        if config.exact.enabled:
            digests = b"".join(text_digest(text, config.exact) for text in texts)
            found["exact"].append(np.frombuffer(digests, "<u8").reshape(-1, 2))
        hashed = words(texts) if near.enabled or runs.runs else None
        contaminated = np.zeros(len(texts), bool)
        if hashed is not None and runs.runs:
            contaminated[list(find_contamination(hashed, runs))] = True
        found["contaminated"].append(contaminated)
        if hashed is not None and near.enabled:
            found["signatures"].append(signatures(hashed, near))
        if config.lines.enabled:
            for number, text in enumerate(texts, count):
                hashes = line_hashes(text, config.lines)
                found["lines"].append(hashes)
                found["line_documents"].append(np.full(len(hashes), number, np.uint32))
        count += len(texts)
    arrays = {name: np.concatenate(pieces) for name, pieces in found.items()}
    order = np.argsort(arrays["lines"], kind="stable")
    arrays |= {name: arrays[name][order] for name in ("lines", "line_documents")}
    arrays["bands"] = band_keys(arrays["signatures"], near)
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array)
    return {"documents": count}


def _write_unit(
    config: DeduplicationConfig, work: Path, unit: Unit, directory: Path
) -> dict[str, Any]:
    """The survivors of one shard, and what became of the others."""
    decisions = work / "decisions"
    start = int(np.load(decisions / "offsets.npy")[unit["number"]])
    fate = np.load(decisions / "fate.npy", mmap_mode="r")
    repeated = (
        RepeatedLines(*(np.load(decisions / f"{n}.npy", mmap_mode="r") for n in ("lines", "first")))
        if config.lines.enabled
        else None
    )
    contaminated = np.load(work / "signatures" / unit_name(unit["number"]) / "contaminated.npy")
    runs = load_runs(work / "evaluation")
    examples = json.loads((decisions / "examples.json").read_bytes()).get(str(unit["number"]), {})
    statistics: dict[str, Any] = {"documents_in": 0, "characters_in": 0}
    dropped = dict.fromkeys((*_FATES.values(), "emptied"), 0)
    sets = dict.fromkeys(runs.names, 0)
    counts = {"lines_removed": 0, "passages_cut": 0}

    def example(kind: str, shown: dict[str, Any]) -> None:
        if len(examples.setdefault(kind, [])) < EXAMPLES:
            examples[kind].append(shown)

    def survivors() -> Iterator[Document]:
        for local, document in enumerate(read_unit(unit)):
            statistics["documents_in"] += 1
            statistics["characters_in"] += len(document.text)
            verdict, text = int(fate[start + local]), document.text
            if contaminated[local] and verdict in (KEPT, CONTAMINATED):
                overlap: Contamination = find_contamination(words([text]), runs)[0]
                for name in overlap.sets:
                    sets[name] += 1
                first, last = overlap.passages[0]
                passage = document.replace(text=text[first:last])
                example("contaminated", {"sets": list(overlap.sets), **described(passage)})
                if verdict == KEPT:
                    text = cut_passages(text, overlap.passages, config.decontamination.margin)
                    counts["passages_cut"] += len(overlap.passages)
                    verdict = KEPT if text else CONTAMINATED
            if verdict != KEPT:
                dropped[_FATES[verdict]] += 1
                continue
            if repeated is not None:
                text, removed = without_lines(text, start + local, repeated, config.lines)
                counts["lines_removed"] += len(removed)
                if removed:
                    shown = described(document.replace(text="\n".join(removed)))
                    example("lines", {"removed": len(removed), **shown})
                    if not text.strip():
                        dropped["emptied"] += 1
                        continue
            yield document.replace(text=text) if text is not document.text else document

    written = write_shard(directory, survivors())
    return {
        **statistics,
        **written,
        "dropped": dropped,
        **counts,
        "contaminated": sets,
        "examples": examples,
    }


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
