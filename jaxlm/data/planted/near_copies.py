"""Copies of a text at a known similarity."""

from __future__ import annotations

import random

from jaxlm.data.planted import english

SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Near duplicates are made at these Jaccard similarities, or a little above."""
SHINGLE = 5
"""Words in the runs whose sets are compared."""


def word_similarity(first: str, second: str) -> float:
    """The exact Jaccard similarity of the sets of word 5-grams of two texts of plain words."""
    one, two = _grams(first), _grams(second)
    return len(one & two) / len(one | two)


def edited(random: random.Random, original: str, level: float) -> tuple[str, float]:
    """Replaces, removes and inserts words, as long as the similarity stays at `level` or above.

    Returns:
      The edited text, and its exact similarity with the original one.
    """
    words = original.split(" ")
    text, similarity = original, 1.0
    while True:
        changed = list(words)
        at = random.randrange(1, len(words) - 1)
        how = random.random()
        if how < 0.6:
            changed[at] = english.word(random)
        elif how < 0.8:
            del changed[at]
        else:
            changed.insert(at, english.word(random))
        candidate = " ".join(changed)
        found = word_similarity(original, candidate)
        if found < level:
            return text, similarity
        words, text, similarity = changed, candidate, found


def _grams(text: str) -> set[tuple[str, ...]]:
    words = "".join(c if c.isalpha() else " " for c in text.lower()).split()
    return {tuple(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)}
