"""Reading safetensors files without trusting them: nothing is executed, every number is checked.

A file is the length of its header (8 bytes, little endian), the header (JSON: name, dtype, shape
and byte range of every tensor) and the bytes of all tensors, one after the other.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxlm.errors import InputError

DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}
INDEX = "model.safetensors.index.json"
LARGEST_HEADER = 100_000_000  # bytes, as in the format's own library
CHUNK = 2**24  # bytes read at once


@dataclasses.dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a file that was checked to hold it.

    Attributes:
      path: of the file.
      dtype, shape: of the tensor.
      offset: of its first byte in the file.
    """

    path: Path
    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int

    def rows(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Pieces of the rows [first, last) in order, each with the number of its first row.

        A scalar has one row. No more than `CHUNK` bytes (or one row) are in memory at once.
        """
        length = self.shape[0] if self.shape else 1
        last = length if last is None else last
        per_row = math.prod(self.shape[1:])
        step = max(1, CHUNK // max(1, per_row * self.dtype.itemsize))
        with self.path.open("rb") as file:
            file.seek(self.offset + first * per_row * self.dtype.itemsize)
            for row in range(first, last, step):
                count = (min(row + step, last) - row) * per_row
                data = np.fromfile(file, self.dtype, count)
                if data.size != count:
                    raise InputError(f"{self.path}: ended while it was being read")
                yield row, data.reshape(-1, *self.shape[1:])

    def read(self) -> np.ndarray:
        """The whole tensor."""
        parts = [rows for _, rows in self.rows()]
        empty = np.empty((0, *self.shape[1:]), self.dtype)
        return (np.concatenate(parts) if parts else empty).reshape(self.shape)


def read_header(path: str | Path) -> dict[str, StoredTensor]:
    """The tensors of one file by name; their bytes stay on the disk.

    Raises:
      InputError: if the file is truncated, its header is damaged or asks for more than the file
        holds, tensors overlap, or a dtype is not known.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size - 8, LARGEST_HEADER):
                raise InputError(
                    f"{path}: truncated or no safetensors file: its header is to have {length:,} "
                    f"bytes, the file has {size:,}"
                )
            header = file.read(length)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        entries = json.loads(header)
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, dict):
        raise InputError(f"{path}: its header is no JSON object; the file is damaged")
    entries.pop("__metadata__", None)
    start, problems, ranges, tensors = 8 + length, [], [], {}
    for name, entry in entries.items():
        try:
            tensor, first, last = _tensor(path, start, entry)
        except ValueError as error:
            problems.append(f"{path}: {name}: {error}")
            continue
        tensors[name] = tensor
        ranges.append((first, last, name))
    end = 0
    for first, last, name in sorted(ranges):
        if first != end:
            what = "overlaps the tensor before it" if first < end else "leaves bytes unused"
            problems.append(f"{path}: {name}: {what} (bytes {first:,} to {last:,})")
        end = max(end, last)
    if not problems and start + end != size:
        what = "truncated" if start + end > size else "damaged"
        problems.append(f"{path}: {what}: {start + end:,} bytes by its header, {size:,} in fact")
    if problems:
        raise InputError(problems)
    return tensors


def read_checkpoint(directory: str | Path) -> dict[str, StoredTensor]:
    """The tensors of `model.safetensors`, or of all files of `model.safetensors.index.json`.

    Raises:
      InputError: as `read_header`; if there is neither file; if the index names a file outside of
        the directory, or files and tensors that are not there.
    """
    directory = Path(directory)
    index = directory / INDEX
    if not index.exists():
        single = directory / "model.safetensors"
        if not single.exists():
            raise InputError(_without_safetensors(directory))
        return read_header(single)
    try:
        places = json.loads(index.read_bytes())["weight_map"]
        places = {str(name): PurePosixPath(file) for name, file in places.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise InputError(f"{index}: has no 'weight_map' from tensors to files") from None
    problems, tensors = [], {}
    for file in sorted(set(places.values())):
        # By its text: a model hub's cache has symbolic links out of the directory.
        if file.is_absolute() or ".." in file.parts or "\\" in str(file) or ":" in str(file):
            problems.append(f"{index}: {str(file)!r} lies outside of the directory; refused")
            continue
        try:
            tensors.update(read_header(directory / file))
        except InputError as error:
            problems += error.problems
    if not problems:
        problems = [f"{index}: {n} is not in {places[n]}" for n in places if n not in tensors]
    if problems:
        raise InputError(problems)
    return tensors


def _tensor(path: Path, start: int, entry: Any) -> tuple[StoredTensor, int, int]:
    """(tensor, first and last byte after the header), or ValueError with what is wrong."""
    try:
        kind, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        numbers = (*shape, first, last)
        if any(type(n) is not int or n < 0 for n in numbers):
            raise TypeError
    except (TypeError, KeyError, ValueError):
        raise ValueError("needs dtype, shape and data_offsets; the header is damaged") from None
    if kind not in DTYPES:
        raise ValueError(f"dtype {kind} is not supported; known are {', '.join(DTYPES)}")
    need = math.prod(shape) * DTYPES[kind].itemsize
    if last - first != need:
        raise ValueError(f"{kind} {list(shape)} is {need:,} bytes, its range {last - first:,}")
    return StoredTensor(path, DTYPES[kind], shape, start + first), first, last


def _without_safetensors(directory: Path) -> str:
    pickles = sorted(p.name for kind in ("bin", "pt", "pth") for p in directory.glob(f"*.{kind}"))
    if not pickles:
        return f"{directory}: holds neither model.safetensors nor {INDEX}"
    return (
        f"{directory}: {', '.join(pickles)}: pickles can run any program and are not opened. "
        "Convert them where you trust them: AutoModelForCausalLM.from_pretrained(DIRECTORY)"
        ".save_pretrained(NEW_DIRECTORY) of the package transformers writes model.safetensors"
    )
