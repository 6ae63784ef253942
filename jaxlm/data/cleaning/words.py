"""The lines and words of a text as the quality rules count them, and runs of words that repeat."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

# Odd constants without meaning: digits of pi and of the golden ratio.
_BASE = np.uint64(0x243F6A8885A308D3)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


def text_lines(text: str) -> list[str]:
    """The lines of a text that are not blank, without white space around them."""
    return [line for line in map(str.strip, text.split("\n")) if line]


@dataclasses.dataclass(frozen=True)
class NumberedWords:
    """Words as numbers: equal words have equal numbers.

    Attributes:
      numbers: uint64 [words].
      edges: int64 [words + 1]; word i has the characters from edges[i] up to edges[i + 1] of the
        words written without spaces.
    """

    numbers: np.ndarray
    edges: np.ndarray

    @property
    def characters(self) -> int:
        """The length of all words."""
        return int(self.edges[-1])

    def longest(self, size: int) -> int:
        """The characters of the longest run of `size` words."""
        return int((self.edges[size:] - self.edges[:-size]).max()) if self._has(size) else 0

    def _has(self, size: int) -> bool:
        return len(self.numbers) >= size


def number_words(words: list[str]) -> NumberedWords:
    """Numbers the words of one text, in the order in which they first occur."""
    distinct = dict(zip(dict.fromkeys(words), itertools.count(1), strict=False))
    count = len(words)
    numbers = np.fromiter(map(distinct.__getitem__, words), np.uint64, count)
    edges = np.zeros(count + 1, np.int64)
    np.cumsum(np.fromiter(map(len, words), np.int64, count), out=edges[1:])
    return NumberedWords(numbers, edges)


@dataclasses.dataclass(frozen=True)
class Runs:
    """Every run of `size` words of a text, equal runs side by side.

    Attributes:
      size: words in a run.
      places: int64 [runs], the word each begins with, ascending among equal runs.
      bounds: int64 [distinct + 1]; distinct run i has the places from bounds[i] to bounds[i + 1].
    """

    size: int
    places: np.ndarray
    bounds: np.ndarray

    @property
    def most(self) -> int:
        """How often the most frequent run occurs; 0 if there is none."""
        return int(np.diff(self.bounds).max()) if len(self.places) else 0


def word_runs(words: NumberedWords, size: int) -> Runs:
    """Finds the equal ones among the runs of `size` words.

    Runs are compared by hashes of 64 bits less those that number the words: of 1,000 words about
    one text in 10^8 has two runs that are taken for equal though they differ.
    """
    count = len(words.numbers) - size + 1
    if count < 1:
        return Runs(size, np.empty(0, np.int64), np.zeros(1, np.int64))
    hashes = words.numbers[:count] * _SPREAD
    for i in range(1, size):
        hashes ^= hashes >> np.uint64(29)
        hashes *= _BASE
        hashes += words.numbers[i : i + count] * _SPREAD
    hashes ^= hashes >> np.uint64(32)
    hashes *= _SPREAD
    # The place in the low bits: one sort of plain numbers then also orders the places.
    bits = np.uint64(count.bit_length())
    hashes >>= bits
    hashes <<= bits
    hashes |= np.arange(count, dtype=np.uint64)
    hashes.sort()
    keys = hashes >> bits
    changes = np.flatnonzero(keys[1:] != keys[:-1])
    bounds = np.empty(len(changes) + 2, np.int64)
    bounds[0], bounds[-1] = 0, count
    bounds[1:-1] = changes + 1
    places = (hashes & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    return Runs(size, places, bounds)


def top_run_characters(words: NumberedWords, runs: Runs) -> int:
    """The characters inside the most frequent run, each once; 0 if no run occurs twice.

    Of several runs that are as frequent the longest counts.
    """
    most = runs.most
    if most < 2:
        return 0
    groups = np.flatnonzero(np.diff(runs.bounds) == most)
    first = runs.places[runs.bounds[groups]]
    group = groups[(words.edges[first + runs.size] - words.edges[first]).argmax()]
    return _covered(words, runs.places[runs.bounds[group] : runs.bounds[group + 1]], runs.size)


def repeated_run_characters(words: NumberedWords, runs: Runs) -> int:
    """The characters inside runs that occurred before in the text, each once."""
    if len(runs.bounds) - 1 == len(runs.places):
        return 0
    again = np.ones(len(runs.places), bool)
    again[runs.bounds[:-1]] = False
    return _covered(words, np.sort(runs.places[again]), runs.size)


def _covered(words: NumberedWords, places: np.ndarray, size: int) -> int:
    ends = places + size
    np.minimum(ends[:-1], places[1:], out=ends[:-1])
    return int((words.edges[ends] - words.edges[places]).sum())
