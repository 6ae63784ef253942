"""Batches as a pure function of how many rows have been consumed, so that a resume is exact."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator

import numpy as np

from jaxlm.data.packing import RowPlan
from jaxlm.data.token_files import TokenFiles
from jaxlm.errors import InputError

Batch = dict[str, np.ndarray]
"""All [B, T]: `tokens`, `targets`, `positions`, `segment_ids` int32, and `mask` bool.

`positions` restart at 0 in each fragment, `segment_ids` count the fragments of a row from 1 and are
0 in padding, `mask` is True where the target counts.
"""


class BatchLoader:
    """Packed rows, in a new order each epoch.

    Args:
      tokens: integers [tokens], the token file that `plan` was made for.
      plan: which fragments stand in which row.
      batch_size: rows of a batch, at least 1; it may exceed the rows of an epoch.
      seed: of the order.
      shuffle: False keeps the order of the plan in every epoch.
      identity: what tells this token file from another (`TokenShards.fingerprint`); by default
        the tokens themselves are hashed when the fingerprint is asked for.

    Raises:
      InputError: no rows, a batch size below 1, or a plan that exceeds the tokens.
    """

    def __init__(
        self,
        tokens: np.ndarray | TokenFiles,
        plan: RowPlan,
        *,
        batch_size: int,
        seed: int,
        shuffle: bool = True,
        identity: str | None = None,
    ):
        if not plan.rows:
            raise InputError("no document has two tokens, so that there is nothing to train on")
        if int((plan.token_start + plan.length).max()) >= len(tokens):
            raise InputError(f"the row plan is of a larger token file than this of {len(tokens)}")
        check_batch_size(batch_size)
        self._tokens = tokens if isinstance(tokens, TokenFiles) else np.asarray(tokens)
        self._plan = plan
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        self._identity = identity
        self.rows_per_epoch = plan.rows

    def batch(self, rows_consumed: int, rows: slice = slice(None)) -> Batch:
        """The batch that follows after `rows_consumed` rows, whatever came before.

        `rows` takes some of its rows, such as those of one host: nothing else is read.
        """
        if rows_consumed < 0:
            raise InputError(f"rows consumed must not be negative, got {rows_consumed}")
        return self.rows(rows_consumed + np.arange(self._batch_size, dtype=np.int64)[rows])

    def rows(self, index: np.ndarray) -> Batch:
        """The rows at places `index` (int64 [n]) of the endless sequence of epochs."""
        epoch, row = np.divmod(index, self.rows_per_epoch)
        if self._shuffle:
            row = permute(row, self.rows_per_epoch, self._seed, epoch)
        return self._gather(row)

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Every row once, in order; the last batch is filled up with empty rows."""
        check_batch_size(batch_size)
        for start in range(0, self.rows_per_epoch, batch_size):
            rows = np.arange(start, min(start + batch_size, self.rows_per_epoch))
            batch = self._gather(rows)
            missing = batch_size - len(rows)
            yield {name: np.pad(array, ((0, missing), (0, 0))) for name, array in batch.items()}

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of everything but the batch size that determines the order of the rows."""
        plan = self._plan
        identity = self._identity or _digest(np.asarray(self._tokens))
        settings = repr((identity, plan.context_length, self._seed, self._shuffle)).encode()
        return _digest(plan.row_starts, plan.token_start, plan.length, settings)

    def _gather(self, rows: np.ndarray) -> Batch:
        plan, context = self._plan, self._plan.context_length
        # The fragments of the rows, each row closed by one more that stands for its padding.
        first, count = plan.row_starts[rows], plan.row_starts[rows + 1] - plan.row_starts[rows]
        end = np.cumsum(count + 1)
        padding = end - 1
        segment = np.arange(end[-1]) - np.repeat(end - count - 1, count + 1) + 1
        fragment = np.repeat(first - 1, count + 1) + segment
        segment[padding] = 0
        fragment[padding] = 0
        length, start = plan.length[fragment], plan.token_start[fragment]
        length[padding] = 0
        used = np.add.reduceat(length, end - count - 1)
        length[padding] = context - used

        tokens = self._tokens
        if isinstance(tokens, TokenFiles):  # only what the rows hold, a fragment after the other
            read = length + 1
            read[padding] = 0
            tokens, start = tokens.spans(start, read), np.cumsum(read) - read

        slot = np.arange(len(rows) * context)
        position = slot - np.repeat(np.cumsum(length) - length, length)
        source = position + np.repeat(start, length)
        segment_ids = np.repeat(segment.astype(np.int32), length)
        batch = {
            # Clipped for padding alone: every fragment lies within the tokens.
            "tokens": tokens.take(source, mode="clip").astype(np.int32),
            "targets": tokens.take(source + 1, mode="clip").astype(np.int32),
            "positions": position.astype(np.int32),
            "segment_ids": segment_ids,
            "mask": segment_ids > 0,
        }
        if (used < context).any():
            for name in ("tokens", "targets", "positions"):
                batch[name] *= batch["mask"]
        return {name: array.reshape(len(rows), context) for name, array in batch.items()}


class ContiguousLoader:
    """Random windows of one long text, without regard to documents, as nanoGPT draws them.

    Args:
      tokens: integers [tokens], more than `context_length`.
      context_length: slots of a row.
      batch_size: rows of a batch.
      seed: of the windows.

    Raises:
      InputError: fewer tokens than one window and its targets need, or a size below 1.
    """

    def __init__(self, tokens: np.ndarray, *, context_length: int, batch_size: int, seed: int):
        check_batch_size(batch_size)
        if context_length < 1 or len(tokens) <= context_length:
            raise InputError(
                f"{len(tokens)} tokens are too few for a context of {context_length} and its "
                "targets; give more text or a smaller --model.context-length (at least 1)"
            )
        self._tokens = np.asarray(tokens)
        self._context = context_length
        self._batch_size = batch_size
        self._seed = seed
        self.rows_per_epoch = -(-(len(tokens) - 1) // context_length)

    def batch(self, rows_consumed: int) -> Batch:
        """The batch that follows after `rows_consumed` rows: every window is equally likely."""
        if rows_consumed < 0:
            raise InputError(f"rows consumed must not be negative, got {rows_consumed}")
        index = np.arange(self._batch_size, dtype=np.uint64) + np.uint64(rows_consumed)
        starts = _mix(index, _mix(np.uint64(self._seed % 2**64)))
        return self._windows((starts % np.uint64(len(self._tokens) - self._context)).astype(int))

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Windows that cover every transition once; what is over at the end is masked."""
        check_batch_size(batch_size)
        for start in range(0, self.rows_per_epoch, batch_size):
            yield self._windows(np.arange(start, start + batch_size) * self._context)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of everything but the batch size that determines the windows."""
        return _digest(self._tokens, repr(("contiguous", self._context, self._seed)).encode())

    def _windows(self, starts: np.ndarray) -> Batch:
        source = starts[:, None] + np.arange(self._context)
        mask = source < len(self._tokens) - 1
        positions = np.broadcast_to(np.arange(self._context, dtype=np.int32), source.shape)
        return {
            "tokens": self._tokens.take(source, mode="clip").astype(np.int32) * mask,
            "targets": self._tokens.take(source + 1, mode="clip").astype(np.int32) * mask,
            "positions": positions * mask,
            "segment_ids": mask.astype(np.int32),
            "mask": mask,
        }


def permute(index: np.ndarray, size: int, seed: int, epoch: np.ndarray) -> np.ndarray:
    """Element `index` of a random permutation of `range(size)`, one for each (seed, epoch).

    A Feistel network on the next power of four, repeated until the result is below `size` (cycle
    walking; Black and Rogaway 2002): no table, so that any element costs the same.

    Args:
      index: integers [n] in [0, size).
      size: elements of the permutation.
      seed: any integer.
      epoch: integers [n].
    """
    half = np.uint64(max(1, -(-(size - 1).bit_length() // 2)))
    low = (np.uint64(1) << half) - np.uint64(1)
    key = _mix(epoch.astype(np.uint64), _mix(np.uint64(seed % 2**64)))
    result = index.astype(np.uint64)
    walking = np.arange(len(result))
    while len(walking):
        left, right = result[walking] >> half, result[walking] & low
        for round_number in range(6):
            mixed = _mix(right + (np.uint64(round_number) << np.uint64(40)), key[walking])
            left, right = right, left ^ (mixed & low)
        result[walking] = left << half | right
        walking = walking[result[walking] >= size]
    return result.astype(np.int64)


def _mix(value: np.ndarray | np.uint64, key: np.ndarray | np.uint64 = np.uint64(0)) -> np.ndarray:  # noqa: B008
    """A hash of 64-bit integers (the finaliser of SplitMix64; Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        value = (np.asarray(value) ^ key) + np.uint64(0x9E3779B97F4A7C15)
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(value ^ (value >> np.uint64(31)))


def _digest(*parts: np.ndarray | bytes) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).data)
    return digest.hexdigest()


def check_batch_size(batch_size: int) -> None:
    """Raises `InputError` for a batch without rows."""
    if batch_size < 1:
        raise InputError(f"a batch needs at least 1 row, got {batch_size}")
