"""The steps of the data line on a corpus with planted truth: precision and recall of each.

Every step is given what the steps before it would have left: the main text of a page, repaired
text, and English alone for what comes after the choice of languages.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxlm.data.cleaning.gibberish import GibberishConfig, gibberish_step
from jaxlm.data.cleaning.gopher import (
    GopherQualityConfig,
    GopherRepetitionConfig,
    gopher_quality_step,
    gopher_repetition_step,
)
from jaxlm.data.cleaning.html import main_text
from jaxlm.data.cleaning.language import LanguageConfig, language_step
from jaxlm.data.cleaning.personal_data import find_personal_data
from jaxlm.data.cleaning.step import Step
from jaxlm.data.cleaning.toxicity import ToxicityConfig, toxicity_step
from jaxlm.data.cleaning.unicode import UnicodeConfig, unicode_step
from jaxlm.data.cleaning.whitespace import WhitespaceConfig, whitespace_step
from jaxlm.data.decontamination import DecontaminationConfig
from jaxlm.data.deduplicate import DeduplicationConfig, deduplicate
from jaxlm.data.deduplication import ExactConfig
from jaxlm.data.documents import Document
from jaxlm.data.near_duplicates import NearConfig
from jaxlm.data.planted.corpus import Planted, evaluation_passage, planted_corpus
from jaxlm.data.planted.personal_data import KINDS
from jaxlm.data.repeated_lines import RepeatedLinesConfig
from jaxlm.data.stages import Unit, run_stage
from jaxlm.data.store import open_store, write_shard
from jaxlm.evaluation.planted_scores import (
    NOTHING,
    Score,
    score_counts,
    score_decisions,
    score_duplicates,
    score_spans,
)

_WORD = re.compile(r"\w+")
_NEAR_THRESHOLD = 0.8
_CHECKSUMS = ("credit_card", "iban")
_PROSE = ("plain", "near_duplicate", "boilerplate", "leaked")


@dataclasses.dataclass(frozen=True)
class Result:
    """The score of a step, and the precision and recall that it should have at least."""

    step: str
    score: Score
    goal: tuple[float, float]

    @property
    def met(self) -> bool:
        """Whether both are reached."""
        return self.score.precision >= self.goal[0] and self.score.recall >= self.goal[1]


CHECKED = (0.99, 0.99)
"""The goal for exact duplicates and for formats with a checksum."""
NEAR = (0.95, 0.95)
"""The goal for near duplicates."""
OTHERS = (0.95, 0.90)
"""The goal for everything else."""


def measure_steps(
    seed: int, documents: int, directory: Path, innocent: Sequence[Document] = ()
) -> list[Result]:
    """Runs every step on a planted corpus.

    Args:
      seed, documents: of `planted_corpus`.
      directory: an empty one, for the stages that work on files.
      innocent: real texts that are neither noise nor toxic; what is dropped of them counts as
        false positives.
    """
    corpus = list(planted_corpus(seed, documents))
    quality = gopher_quality_step(GopherQualityConfig())
    repetition = gopher_repetition_step(GopherRepetitionConfig())
    english = [planted for planted in corpus if planted.truth.language == "en"]
    return [
        Result("HTML to text (words)", _extraction(corpus), OTHERS),
        Result("encoding repair (documents)", _repair(corpus), OTHERS),
        Result("control characters and spaces", _tidying(corpus), OTHERS),
        Result("language (dropped)", _language(corpus), OTHERS),
        Result("language (named)", _language_names(corpus), OTHERS),
        Result("Gopher quality rules", _poor(english, quality, "quality"), OTHERS),
        Result("Gopher repetition rules", _poor(english, repetition, "repetition"), OTHERS),
        Result("gibberish", _noise(corpus, innocent), OTHERS),
        Result("toxicity", _insults(english, innocent), OTHERS),
        *(
            Result(f"personal data: {kind}", score, CHECKED if kind in _CHECKSUMS else OTHERS)
            for kind, score in _personal_data(corpus).items()
        ),
        *_duplicates(seed, english, directory),
    ]


def _extraction(corpus: Sequence[Planted]) -> Score:
    total = NOTHING
    for planted in corpus:
        if planted.truth.kind == "html":
            found = main_text(planted.document.text)
            total += score_counts(_words(planted.text), _words(found))
    return total


def _words(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text))


def _repair(corpus: Sequence[Planted]) -> Score:
    """Damaged texts that are right again; others that were changed are false positives."""
    step, total = unicode_step(UnicodeConfig()), NOTHING
    for planted in corpus:
        if planted.truth.kind == "mojibake":
            right = step(planted.document).text == planted.text
            total += Score(right, not right, not right)
        else:
            changed = step(_repaired(planted)).text != planted.text
            total += Score(0, changed, 0)
    return total


def _tidying(corpus: Sequence[Planted]) -> Score:
    steps = [unicode_step(UnicodeConfig()), whitespace_step(WhitespaceConfig(inner_runs=True))]
    total = NOTHING
    for planted in corpus:
        if planted.truth.kind in ("plain", "untidy"):
            right = _after(steps, planted.document).text.strip() == planted.text.strip()
            untidy = planted.truth.kind == "untidy"
            total += Score(untidy and right, not right, untidy and not right)
    return total


def _after(steps: Sequence[Step], document: Document) -> Document:
    for step in steps:
        document = document.replace(text=step(document).text)
    return document


def _language(corpus: Sequence[Planted]) -> Score:
    step = language_step(LanguageConfig(languages=("en",)))
    return score_decisions(
        (planted.truth.language != "en", bool(step(_repaired(planted)).dropped_by))
        for planted in corpus
        if planted.truth.language
    )


def _language_names(corpus: Sequence[Planted]) -> Score:
    step, total = language_step(LanguageConfig()), NOTHING
    for planted in corpus:
        if planted.truth.language:
            right = step(_repaired(planted)).metadata["language"] == planted.truth.language
            total += Score(right, not right, not right)
    return total


def _poor(corpus: Sequence[Planted], step: Step, rules: str) -> Score:
    """Texts that break the rules, among long prose; a table or code may break them rightly."""
    return score_decisions(
        (planted.truth.poor == rules, bool(step(_repaired(planted)).dropped_by))
        for planted in corpus
        if planted.truth.poor == rules or planted.truth.kind in _PROSE
    )


def _noise(corpus: Sequence[Planted], innocent: Sequence[Document]) -> Score:
    """Noise among texts in all languages, code and tables."""
    step = gibberish_step(GibberishConfig())
    planted = [(one.truth.gibberish, _repaired(one)) for one in corpus]
    return _score_dropped(step, planted, innocent)


def _insults(corpus: Sequence[Planted], innocent: Sequence[Document]) -> Score:
    step = toxicity_step(ToxicityConfig())
    planted = [(one.truth.toxic, _repaired(one)) for one in corpus]
    return _score_dropped(step, planted, innocent)


def _score_dropped(
    step: Step, planted: Sequence[tuple[bool, Document]], innocent: Sequence[Document]
) -> Score:
    documents = [*planted, *((False, document) for document in innocent)]
    return score_decisions((truth, bool(step(d).dropped_by)) for truth, d in documents)


def _personal_data(corpus: Sequence[Planted]) -> dict[str, Score]:
    scores = dict.fromkeys(KINDS, NOTHING)
    for planted in corpus:
        text, spans = planted.text, planted.truth.personal_data
        findings = [(f.kind, f.start, f.end) for f in find_personal_data(text)]
        for kind in KINDS:
            scores[kind] += score_spans(
                text, (s for s in spans if s[0] == kind), (s for s in findings if s[0] == kind)
            )
    return scores


def _repaired(planted: Planted) -> Document:
    return planted.document.replace(text=planted.text, metadata={})


def _duplicates(seed: int, corpus: Sequence[Planted], directory: Path) -> Iterator[Result]:
    run_stage(
        directory / "planted",
        [{"documents": len(corpus)}],
        functools.partial(_write, corpus),
        stage="collect",
        settings={"seed": seed},
    )
    identifiers = [planted.document.identifier for planted in corpus]
    copies = [
        (planted.document.identifier, planted.truth.duplicate_of, planted.truth.similarity)
        for planted in corpus
        if planted.truth.duplicate_of
    ]
    nothing = DeduplicationConfig(ExactConfig(enabled=False), NearConfig(enabled=False))

    def left(name: str, **changes: Any) -> dict[str, str]:
        """The texts that are left, by identifier."""
        config = dataclasses.replace(nothing, **changes)
        deduplicate(directory / "planted", directory / name, config)
        return {d.identifier: d.text for d in open_store(directory / name).documents()}

    kept = left("exact", exact=ExactConfig())
    yield Result("exact duplicates", score_duplicates(copies, identifiers, kept, 1.0), CHECKED)

    kept = left("near", near=NearConfig(threshold=_NEAR_THRESHOLD))
    score = score_duplicates(copies, identifiers, kept, _NEAR_THRESHOLD)
    yield Result(f"near duplicates at {_NEAR_THRESHOLD}", score, NEAR)

    lines = RepeatedLinesConfig(enabled=True, max_documents=3, keep_first=False)
    kept, total = left("lines", lines=lines), NOTHING
    for planted in corpus:
        before = Counter(planted.text.split("\n"))
        removed = before - Counter(kept.get(planted.document.identifier, "").split("\n"))
        del removed[""]
        total += score_counts(Counter(planted.truth.boilerplate), removed)
    yield Result("repeated lines", total, OTHERS)

    passages = directory / "evaluation.jsonl"
    leaked = range(sum(planted.truth.kind == "leaked" for planted in corpus))
    records = (json.dumps({"text": evaluation_passage(seed, number)}) for number in leaked)
    passages.write_text("\n".join(records) + "\n", encoding="utf-8")
    kept = left("decontaminated", decontamination=DecontaminationConfig((str(passages),)))
    decisions = ((p.truth.leaked >= 0, p.document.identifier not in kept) for p in corpus)
    yield Result("decontamination", score_decisions(decisions), OTHERS)


def _write(corpus: Sequence[Planted], unit: Unit, directory: Path) -> dict[str, Any]:
    return dict(write_shard(directory, (_repaired(planted) for planted in corpus)))
