"""Cleaning steps one after the other over documents, with an account of what they did."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxlm.data.cleaning.balance import Balance
from jaxlm.data.cleaning.config import CleaningConfig, cleaning_steps
from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.documents import Document
from jaxlm.data.stages import Engine, Progress, Unit, in_process, run_stage
from jaxlm.data.store import DocumentStore, read_unit, write_shard

_EXAMPLES = 3  # of each rule in each shard
_EXAMPLE_LENGTH = 400


class CleaningAccount:
    """What became of the documents, by step and rule; filled in while they pass."""

    def __init__(self, steps: Iterable[str]):
        self.documents_in = self.characters_in = 0
        self._steps = {name: _StepAccount() for name in steps}
        self._balance = Balance()

    def step(self, name: str) -> _StepAccount:
        """The account of one step."""
        return self._steps[name]

    def passed(self, document: Document) -> None:
        """Counts a document that all steps kept."""
        self._balance.add(document)

    def statistics(self) -> dict[str, Any]:
        """JSON values that `jaxlm.data.stages.merge` adds up over shards."""
        return {
            "documents_in": self.documents_in,
            "characters_in": self.characters_in,
            "steps": {name: step.statistics() for name, step in self._steps.items()},
            "balance": self._balance.result(),
        }


class _StepAccount:
    def __init__(self) -> None:
        self.documents_in = self.characters_in = self.changed = self.characters_out = 0
        self.dropped: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.examples: dict[str, list[dict[str, str]]] = {}
        self.changes: list[dict[str, str]] = []

    def add(self, document: Document, verdict: Verdict, rule: str) -> None:
        self.documents_in += 1
        self.characters_in += len(document.text)
        self.counts.update(verdict.counts)
        if rule:
            self.dropped[rule] += 1
            examples = self.examples.setdefault(rule, [])
            if len(examples) < _EXAMPLES:
                text = document.text[:_EXAMPLE_LENGTH]
                examples.append(
                    {"source": document.source, "id": document.identifier, "text": text}
                )
            return
        self.characters_out += len(verdict.text)
        if verdict.text is document.text or verdict.text == document.text:
            return
        self.changed += 1
        if len(self.changes) < _EXAMPLES:
            before, after = _around_difference(document.text, verdict.text)
            self.changes.append(
                {
                    "source": document.source,
                    "id": document.identifier,
                    "before": before,
                    "after": after,
                }
            )

    def statistics(self) -> dict[str, Any]:
        return {
            "documents_in": self.documents_in,
            "characters_in": self.characters_in,
            "characters_out": self.characters_out,
            "changed": self.changed,
            "dropped": dict(sorted(self.dropped.items())),
            "counts": dict(sorted(self.counts.items())),
            "examples": dict(sorted(self.examples.items())),
            "changes": self.changes,
        }


def clean_documents(
    documents: Iterable[Document],
    steps: Sequence[tuple[str, Step]],
    account: CleaningAccount | None = None,
) -> Iterator[Document]:
    """The documents that every step keeps, as the steps leave them.

    Args:
      documents: any number; one is held at a time.
      steps: names and functions, in order, as `cleaning_steps` makes them.
      account: is told what happened; made with the names of `steps`.
    """
    account = account or CleaningAccount(name for name, _ in steps)
    for document in documents:
        account.documents_in += 1
        account.characters_in += len(document.text)
        for name, step in steps:
            verdict = step(document)
            rule = verdict.dropped_by
            if not rule and not verdict.text.strip():
                rule = f"{name}.nothing_left"
            account.step(name).add(document, verdict, rule)
            if rule:
                break
            if verdict.metadata or verdict.text is not document.text:
                metadata = {**document.metadata, **verdict.metadata}
                document = document.replace(text=verdict.text, metadata=metadata)
        else:
            account.passed(document)
            yield document


def clean_unit(config: CleaningConfig, unit: Unit, directory: Path) -> dict[str, Any]:
    """Cleans one shard into `directory`: the work of a stage."""
    steps = cleaning_steps(config)
    account = CleaningAccount(name for name, _ in steps)
    written = write_shard(directory, clean_documents(read_unit(unit), steps, account))
    return {**account.statistics(), **written}


def clean(
    store: DocumentStore,
    directory: str | Path,
    config: CleaningConfig,
    *,
    engine: Engine = in_process,
    part: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
) -> dict[str, Any] | None:
    """Cleans a store into `directory`; returns the manifest, or None if other parts are missing.

    Raises:
      InputError: impossible settings, or a directory of other settings.
      DamageError: a shard of the store is damaged.
    """
    cleaning_steps(config)  # wrong settings are found before any work
    return run_stage(
        directory,
        store.units,
        functools.partial(clean_unit, config),
        stage="clean",
        settings=dataclasses.asdict(config),
        engine=engine,
        part=part,
        progress=progress,
    )


def _around_difference(before: str, after: str) -> tuple[str, str]:
    """Both texts from a little before the place where they begin to differ."""
    low, high = 0, min(len(before), len(after))
    while low < high:  # the longest common beginning, by bisection
        middle = (low + high + 1) // 2
        if before[:middle] == after[:middle]:
            low = middle
        else:
            high = middle - 1
    start = max(0, low - 80)
    return before[start : start + _EXAMPLE_LENGTH], after[start : start + _EXAMPLE_LENGTH]
