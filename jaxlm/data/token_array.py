"""Many token files as one array that is never put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class TokenArray:
    """The concatenation of one-dimensional arrays of one dtype, by reference.

    It has what loading needs of an array: `len`, `dtype`, indexing by a slice (a copy if it spans
    files) or by integers, and `take`. `np.asarray` of it is a copy of everything.
    """

    def __init__(self, parts: Sequence[np.ndarray]):
        self._parts = [np.asarray(part) for part in parts if len(part)]
        self.dtype = self._parts[0].dtype if self._parts else np.dtype(np.uint16)
        self._bounds = np.cumsum([0, *(len(part) for part in self._parts)])
        self.shape = (int(self._bounds[-1]),)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        whole = np.concatenate([np.empty(0, self.dtype), *self._parts])
        return whole if dtype is None else whole.astype(dtype)

    def __getitem__(self, index: Any) -> np.ndarray:
        if isinstance(index, slice):
            return self.take(np.arange(*index.indices(len(self))))
        return self.take(np.asarray(index))

    def take(self, indices: np.ndarray, mode: str = "raise") -> np.ndarray:
        """The elements at `indices` (integers of any shape); "clip" moves them into range."""
        indices = np.asarray(indices)
        flat = indices.reshape(-1)
        if mode == "clip":
            flat = np.clip(flat, 0, len(self) - 1)
        elif flat.size and not (flat.min() >= 0 and flat.max() < len(self)):
            raise IndexError(f"an index is outside of {len(self)} tokens")
        if len(self._parts) == 1:
            return self._parts[0][flat].reshape(indices.shape)
        result = np.empty(flat.shape, self.dtype)
        which = np.searchsorted(self._bounds, flat, side="right") - 1
        # Runs of neighbours lie in one file: rows are made of runs of tokens.
        cuts = np.flatnonzero(np.diff(which)) + 1
        for run, places in zip(np.split(flat, cuts), np.split(result, cuts), strict=True):
            if run.size:
                part = np.searchsorted(self._bounds, run[0], side="right") - 1
                places[:] = self._parts[part][run - self._bounds[part]]
        return result.reshape(indices.shape)
