"""Which signatures of a corpus are near duplicates of which: candidates, checks and clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from jaxlm.data.near_duplicates import NearConfig, agreement, uncertainty

Rows = Callable[[np.ndarray], np.ndarray]
"""The signatures of the documents of the given numbers."""
_NEIGHBOURS = 32
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
    similarity is four standard errors above the threshold; it is left open within four of it.

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
    open_pairs = np.empty((0, 2), np.int64)
    for keys in bands:
        members = np.flatnonzero(alive & (keys != 0))
        members = members[np.argsort(keys[members], kind="stable")]
        ordered = keys[members]
        found = [open_pairs]
        for distance in range(1, _NEIGHBOURS + 1):
            same = np.flatnonzero(ordered[distance:] == ordered[:-distance])
            if not len(same):
                break
            first, second = members[same], members[same + distance]
            for start in range(0, len(same), _PAIRS):
                one, other = first[start : start + _PAIRS], second[start : start + _PAIRS]
                apart = roots(labels, one) != roots(labels, other)
                one, other = one[apart], other[apart]
                estimate = agreement(rows(one), rows(other))
                sure = estimate >= config.threshold + margin
                connect(labels, one[sure], other[sure])
                doubtful = ~sure & (estimate >= config.threshold - margin)
                found.append(np.stack([one[doubtful], other[doubtful]], axis=1))
        open_pairs = np.unique(np.concatenate(found), axis=0)
    labels = roots(labels, np.arange(len(labels)))
    apart = labels[open_pairs[:, 0]] != labels[open_pairs[:, 1]]
    return labels, open_pairs[apart]
