"""How near two texts are: MinHash signatures, and bands of them that find candidates.

Texts are compared as sets of word runs (shingles) by their Jaccard similarity. A signature is the
minimum of each of k bins of the hashed shingles (one-permutation hashing: Li, Owen and Zhang 2012,
https://arxiv.org/abs/1208.1259) with empty bins filled from others by optimal densification
(Shrivastava 2017, https://arxiv.org/abs/1703.04664), so its cost does not grow with k. Two texts
of Jaccard similarity s agree in each entry with probability s.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np

from jaxlm.data.word_hashes import Words, grams, mixed, words
from jaxlm.errors import InputError

PERMUTATIONS = 256
"""The most entries of a signature that `banding` considers."""
_SHOWN = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_BAND_BASE = 0xA4093822299F31D1


@dataclasses.dataclass(frozen=True)
class NearConfig:
    """Near duplicates: texts whose sets of shingles are similar. The first one is kept."""

    enabled: bool = True
    """Remove near duplicates."""
    threshold: float = 0.8
    """Jaccard similarity from which two texts are duplicates."""
    shingle: int = 5
    """Words in a shingle; a shorter text is one shingle."""
    bands: int = 26
    """Two texts that agree in all rows of any band are compared."""
    rows: int = 8
    """Entries of the signature in a band."""

    @property
    def permutations(self) -> int:
        """Entries of the signature."""
        return self.bands * self.rows

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        found = [
            f"--near.{name} {value}: must be at least 1"
            for name in ("shingle", "bands", "rows")
            if (value := getattr(self, name)) < 1
        ]
        if not 0 < self.threshold <= 1:
            found.append(f"--near.threshold {self.threshold}: must be above 0 and at most 1")
        elif not found and self.permutations > 4096:
            found.append(
                f"--near.bands {self.bands} x --near.rows {self.rows}: a signature of more than "
                f"4096 entries; the banding for {self.threshold:g} is "
                "{} x {}".format(*banding(self.threshold))
            )
        elif not found and candidate_probability(self.threshold, self.bands, self.rows) < 0.5:
            found.append(
                f"--near.bands {self.bands} x --near.rows {self.rows} would find only "
                f"{candidate_probability(self.threshold, self.bands, self.rows):.0%} of the pairs "
                f"at --near.threshold {self.threshold:g}; take "
                "{} x {}".format(*banding(self.threshold))
            )
        return found


def candidate_probability(similarity: float, bands: int, rows: int) -> float:
    """The probability that two texts agree in a band: 1 - (1 - s^rows)^bands.

    Section 3.4 of Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets".
    """
    return 1 - (1 - similarity**rows) ** bands


def banding(
    threshold: float, recall: float = 0.99, permutations: int = PERMUTATIONS
) -> tuple[int, int]:
    """The (bands, rows) with the steepest curve that finds pairs at `threshold`.

    Args:
      threshold: Jaccard similarity of two texts.
      recall: the least probability that two such texts become candidates.
      permutations: the most entries that a signature may have.

    Returns:
      As many rows as fit, then as few bands as do.

    Raises:
      InputError: a number out of range, or nothing fits.
    """
    if not 0 < threshold <= 1 or not 0 < recall < 1 or permutations < 1:
        raise InputError(
            f"banding for threshold {threshold}, recall {recall}, permutations {permutations}: "
            "they must be in (0, 1], in (0, 1) and at least 1"
        )
    for rows in range(permutations, 0, -1):
        agree = threshold**rows
        if agree < 1e-12:
            continue
        bands = 1 if agree > recall else math.ceil(math.log1p(-recall) / math.log1p(-agree))
        if bands * rows <= permutations:
            return bands, rows
    raise InputError(
        f"no banding of {permutations} permutations finds {recall:.0%} of the pairs at "
        f"{threshold}; allow more permutations, or ask for less recall"
    )


def describe_banding(config: NearConfig) -> str:
    """A table of the share of pairs that become candidates, by their similarity."""
    lines = [
        f"{config.bands} bands x {config.rows} rows ({config.permutations} permutations), shingles "
        f"of {config.shingle} words, duplicates from Jaccard {config.threshold:g}",
        "similarity   compared",
    ]
    for similarity in sorted({*_SHOWN, config.threshold}):
        share = candidate_probability(similarity, config.bands, config.rows)
        mark = "  <- threshold" if similarity == config.threshold else ""
        lines.append(f"{similarity:10.2f}   {share:8.2%}{mark}")
    return "\n".join(lines)


def signature(text: str, config: NearConfig) -> np.ndarray:
    """The MinHash of one text: uint32 [permutations]; all bits set if it has no word."""
    return signatures(words([text]), config)[0]


def signatures(found: Words, config: NearConfig) -> np.ndarray:
    """The MinHash of several texts: uint32 [texts, permutations]."""
    numbers, starts = grams(found, config.shingle, shorter=True)
    texts, size = len(found.bounds) - 1, config.permutations
    owners = found.texts_of(starts)
    # The high half chooses the bin, the low half is the value: they are independent.
    bins = ((numbers >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32)
    values = numbers.astype(np.uint32)
    minima = np.full(texts * size, 0xFFFFFFFF, np.uint32)
    np.minimum.at(minima, owners * size + bins.astype(np.int64), values)
    result = minima.reshape(texts, size)
    order = _densification(size)
    empty = result == 0xFFFFFFFF
    for text in np.flatnonzero(empty.any(axis=1) & ~empty.all(axis=1)):
        holes, full = np.flatnonzero(empty[text]), np.flatnonzero(~empty[text])
        result[text, holes] = result[text, full[order[np.ix_(holes, full)].argmin(axis=1)]]
    return result


def band_keys(minima: np.ndarray, config: NearConfig) -> np.ndarray:
    """A number for each band of each signature, uint64 [bands, texts]; 0 for a text of no words."""
    texts = len(minima)
    rows = minima.reshape(texts, config.bands, config.rows)
    keys = np.zeros((config.bands, texts), np.uint64)
    for row in range(config.rows):
        keys *= np.uint64(_BAND_BASE)
        keys += rows[:, :, row].T
    keys = mixed(keys + np.uint64(1))
    keys[:, minima[:, 0] == 0xFFFFFFFF] = 0
    return keys


def shingles(text: str, config: NearConfig) -> np.ndarray:
    """The set of shingles of a text: uint64, sorted."""
    return np.unique(grams(words([text]), config.shingle, shorter=True)[0])


def jaccard(first: np.ndarray, second: np.ndarray) -> float:
    """The exact similarity of two results of `shingles`; 0 if both are empty."""
    both = len(np.intersect1d(first, second, assume_unique=True))
    either = len(first) + len(second) - both
    return both / either if either else 0.0


def agreement(minima: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The estimated similarities of pairs of signatures: the share of equal entries."""
    return (minima == others).mean(axis=1)


def uncertainty(config: NearConfig) -> float:
    """How far from the threshold an estimate is trusted: three standard errors."""
    spread = config.threshold * (1 - config.threshold) / config.permutations
    return 3 * math.sqrt(spread)


def similarity(first: str, second: str, config: NearConfig) -> float:
    """The exact Jaccard similarity of two texts."""
    return jaccard(shingles(first, config), shingles(second, config))


@functools.cache
def _densification(size: int) -> np.ndarray:
    """For each bin, the order in which it tries the others: uint16 [size, size]."""
    keys = mixed(np.arange(size * size, dtype=np.uint64) + np.uint64(_BAND_BASE))
    ranks = keys.reshape(size, size).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return ranks.astype(np.uint16)
