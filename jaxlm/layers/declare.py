"""Parameters declared once, as data: shape, logical axes and initialiser.

A module's parameters are a tree of `Parameter`. From the same tree come the arrays, their
sharding, their number, and which of them weight decay touches. No array is ever boxed.
"""

from __future__ import annotations

import dataclasses
import math
import zlib
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

Initializer = Callable[[jax.Array, tuple[int, ...], Any], jax.Array]


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One array of a module.

    Attributes:
      shape: of the array in memory.
      axes: logical axis names, one per dimension, from `jaxlm.sharding.RULES`.
      init: (key, shape, dtype) -> array.
      decay: whether weight decay applies (matrices, not biases and scales).
      padding: how many of its entries only pad the vocabulary and do not count as parameters.
    """

    shape: tuple[int, ...]
    axes: tuple[str, ...]
    init: Initializer
    decay: bool = True
    padding: int = 0


def declare(module: nn.Module, parameters: dict[str, Any], dtype: Any) -> dict[str, Any]:
    """Makes the arrays of a tree of `Parameter` in a Linen module, one entry per name."""
    return {
        name: module.param(name, lambda key, node=node: initialize(node, key, dtype))
        for name, node in parameters.items()
    }


def initialize(parameters: Any, key: jax.Array, dtype: Any) -> Any:
    """Arrays for a tree of `Parameter`; each key depends on the path and nothing else."""

    def make(path, parameter):
        path_key = jax.random.fold_in(key, zlib.crc32(jax.tree_util.keystr(path).encode()))
        return parameter.init(path_key, parameter.shape, jnp.dtype(dtype))

    return jax.tree_util.tree_map_with_path(make, parameters, is_leaf=_is_parameter)


def logical_axes(parameters: Any) -> Any:
    """The tree of logical axis names."""
    return jax.tree.map(lambda p: p.axes, parameters, is_leaf=_is_parameter)


def decayed(parameters: Any) -> Any:
    """The tree of booleans: where weight decay applies."""
    return jax.tree.map(lambda p: p.decay, parameters, is_leaf=_is_parameter)


def count(parameters: Any) -> int:
    """How many parameters there are, padding of the vocabulary not counted."""
    leaves = jax.tree.leaves(parameters, is_leaf=_is_parameter)
    return sum(math.prod(p.shape) - p.padding for p in leaves)


def stack(parameters: Any, length: int) -> Any:
    """The same tree for `length` layers, stacked on a new leading axis "layers"."""

    def stacked(p: Parameter) -> Parameter:
        def init(key, shape, dtype):
            keys = jax.random.split(key, shape[0])
            return jax.vmap(lambda k: p.init(k, shape[1:], dtype))(keys)

        return Parameter((length, *p.shape), ("layers", *p.axes), init, p.decay, p.padding * length)

    return jax.tree.map(stacked, parameters, is_leaf=_is_parameter)


def normal(standard_deviation: float, *, used: int | None = None) -> Initializer:
    """Normal initialiser; rows from `used` on (padding of the vocabulary) are zero."""

    def init(key, shape, dtype):
        values = standard_deviation * jax.random.normal(key, shape, dtype)
        if used is None or used == shape[0]:
            return values
        rows = jnp.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
        return jnp.where(rows < used, values, 0)

    return init


def fan_in(axes: int, *, scale: float = 1.0) -> Initializer:
    """Normal with standard deviation scale / sqrt(size of the first `axes` axes)."""

    def init(key, shape, dtype):
        return normal(scale / math.sqrt(math.prod(shape[:axes])))(key, shape, dtype)

    return init


def zeros(key, shape, dtype):
    """All zeros."""
    return jnp.zeros(shape, dtype)


def ones(key, shape, dtype):
    """All ones."""
    return jnp.ones(shape, dtype)


def _is_parameter(node: Any) -> bool:
    return isinstance(node, Parameter)
