"""Which signatures of a corpus are near duplicates of which: candidates, checks and clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from jaxlm.data.near_duplicates import NearConfig, agreement, uncertainty

Rows = Callable[[np.ndarray], np.ndarray]
"""The signatures of the documents of the given numbers."""
_NEIGHBOURS = 32
_OPEN = 16
_PAIRS = 1 << 14  # at a time


def connect(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """Joins the clusters of each pair, in place: `roots` then gives the lowest number in each."""
    while len(first):
        one, other = roots(labels, first), roots(labels, second)
        apart = one != other
        first, second, one, other = first[apart], second[apart], one[apart], other[apart]
        higher = np.maximum(one, other)
        np.minimum.at(labels, higher, np.minimum(one, other))
        roots(labels, higher)  # halves chains among them, which would take a step for each link


def roots(labels: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The lowest number in the cluster of each of `numbers`; shortens the ways there, in place."""
    while True:
        found = labels[numbers]
        above = labels[found]
        if np.array_equal(found, above):
            return found
        labels[numbers] = above


def find_clusters(
    bands: Iterable[np.ndarray], rows: Rows, alive: np.ndarray, config: NearConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of near duplicates as far as signatures decide, and the pairs they leave open.

    A document is compared with the 32 before it that agree with it in a band, in corpus order: all
    there are, or in a large bucket enough to chain its clusters. A pair is joined whose estimated
    similarity is three standard errors above the threshold; it is left open within three of it, but
    at most 16 for the later document. Holds about 50 bytes for each document, and 16 for each open
    pair.

    Args:
      bands: for each band its key of each document (uint64; 0: none), one band held at a time.
      rows: signatures by document number.
      alive: bool, the documents that take part.
      config: the banding and the threshold.

    Returns:
      labels (int64, by document the first document of its cluster) and the open pairs (int64
      [pairs, 2], each with the lower number first, sorted).
    """
    labels = np.arange(len(alive))
    margin = uncertainty(config)
    codes = np.empty(0, np.int64)  # of open pairs, sorted
    opened = np.zeros(len(alive), np.uint8)
    for keys in bands:
        members = np.flatnonzero(alive & (keys != 0))
        members = members[np.argsort(keys[members], kind="stable")]
        ordered = keys[members]
        found = [codes]
        for distance in range(1, _NEIGHBOURS + 1):
            same = np.flatnonzero(ordered[distance:] == ordered[:-distance])
            if not len(same):
                break
            for start in range(0, len(same), _PAIRS):
                some = same[start : start + _PAIRS]
                one, other = members[some], members[some + distance]
                use = roots(labels, one) != roots(labels, other)
                use &= ~np.isin(one * len(alive) + other, codes)
                one, other = one[use], other[use]
                estimate = agreement(rows(one), rows(other))
                sure = estimate >= config.threshold + margin
                connect(labels, one[sure], other[sure])
                doubtful = ~sure & (estimate >= config.threshold - margin) & (opened[other] < _OPEN)
                opened[other[doubtful]] += 1
                found.append(one[doubtful] * len(alive) + other[doubtful])
        codes = np.sort(np.concatenate(found))
    labels = roots(labels, np.arange(len(labels)))
    pairs = np.stack([codes // max(len(alive), 1), codes % max(len(alive), 1)], axis=1)
    return labels, pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
