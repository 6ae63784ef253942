"""The state of training: one pytree, made directly in its sharding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxlm.layers.declare import logical_axes
from jaxlm.sharding import named_shardings

# Every random draw has its own stream: (seed, purpose, step).
PURPOSES = ("initialisation", "dropout", "sample")


class TrainState(NamedTuple):
    """Everything that a step reads and writes."""

    step: jax.Array
    """int32: steps taken, skipped ones included."""
    rows_consumed: jax.Array
    """int32: rows of data used so far; the next batch is a function of (seed, this)."""
    seed: jax.Array
    """uint32."""
    skipped: jax.Array
    """int32: steps whose loss or gradient was not finite, all and in a row."""
    skipped_in_a_row: jax.Array
    params: Any
    optimizer: Any


def step_key(seed: jax.Array | int, purpose: str, step: jax.Array | int) -> jax.Array:
    """The key of one purpose at one step.

    Raises:
      ValueError: for a purpose that is not in `PURPOSES`.
    """
    purpose_key = jax.random.fold_in(jax.random.key(seed), PURPOSES.index(purpose))
    return jax.random.fold_in(purpose_key, step)


def plan_state(
    model: nn.Module, parameters: Any, optimizer: optax.GradientTransformation, *, seed: int,
    mesh: Mesh,
) -> tuple[TrainState, Callable[[], TrainState]]:  # fmt: skip
    """The shape of a state, and how to make a fresh one; nothing is allocated yet.

    Args:
      model: a module whose `init(key, tokens_bt)` makes the parameters.
      parameters: its tree of `Parameter`.
      optimizer: from `make_optimizer`.
      seed: of the run.
      mesh: where the state lives; every array is created in its sharding.

    Returns:
      (abstract, make): a `TrainState` of `jax.ShapeDtypeStruct` with shardings, and a function
      without arguments that returns one of arrays.
    """

    def make(seed):
        key = step_key(seed, "initialisation", 0)
        params = model.init(key, jnp.zeros((1, 1), jnp.int32))["params"]
        zero = jnp.zeros((), jnp.int32)
        return TrainState(zero, zero, seed, zero, zero, params, optimizer.init(params))

    shapes = jax.eval_shape(make, jnp.uint32(seed))
    shardings = state_shardings(shapes, parameters, optimizer, mesh)
    abstract = jax.tree.map(
        lambda a, sharding: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=sharding),
        shapes,
        shardings,
    )
    return abstract, lambda: jax.jit(make, out_shardings=shardings)(jnp.uint32(seed))


def state_shardings(
    abstract: TrainState, parameters: Any, optimizer: optax.GradientTransformation, mesh: Mesh
) -> TrainState:
    """Shardings of a state: the optimiser's moments lie where their parameters do."""
    replicated: Any = NamedSharding(mesh, PartitionSpec())
    of_params = named_shardings(mesh, logical_axes(parameters))
    of_optimizer = optax.tree_utils.tree_map_params(
        optimizer,
        lambda _, sharding: sharding,
        abstract.optimizer,
        of_params,
        transform_non_params=lambda _: replicated,
    )
    r = replicated
    return TrainState(r, r, r, r, r, params=of_params, optimizer=of_optimizer)


def digest(tree: Any) -> jax.Array:
    """A uint32 for every leaf that changes with any bit of it, the same on every mesh.

    Returns:
      uint32 [number of leaves]: sums of the leaf's 32-bit words (narrower dtypes widened), each
      times an odd number that depends on its place, modulo 2^32.
    """

    def of_leaf(leaf):
        if leaf.dtype == jnp.bool_:
            words = leaf.astype(jnp.uint32)
        else:
            bits = leaf.dtype.itemsize * 8
            kind = {8: jnp.uint8, 16: jnp.uint16}.get(bits, jnp.uint32)
            words = jax.lax.bitcast_convert_type(leaf, kind).astype(jnp.uint32)
        place = jax.lax.iota(jnp.uint32, words.size).reshape(words.shape)
        # An odd factor is invertible modulo 2^32: no change of a single word goes unseen.
        return jnp.sum(words * (2 * place + 1) * jnp.uint32(0x9E3779B1), dtype=jnp.uint32)

    return jnp.stack([of_leaf(leaf) for leaf in jax.tree.leaves(tree)])
