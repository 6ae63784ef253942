"""The n-gram model: interpolated modified Kneser-Ney smoothing, in NumPy.

N-grams are kept as one sorted table per order. The key of an n-gram is the row of its first n - 1
tokens in the table before, times the base, plus its last token: an exact key of 64 bits for any
order and vocabulary. Every document is preceded by order - 1 start symbols.

>>> import numpy as np
>>> counts = add_documents(empty_counts(vocab_size=3, order=2), np.array([0, 1, 0, 1]))
>>> kneser_ney(counts).probabilities([0])
array([0.25      , 0.66666667, 0.08333333])
"""

from __future__ import annotations

import dataclasses
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxlm.errors import InputError
from jaxlm.files import write_atomic

# Where the counts of an order are too few to estimate the discounts (as KenLM's fallback).
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclasses.dataclass(frozen=True)
class NGramCounts:
    """How often each n-gram of the highest order occurs.

    Attributes:
      vocab_size: tokens are below it; as an id it is the start symbol.
      keys: of each order from 1 on, int64, ascending.
      counts: int64, of the n-grams of the highest order.
    """

    vocab_size: int
    keys: tuple[np.ndarray, ...]
    counts: np.ndarray


def empty_counts(vocab_size: int, order: int) -> NGramCounts:
    """Counts of no text.

    Raises:
      InputError: if either is not at least 1.
    """
    problems = [
        f"--model.{name} {value}: must be at least 1"
        for name, value in (("vocab-size", vocab_size), ("order", order))
        if value < 1
    ]
    if problems:
        raise InputError(problems)
    none = np.zeros(0, np.int64)
    return NGramCounts(vocab_size, (none,) * order, none)


