"""Precision and recall of what a data line found, against what was planted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable

Span = tuple[str, int, int]
"""A kind of personal data, and where it begins and ends in its text."""


@dataclasses.dataclass(frozen=True)
class Score:
    """What was found and planted, found and not planted, planted and not found."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """The share of what was found that was planted; 1 if nothing was found."""
        found = self.true_positives + self.false_positives
        return self.true_positives / found if found else 1.0

    @property
    def recall(self) -> float:
        """The share of what was planted that was found; 1 if nothing was planted."""
        planted = self.true_positives + self.false_negatives
        return self.true_positives / planted if planted else 1.0

    def __add__(self, other: Score) -> Score:
        return Score(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


NOTHING = Score(0, 0, 0)


def score_decisions(decisions: Iterable[tuple[bool, bool]]) -> Score:
    """Of yes-or-no questions: (the truth, the answer)."""
    counted = Counter((bool(truth), bool(answer)) for truth, answer in decisions)
    return Score(counted[True, True], counted[False, True], counted[True, False])


def score_counts(planted: Counter[str], found: Counter[str]) -> Score:
    """Of two bags, such as the words of two texts: how much of each is in the other."""
    both = (planted & found).total()
    return Score(both, found.total() - both, planted.total() - both)


def score_spans(text: str, planted: Iterable[Span], found: Iterable[Span]) -> Score:
    """Of personal data: kind and place must agree, but for punctuation and spaces at the ends."""
    planted_places = {_trimmed(text, span) for span in planted}
    found_places = {_trimmed(text, span) for span in found}
    both = len(planted_places & found_places)
    return Score(both, len(found_places) - both, len(planted_places) - both)


def score_duplicates(
    copies: Iterable[tuple[str, str, float]],
    documents: Collection[str],
    kept: Collection[str],
    threshold: float,
) -> Score:
    """Of a removal of duplicates.

    Args:
      copies: (identifier, identifier of the original, similarity); no document in two of them.
      documents: the identifiers of all documents.
      kept: of those that are left.
      threshold: the similarity from which one of the two has to go.

    Returns:
      Pairs of which exactly one went; documents that went although they should stay; pairs of
      which both are left.
    """
    dropped = set(documents) - set(kept)
    found = missed = 0
    for copy, original, similarity in copies:
        if similarity >= threshold:
            gone = (copy in dropped) + (original in dropped)
            found += gone > 0
            missed += gone == 0
    return Score(found, len(dropped) - found, missed)


def _trimmed(text: str, span: Span) -> Span:
    kind, start, end = span
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return kind, start, end
