"""Tokens that lie in many files, as if they were one array after another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxlm.errors import DamageError


class TokenFiles:
    """Token files one after another, read where they are asked for.

    They are read and not mapped: no file stays open, however many there are; the pages that were
    read do not count as memory of the process; and a file that became shorter is an error with its
    name, where a mapping would end the process (SIGBUS). It costs about 2 microseconds a span. It
    may be used by several threads, and travels to other processes as paths.

    Args:
      paths: of files that hold nothing but tokens.
      sizes: tokens of each.
      dtype: of a token.
    """

    def __init__(self, paths: Sequence[str | Path], sizes: Sequence[int], dtype: np.dtype | str):
        self._paths = [str(path) for path, size in zip(paths, sizes, strict=True) if size]
        self._starts = np.cumsum([0, *(size for size in sizes if size)])
        self.dtype = np.dtype(dtype)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def spans(self, start: np.ndarray, length: np.ndarray) -> np.ndarray:
        """The tokens from `start[i]` to `start[i] + length[i]` of every i, one after the other.

        Args:
          start: integers [spans], in [0, len(self)).
          length: integers [spans], not negative; a span ends within the tokens.

        Raises:
          DamageError: a file is missing or shorter than it was.
        """
        result = np.empty(int(length.sum()), self.dtype)
        view = result.view(np.uint8).data
        width = self.dtype.itemsize
        place = (np.cumsum(length) - length) * width
        used = np.flatnonzero(length)
        file = np.searchsorted(self._starts, start[used], side="right") - 1
        by_file = np.argsort(file, kind="stable")  # every file is opened once
        file, used = file[by_file], used[by_file]
        groups = np.flatnonzero(np.diff(file, prepend=-1)).tolist()
        for begin, end in zip(groups, [*groups[1:], len(used)], strict=False):
            group = used[begin:end]
            offset = (start[group] - self._starts[file[begin]]) * width
            spans = offset.tolist(), (length[group] * width).tolist(), place[group].tolist()
            self._read(int(file[begin]), view, *spans)
        return result

    def _read(
        self, file: int, view: memoryview, offsets: list[int], sizes: list[int], places: list[int]
    ) -> None:
        """Reads spans (in bytes) that begin in one file into their places in `view`."""
        size_of_file = int(self._starts[file + 1] - self._starts[file]) * self.dtype.itemsize
        path = self._paths[file]
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise DamageError(
                f"{path} cannot be read ({error.strerror}); it was there when it was opened: "
                "restore it"
            ) from None
        try:
            for offset, size, place in zip(offsets, sizes, places, strict=True):
                here = min(size, size_of_file - offset)
                done = 0
                while done < here:  # a single read ends after 2 GiB
                    target = view[place + done : place + here]
                    read = os.preadv(descriptor, [target], offset + done)
                    if not read:
                        raise DamageError(
                            f"{path} is damaged: it ends before byte {offset + here} and had "
                            f"{size_of_file} when it was opened; restore it"
                        )
                    done += read
                if size > here:
                    self._read(file + 1, view, [0], [size - here], [place + here])
        finally:
            os.close(descriptor)

    def __getitem__(self, index: slice | np.ndarray) -> np.ndarray:
        """Some tokens: a slice of step 1, or one for each place of an integer array."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise IndexError("slices of token files have a step of 1")
            return self.spans(np.array([start]), np.array([max(0, stop - start)]))
        index = np.asarray(index, np.int64)
        if index.size and not (index.min() >= 0 and index.max() < len(self)):
            raise IndexError(f"a place outside of the {len(self)} tokens")
        return self.spans(index.ravel(), np.ones(index.size, np.int64)).reshape(index.shape)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """All of them, in memory."""
        return self[:].astype(dtype or self.dtype, copy=False)