def add_documents(
    counts: NGramCounts, tokens: np.ndarray, lengths: np.ndarray | None = None
) -> NGramCounts:
    """The counts with those of more documents added; text of any size comes in pieces.

    Args:
      counts: so far.
      tokens: int ids of whole documents, one after the other.
      lengths: int, tokens of each document; None for a single one.

    Raises:
      InputError: for tokens outside the vocabulary, or lengths that do not add up.
    """
    v = counts.vocab_size
    padded, place = _padded(tokens, lengths, v, len(counts.keys))
    keys, rows, totals = [], np.zeros(len(padded), np.int64), counts.counts
    moved = np.zeros(1, np.int64)  # old row -> new row in the table before
    for level, old in enumerate(counts.keys):
        at = np.flatnonzero(place >= level)
        new, inverse, times = np.unique(
            _key(rows[at - 1] if level else 0, padded[at], v),
            return_inverse=True, return_counts=True,
        )  # fmt: skip
        old = _key(moved[old // (v + 1)], old % (v + 1), v)
        merged = np.union1d(old, new) if len(old) else new
        moved, added = np.searchsorted(merged, old), np.searchsorted(merged, new)
        rows = np.full(len(padded), -1)
        rows[at] = added[inverse]
        keys.append(merged)
        if level == len(counts.keys) - 1:
            totals = np.zeros(len(merged), np.int64)
            totals[moved] = counts.counts
            totals[added] += times
    return NGramCounts(v, tuple(keys), totals)


def discounts(counts: np.ndarray) -> tuple[float, float, float]:
    """D1, D2 and D3+ of n-grams with these counts (Chen and Goodman 1998, section 3).

    With n_i n-grams of count i and Y = n1 / (n1 + 2 n2), D_i = i - (i + 1) Y n_{i+1} / n_i.
    `FALLBACK_DISCOUNTS` where one of n1 to n4 is zero or a discount is not in [0, i].
    """
    n = [int(np.count_nonzero(counts == i)) for i in range(1, 5)]
    if 0 in n:
        return FALLBACK_DISCOUNTS
    y = n[0] / (n[0] + 2 * n[1])
    one, two, three = (i - (i + 1) * y * n[i] / n[i - 1] for i in (1, 2, 3))
    if not (0 <= one <= 1 and 0 <= two <= 2 and 0 <= three <= 3):
        return FALLBACK_DISCOUNTS
    return one, two, three


def kneser_ney(counts: NGramCounts) -> NGram:
    """The smoothed model of the counts.

    Below the highest order a count is the number of distinct tokens before the n-gram
    (Kneser and Ney 1995; Chen and Goodman 1998, sections 2.7 and 3).
    """
    v = counts.vocab_size
    # The row of each n-gram without its first token, in the table before.
    shorter = [np.zeros(len(counts.keys[0]), np.int64)]
    for below, keys in zip(counts.keys, counts.keys[1:], strict=False):
        parent, token = keys // (v + 1), keys % (v + 1)
        shorter.append(np.searchsorted(below, _key(shorter[-1][parent], token, v)))
    of_levels = [counts.counts]
    for level in range(len(counts.keys) - 1, 0, -1):
        predicted = counts.keys[level] % (v + 1) != v
        size = len(counts.keys[level - 1])
        of_levels.insert(0, np.bincount(shorter[level][predicted], minlength=size))
    return NGram(v, counts.keys, tuple(of_levels))


@dataclasses.dataclass(frozen=True)
class NGram:
    """An interpolated n-gram model (Chen and Goodman 1998, section 3).

    p(w | h) = max(c(hw) - D(c(hw)), 0) / sum_w c(hw) + gamma(h) p(w | h'), with h' one token
    shorter and 1 / V at the end; gamma(h) makes it sum to one. p(w | h) = p(w | h') where h was
    never seen.

    Attributes:
      vocab_size: V.
      keys: as in `NGramCounts`.
      counts: int64, of every order from 1 on; 0 for n-grams that end in a start symbol.
      discounts: of every order, D1, D2, D3+.
      masses: float64, per n-gram the first summand above.
      gammas: float64, per context from length 0 on.
    """

    vocab_size: int
    keys: tuple[np.ndarray, ...]
    counts: tuple[np.ndarray, ...]
    discounts: tuple[tuple[float, float, float], ...] = dataclasses.field(init=False)
    masses: tuple[np.ndarray, ...] = dataclasses.field(init=False)
    gammas: tuple[np.ndarray, ...] = dataclasses.field(init=False)

    def __post_init__(self):
        found, masses, gammas = [], [], []
        contexts = 1
        for keys, counts in zip(self.keys, self.counts, strict=True):
            found.append(discounts(counts))
            discount = np.array([0.0, *found[-1]])[np.minimum(counts, 3)]
            parent = keys // (self.vocab_size + 1)
            total = np.bincount(parent, counts, contexts)
            divisor = np.maximum(total, 1)
            masses.append((counts - discount) / divisor[parent])
            left = np.bincount(parent, discount, contexts)
            gammas.append(np.where(total > 0, left / divisor, 1.0))
            contexts = len(keys)
        for name, value in (("discounts", found), ("masses", masses), ("gammas", gammas)):
            object.__setattr__(self, name, tuple(value))

    @property
    def order(self) -> int:
        """The longest n-gram."""
        return len(self.keys)

    def log_probabilities(self, tokens: np.ndarray, lengths: np.ndarray | None = None):
        """ln p of every token given those before it in its document: float64 [tokens].

        Args:
          tokens, lengths: whole documents, as in `add_documents`.

        Raises:
          InputError: for tokens outside the vocabulary, or lengths that do not add up.
        """
        padded, place = _padded(tokens, lengths, self.vocab_size, self.order)
        real = np.flatnonzero(place >= self.order - 1)
        p = np.full(len(real), 1.0 / self.vocab_size)
        rows = np.zeros(len(padded), np.int64)  # of the n-gram that ends here; -1: never seen
        for level in range(self.order):
            context = np.roll(rows, 1)
            p *= np.append(self.gammas[level], 1.0)[context[real]]  # the last answers for -1
            rows = self._find(level, context, padded, place >= level)
            p += np.append(self.masses[level], 0.0)[rows[real]]
        return np.log(p)

    def probabilities(self, context: Sequence[int]) -> np.ndarray:
        """p(. | context) over the vocabulary, float64 [V].

        Args:
          context: the document so far; all of it if it is shorter than order - 1 tokens.
        """
        v = self.vocab_size
        history = [*[v] * (self.order - 1), *context]
        p = np.full(v, 1.0 / v)
        for level in range(self.order):
            row = 0
            for depth, token in enumerate(history[len(history) - level :]):
                row = int(self._find(depth, np.array([row]), np.array([token]), True)[0])
            if row < 0:
                break  # a longer context was not seen either
            first, last = np.searchsorted(self.keys[level], [row * (v + 1), row * (v + 1) + v])
            p *= self.gammas[level][row]
            p[self.keys[level][first:last] % (v + 1)] += self.masses[level][first:last]
        return p

    def sample(
        self,
        random: np.random.Generator,
        context: Sequence[int] = (),
        *,
        max_new_tokens: int,
        end_id: int | None = None,
    ) -> list[int]:
        """New tokens after `context`, up to and with `end_id`."""
        made: list[int] = []
        while len(made) < max_new_tokens and (not made or made[-1] != end_id):
            cumulative = np.cumsum(self.probabilities([*context, *made]))
            made.append(int(np.searchsorted(cumulative, random.random() * cumulative[-1], "right")))
        return made

    def _find(self, level, context, tokens, valid):
        """Rows of the n-grams (context row, token) in the table of `level`; -1 if not there."""
        keys = self.keys[level]
        wanted = _key(context, tokens, self.vocab_size)
        if not len(keys):
            return np.full(len(wanted), -1)
        rows = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
        return np.where(valid & (context >= 0) & (keys[rows] == wanted), rows, -1)


def save_ngram(model: NGram, path: str | Path) -> None:
    """Writes the model to one file, atomically."""
    arrays: dict[str, Any] = {"vocab_size": model.vocab_size, "order": model.order}
    for level in range(model.order):
        arrays[f"keys_{level}"] = model.keys[level]
        arrays[f"counts_{level}"] = model.counts[level]
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


def load_ngram(path: str | Path) -> NGram:
    """Reads what `save_ngram` wrote.

    Raises:
      InputError: if the file is none of those, is cut off, or contradicts itself.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            order = int(file["order"])
            keys = tuple(file[f"keys_{level}"] for level in range(order))
            counts = tuple(file[f"counts_{level}"] for level in range(order))
            v = int(file["vocab_size"])
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not an n-gram model that can be read ({error})") from error
    contexts = 1
    for level, (k, c) in enumerate(zip(keys, counts, strict=True)):
        whole = k.dtype == c.dtype == np.int64 and k.ndim == 1 and k.shape == c.shape
        if not whole or (c < 0).any() or (np.diff(k) <= 0).any():
            raise InputError(f"{path}: the table of order {level + 1} is damaged")
        if len(k) and not (k[0] >= 0 and k[-1] // (v + 1) < contexts):
            raise InputError(f"{path}: order {level + 1} refers to contexts that are not there")
        contexts = len(k)
    return NGram(v, keys, counts)


def _key(context, token, vocab_size):
    return context * np.int64(vocab_size + 1) + token


def _padded(tokens, lengths, vocab_size, order):
    """Documents with order - 1 start symbols before each, and places within the document."""
    tokens = np.asarray(tokens, np.int64)
    lengths = np.array([len(tokens)]) if lengths is None else np.asarray(lengths, np.int64)
    if tokens.ndim != 1 or lengths.sum() != len(tokens) or (lengths < 0).any():
        raise InputError(f"documents of {lengths.sum()} tokens do not fit {tokens.shape} tokens")
    if len(tokens) and not (tokens.min() >= 0 and tokens.max() < vocab_size):
        raise InputError(
            f"token {tokens.min()} or {tokens.max()} is outside a vocabulary of {vocab_size}"
        )
    starts = np.cumsum(lengths + order - 1) - (lengths + order - 1)
    place = np.arange(len(tokens) + len(lengths) * (order - 1))
    place -= np.repeat(starts, lengths + order - 1)
    padded = np.full(len(place), vocab_size, np.int64)
    padded[place >= order - 1] = tokens
    return padded, place
