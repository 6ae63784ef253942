"""How the tensors of another library lie in a parameter tree, as data.

One description serves both ways: the tensor is a view of the parameter arrays, which reading
writes to and writing reads from.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxlm.interop.safetensors import StoredTensor
from jaxlm.layers import Parameter

Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of one parameter array.

    Attributes:
      path: of the array in the tree.
      index: which part: () or (layer,) or (layer, expert), or a slice of rows.
      shape: to see that part in, [inputs, outputs] for a matrix.
      transposed: whether the other library stores [outputs, inputs].
    """

    path: Path
    index: tuple[Any, ...]
    shape: tuple[int, ...]
    transposed: bool = False

    def view(self, array: np.ndarray) -> np.ndarray:
        """The part, as the other library has it; writing to it writes to `array`."""
        part = array[self.index].reshape(self.shape)
        return part.T if self.transposed else part

    @property
    def outer_shape(self) -> tuple[int, ...]:
        """The shape of the view."""
        return self.shape[::-1] if self.transposed else self.shape


@dataclasses.dataclass(frozen=True)
class Tensor:
    """One tensor of the other library: pieces joined along an axis."""

    pieces: tuple[Piece, ...]
    axis: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole tensor."""
        shape = list(self.pieces[0].outer_shape)
        shape[self.axis] = sum(p.outer_shape[self.axis] for p in self.pieces)
        return tuple(shape)

    def parts(self) -> Iterator[tuple[Piece, slice]]:
        """Each piece with its range along the axis."""
        first = 0
        for piece in self.pieces:
            last = first + piece.outer_shape[self.axis]
            yield piece, slice(first, last)
            first = last


def mismatches(
    expected: Mapping[str, Tensor], found: Mapping[str, StoredTensor], where: str
) -> list[str]:
    """Every tensor that misses, exceeds, or differs in shape or kind, with the nearest name."""
    missing = [name for name in expected if name not in found]
    exceeding = [name for name in found if name not in expected]

    def nearest(name, others):
        close = difflib.get_close_matches(name, others, n=1, cutoff=0.6)
        return f"; the nearest is {close[0]}" if close else ""

    problems = [
        f"{where}: {name} {list(expected[name].shape)}: missing{nearest(name, exceeding)}"
        for name in missing
    ]
    problems += [
        f"{where}: {name} {list(found[name].shape)}: not part of this model{nearest(name, missing)}"
        for name in exceeding
    ]
    for name in expected:
        if name not in found:
            continue
        tensor, shape = found[name], expected[name].shape
        if tensor.shape != shape:
            problems.append(
                f"{where}: {name}: has shape {list(tensor.shape)}, config.json asks for "
                f"{list(shape)}"
            )
        elif tensor.dtype.kind in "iub":
            problems.append(f"{where}: {name}: {tensor.dtype} is quantised; only floats are read")
    return problems


def fill(
    parameters: Any,
    tensors: Mapping[str, Tensor],
    stored: Mapping[str, StoredTensor],
    dtype: Any,
    shardings: Any = None,
) -> Any:
    """The parameter tree, array by array: no more than one array is held twice.

    Args:
      parameters: the tree of `Parameter`.
      tensors: by name; together they cover the tree, padding of the vocabulary excepted.
      stored: by name, with the shapes of `tensors`.
      dtype: of the arrays.
      shardings: a tree of `jax.sharding.Sharding`; None for the default device.

    Returns:
      The tree of arrays.
    """
    sources: dict[Path, list[tuple[Piece, StoredTensor, int, slice]]] = {}
    for name, tensor in tensors.items():
        for piece, part in tensor.parts():
            sources.setdefault(piece.path, []).append((piece, stored[name], tensor.axis, part))

    def make(path, parameter, sharding=None):
        array = _aligned_zeros(parameter.shape, np.dtype(dtype))
        for piece, source, axis, part in sources[tuple(p.key for p in path)]:
            target = piece.view(array)
            first, last = (part.start, part.stop) if axis == 0 else (0, None)
            for row, rows in source.rows(first, last):
                chosen = rows if axis == 0 else rows[:, part]
                target[row - first : row - first + len(rows)] = chosen
        return jax.device_put(array, sharding)

    trees = (parameters,) if shardings is None else (parameters, shardings)
    return jax.tree_util.tree_map_with_path(
        make, *trees, is_leaf=lambda node: isinstance(node, Parameter)
    )


def _aligned_zeros(shape, dtype) -> np.ndarray:
    """Zeros at an address that a CPU device takes over as they are, without a copy."""
    size = int(np.prod(shape)) * dtype.itemsize
    buffer = np.zeros(size + 64, np.uint8)
    first = -buffer.ctypes.data % 64
    return buffer[first : first + size].view(dtype).reshape(shape)
