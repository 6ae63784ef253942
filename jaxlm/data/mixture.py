"""Several sources of rows in exact proportions, still a pure function of the rows consumed."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from jaxlm.data.loader import Batch, BatchLoader, check_batch_size, permute
from jaxlm.errors import InputError

BLOCK = 4096
"""Rows in which the proportions hold exactly."""


class MixtureLoader:
    """Rows of several loaders.

    Of every `BLOCK` rows each source has its share, rounded by largest remainders, in an order of
    its own for each block; a source's rows come in the order of its own loader, which begins its
    next epoch when they are used up.

    Args:
      loaders: the sources; their own batch size does not matter.
      weights: positive, one for each source; only their proportions count.
      batch_size: rows of a batch.
      seed: of the order in a block.

    Raises:
      InputError: no sources, weights that do not fit, or one too small for a row in a block.
    """

    def __init__(
        self,
        loaders: Sequence[BatchLoader],
        weights: Sequence[float],
        *,
        batch_size: int,
        seed: int,
    ):
        check_batch_size(batch_size)
        self._loaders = list(loaders)
        self.block_rows = rows_in_block(weights)
        if len(self.block_rows) != len(self._loaders):
            raise InputError(f"{len(self.block_rows)} weights for {len(self._loaders)} sources")
        self._ends = np.cumsum(self.block_rows)
        self._batch_size = batch_size
        self._seed = seed

    def batch(self, rows_consumed: int, rows: slice = slice(None)) -> Batch:
        """The batch that follows after `rows_consumed` rows, or some rows of it."""
        if rows_consumed < 0:
            raise InputError(f"rows consumed must not be negative, got {rows_consumed}")
        return self.rows(rows_consumed + np.arange(self._batch_size, dtype=np.int64)[rows])

    def rows(self, index: np.ndarray) -> Batch:
        """The rows at places `index` (int64 [n]) of the endless sequence."""
        block, place = np.divmod(index, BLOCK)
        place = permute(place, BLOCK, self._seed ^ 0x6D69787475726573, block)
        which = np.searchsorted(self._ends, place, side="right")
        counts = self.block_rows[which]
        own = block * counts + place - (self._ends[which] - counts)
        result: Batch = {}
        for source, loader in enumerate(self._loaders):
            places = np.flatnonzero(which == source)
            if len(places):
                for name, array in loader.rows(own[places]).items():
                    if name not in result:
                        result[name] = np.empty((len(index), *array.shape[1:]), array.dtype)
                    result[name][places] = array
        return result

    def epochs(self, rows_consumed: int) -> list[float]:
        """How often each source has been seen after so many rows, to within a block."""
        return [
            rows_consumed * int(rows) / BLOCK / loader.rows_per_epoch
            for rows, loader in zip(self.block_rows, self._loaders, strict=True)
        ]

    def evaluation_batches(self, batch_size: int) -> Iterator[Batch]:
        """Every row of every source once, source after source."""
        for loader in self._loaders:
            yield from loader.evaluation_batches(batch_size)

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of everything but the batch size that determines the order of the rows."""
        identity = [
            self.block_rows.tolist(),
            self._seed,
            *(one.fingerprint for one in self._loaders),
        ]
        return hashlib.blake2b(repr(identity).encode(), digest_size=16).hexdigest()


def rows_in_block(weights: Sequence[float]) -> np.ndarray:
    """How many of `BLOCK` rows each source has: int64 [sources], by largest remainders.

    Raises:
      InputError: weights that are not positive and finite, or so small that they give no row.
    """
    given = np.asarray(weights, np.float64)
    if not given.size or not (np.isfinite(given).all() and (given > 0).all()):
        raise InputError(f"mixture weights {list(weights)}: positive, finite numbers are needed")
    exact = given / given.sum() * BLOCK
    rows = np.floor(exact).astype(np.int64)
    order = np.argsort(rows - exact, kind="stable")  # the largest remainder first
    rows[order[: BLOCK - rows.sum()]] += 1
    if not rows.all():
        least = BLOCK * float(given.min() / given.sum())
        raise InputError(
            f"mixture weights {list(weights)}: the smallest gives {least:.2g} rows of {BLOCK}; "
            "give it more, or leave its source out"
        )
    return rows
