"""Words of texts and runs of words as 64-bit numbers, by array operations.

A word is a run of letters, digits and marks, in lower case; in scripts that are written without
spaces each character is a word. The numbers depend on the characters alone: they are the same on
every machine, in every process and in every version of NumPy. What is a letter is what Unicode
says in this version of Python (14 in 3.11, 15.0 in 3.12, 15.1 in 3.13).
"""

from __future__ import annotations

import dataclasses
import functools
import unicodedata
from collections.abc import Sequence

import numpy as np

_BLOCK = 1 << 15  # characters at a time: its arrays fit into a processor's cache
_TABLE = 0x20000  # above it are Han characters (and little else that is a word)
_ALONE = np.uint32(1 << 31)
# Han, kana, Yi, and the scripts of South-East Asia that put no spaces between words.
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x2FDF), (0x3005, 0x3007),
    (0x3040, 0x30FF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA4CF),
    (0xF900, 0xFAFF),
)  # fmt: skip
# Odd, from the digits of pi; nothing depends on which.
_BASE = 0x243F6A8885A308D3
_GRAM_BASE = 0x13198A2E03707345


@dataclasses.dataclass(frozen=True)
class Words:
    """The words of several texts, one after the other.

    Attributes:
      hashes: uint64 [words].
      starts, ends: int64 [words]; places in the texts joined by one character.
      bounds: int64 [texts + 1]; text i has the words from bounds[i] up to bounds[i + 1].
      places: int64 [texts + 1]; text i starts at places[i].
    """

    hashes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    bounds: np.ndarray
    places: np.ndarray

    def texts_of(self, numbers: np.ndarray) -> np.ndarray:
        """The text that each of these words is in."""
        return np.searchsorted(self.bounds, numbers, side="right") - 1


def words(texts: Sequence[str]) -> Words:
    """The words of `texts`.

    Holds about four bytes for each character beside the texts, for whatever length of text.
    """
    joined = "\n".join(texts)
    blocks, start = [], 0
    while start < len(joined):
        block = joined[start : start + _BLOCK]
        values = _values(block)
        if start + len(block) < len(joined):
            separators = np.flatnonzero(values == 0)
            if len(separators):  # else a "word" of a whole block is cut
                values = values[: separators[-1] + 1]
        blocks.append(_block(values, start))
        start += len(values)
    if not blocks:
        blocks.append((np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64)))
    hashes, starts, ends = (np.concatenate(arrays) for arrays in zip(*blocks, strict=True))
    lengths = np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts))
    places = np.concatenate([[0], np.cumsum(lengths)])
    return Words(hashes, starts, ends, np.searchsorted(starts, places), places)


def grams(found: Words, size: int, *, shorter: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Every run of `size` words inside a text.

    Args:
      found: what `words` returned.
      size: words in a run.
      shorter: a text with fewer words (but any) is one run.

    Returns:
      The numbers of the runs (uint64) and the word each begins with (int64), in order.
    """
    count = len(found.hashes)
    numbers = _combined(found.hashes, size)
    inside = np.ones(max(count - size + 1, 0), bool)
    for back in range(1, size):
        last = found.bounds[1:] - back
        inside[last[(last >= 0) & (last < len(inside))]] = False
    starts = np.flatnonzero(inside)
    numbers = numbers[starts]
    lengths = np.diff(found.bounds)
    short = np.flatnonzero((lengths > 0) & (lengths < size)) if shorter else ()
    if len(short):
        extra = [
            _combined(found.hashes[found.bounds[i] : found.bounds[i + 1]], int(lengths[i]))
            for i in short
        ]
        places = found.bounds[short]
        order = np.searchsorted(starts, places)
        numbers = np.insert(numbers, order, np.concatenate(extra))
        starts = np.insert(starts, order, places)
    return numbers, starts


def mixed(values: np.ndarray) -> np.ndarray:
    """A bijection of uint64 in which each input bit changes half of the output bits.

    The finaliser of MurmurHash3 (Appleby, https://github.com/aappleby/smhasher).
    """
    values = values ^ (values >> np.uint64(33))
    values *= np.uint64(0xFF51AFD7ED558CCD)
    values ^= values >> np.uint64(33)
    values *= np.uint64(0xC4CEB9FE1A85EC53)
    values ^= values >> np.uint64(33)
    return values


def _combined(hashes: np.ndarray, size: int) -> np.ndarray:
    """A polynomial of each `size` neighbours modulo 2^64, mixed."""
    count = max(len(hashes) - size + 1, 0)
    total = hashes[:count].copy()
    for shift in range(1, size):
        total *= np.uint64(_GRAM_BASE)
        total += hashes[shift : shift + count]
    return mixed(total)


def _block(values: np.ndarray, offset: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    letters = values != 0
    joining = letters if values.max() < _ALONE else letters & (values < _ALONE)
    begins, finishes = letters.copy(), letters.copy()
    continued = joining[1:] & joining[:-1]
    begins[1:] &= ~continued
    finishes[:-1] &= ~continued
    starts, ends = np.flatnonzero(begins), np.flatnonzero(finishes) + 1
    powers, inverses = _powers(_BLOCK)
    # With prefix sums S of value * base^place, a word is (S[end] - S[start]) / base^start.
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * powers[: len(values)], out=sums[1:])
    hashes = (sums[ends] - sums[starts]) * inverses[starts]
    return mixed(hashes), starts + offset, ends + offset


def _values(block: str) -> np.ndarray:
    """The folded code point of each character; 0 between words; `_ALONE` set if a word itself."""
    table = _table()
    if block.isascii():
        return table[np.frombuffer(block.encode(), np.uint8)]
    codes = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), "<u4")
    values = table[np.minimum(codes, _TABLE - 1)]
    return np.where(codes < _TABLE, values, codes | _ALONE) if codes.max() >= _TABLE else values


@functools.cache
def _table() -> np.ndarray:
    table = np.zeros(_TABLE, np.uint32)
    for code in range(_TABLE):
        character = chr(code)
        if unicodedata.category(character)[0] in "LNM":
            lower = character.lower()
            table[code] = ord(lower) if len(lower) == 1 else code
    for first, last in _UNSPACED:
        part = table[first : last + 1]
        part[part != 0] |= _ALONE
    return table


@functools.cache
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    inverse = pow(_BASE, -1, 1 << 64)
    result = []
    for base in (_BASE, inverse):
        powers = [1]
        for _ in range(count):
            powers.append(powers[-1] * base % (1 << 64))
        result.append(np.array(powers, np.uint64))
    return result[0], result[1]
