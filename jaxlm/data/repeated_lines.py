"""Lines and paragraphs that many documents share: menus, licences, footers.

Removing lines that recur across documents follows CCNet (Wenzek et al. 2020,
https://arxiv.org/abs/1911.00359), here only above a number of documents.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

Lines = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Opens the hashes of a part of the corpus (uint64, sorted) and the document number of each.

Each pair once; opened anew each time, as there are more parts than files that may be open.
"""
_PART = 1 << 22  # entries sorted at a time


@dataclasses.dataclass(frozen=True)
class RepeatedLinesConfig:
    """Lines, and paragraphs of several lines, that occur in many documents.

    Off unless asked for: it cuts sentences and programs apart, and models trained on text without
    repeated lines were no better (FineWeb, Penedo et al. 2024, https://arxiv.org/abs/2406.17557).
    """

    enabled: bool = False
    """Remove them."""
    min_characters: int = 40
    """Shorter lines and paragraphs stay."""
    max_documents: int = 10
    """Occurrences in at most so many documents stay."""
    keep_first: bool = True
    """The first occurrence in the corpus stays."""

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        return [
            f"--lines.{field} {value}: must be at least 1"
            for field, value in (
                ("min-characters", self.min_characters),
                ("max-documents", self.max_documents),
            )
            if value < 1
        ]


@dataclasses.dataclass(frozen=True)
class RepeatedLines:
    """What `line_hashes` found in too many documents.

    Attributes:
      hashes: uint64, sorted.
      first: int64, the number of the first document that has each.
    """

    hashes: np.ndarray
    first: np.ndarray


def line_hashes(text: str, config: RepeatedLinesConfig) -> np.ndarray:
    """The lines and paragraphs of a text that are long enough, as a sorted set: uint64."""
    return np.unique(np.array([number for number, _, _ in _pieces(text, config)], np.uint64))


def count_lines(
    parts: Sequence[Lines], alive: np.ndarray, config: RepeatedLinesConfig
) -> RepeatedLines:
    """What occurs in more than `max_documents` of the living documents.

    Sorts about four million entries at a time; what grows with the corpus is the result.

    Args:
      parts: of the corpus, in order.
      alive: bool, by document number.
      config: the limit.
    """
    slices = max(1, -(-sum(len(part()[0]) for part in parts) // _PART))
    edges = [(i << 64) // slices for i in range(slices)]
    repeated, first = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        taken = [_between(*part(), low, high) for part in parts]
        hashes, documents = (np.concatenate(arrays) for arrays in zip(*taken, strict=True))
        keep = alive[documents]
        distinct, inverse, counts = np.unique(hashes[keep], return_inverse=True, return_counts=True)
        lowest = np.full(len(distinct), len(alive))
        np.minimum.at(lowest, inverse, documents[keep])
        often = counts > config.max_documents
        repeated.append(distinct[often])
        first.append(lowest[often])
    return RepeatedLines(np.concatenate(repeated), np.concatenate(first))


def without_lines(
    text: str, document: int, repeated: RepeatedLines, config: RepeatedLinesConfig
) -> tuple[str, list[str]]:
    """The text without what is repeated, and the lines that were removed.

    Args:
      text: of one document.
      document: its number; it keeps what it is the first to have, if `keep_first`.
      repeated: the result of `count_lines`.
      config: what that was made with.
    """
    pieces = list(_pieces(text, config))
    numbers = np.array([number for number, _, _ in pieces], np.uint64)
    places = np.searchsorted(repeated.hashes, numbers)
    known = places < len(repeated.hashes)
    known[known] = repeated.hashes[places[known]] == numbers[known]
    if not known.any():
        return text, []
    lines = text.split("\n")
    removed: set[int] = set()
    kept: set[int] = set()
    done = 0
    for place in np.flatnonzero(known):
        number, start, end = pieces[place]
        if start < done:  # a line of a paragraph that was decided on
            continue
        if end - start > 1:
            done = end
        if config.keep_first and repeated.first[places[place]] == document and number not in kept:
            kept.add(number)
        else:
            removed.update(range(start, end))
    result: list[str] = []
    gap = False
    for i, line in enumerate(lines):
        if i in removed:
            gap = True
        elif line.strip() or not gap or (result and result[-1].strip()):
            result.append(line)
            gap = gap and not line.strip()
    return "\n".join(result), [lines[i] for i in sorted(removed)]


def _between(
    hashes: np.ndarray, documents: np.ndarray, low: int, high: int | None
) -> tuple[np.ndarray, np.ndarray]:
    start = np.searchsorted(hashes, np.uint64(low))
    end = len(hashes) if high is None else np.searchsorted(hashes, np.uint64(high))
    return hashes[start:end], documents[start:end]


def _pieces(text: str, config: RepeatedLinesConfig) -> Iterator[tuple[int, int, int]]:
    """(number, first line, end) of each paragraph of several lines, then of each line in it."""
    lines = [" ".join(line.split()) for line in text.split("\n")]
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and lines[end]:
            end += 1
        if end - start > 1:
            paragraph = "\n".join(lines[start:end])
            if len(paragraph) >= config.min_characters:
                yield _number(paragraph), start, end
        for i in range(start, end):
            if len(lines[i]) >= config.min_characters:
                yield _number(lines[i]), i, i + 1
        start = end + 1


def _number(piece: str) -> int:
    return int.from_bytes(hashlib.blake2b(piece.encode(), digest_size=8).digest(), "little")
