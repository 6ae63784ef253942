"""The training step: pure, jitted once, its state donated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxlm import functional
from jaxlm.models.decoder import Decoder, unembedding
from jaxlm.sharding import partition_spec
from jaxlm.training.state import TrainState, step_key

Batch = dict[str, Any]
LossFunction = Callable[[Any, Batch, jax.Array | None], tuple[jax.Array, jax.Array]]


def next_token_loss(model: Decoder) -> LossFunction:
    """The pretraining objective: cross-entropy of `targets` where `mask` holds.

    Returns:
      loss(params, batch, key) -> (sum in nats, count); `key` None switches dropout off.
    """

    def loss(params, batch, key):
        output: Any = model.apply(
            {"params": params},
            batch["tokens"],
            positions_bt=batch["positions"],
            segment_ids_bt=batch["segment_ids"],
            dropout_key=key if model.config.dropout > 0 else None,
        )
        return functional.chunked_cross_entropy(
            output.hidden_btd,
            unembedding(params),
            batch["targets"],
            batch["mask"],
            vocab_size=model.config.vocab_size,
            softcap=model.config.logit_softcap,
        )

    return loss


def make_train_step(
    loss_fn: LossFunction,
    optimizer: optax.GradientTransformation,
    *,
    schedule: Callable[[jax.Array], jax.Array],
    accumulate: int = 1,
    shardings: Any = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, dict[str, jax.Array]]]:
    """A jitted `train_step(state, batch) -> (state, metrics)`.

    The loss and the gradient are sums over the whole batch, divided once by the whole count, so
    that micro-batches, padding, packing and devices do not change them. A step whose loss,
    gradient or update is not finite leaves parameters and optimiser untouched and is counted.

    Args:
      loss_fn: (params, batch, key) -> (sum, count).
      optimizer: from Optax.
      schedule: the learning rate, for the metrics.
      accumulate: micro-batches; must divide the rows of the batch.
      shardings: those of the abstract state from `plan_state`; None for one device.

    Returns:
      The step. Metrics are scalars: loss, tokens, gradient_norm, learning_rate, skipped,
      skipped_in_a_row.
    """
    differentiate = jax.value_and_grad(loss_fn, has_aux=True)

    def summed_gradient(params, batch, key):
        if accumulate == 1:
            return differentiate(params, batch, key)

        def add(carry, micro):
            index, rows = micro
            result = differentiate(params, rows, jax.random.fold_in(key, index))
            return jax.tree.map(jnp.add, carry, result), None

        # Row r goes to micro-batch r % accumulate: every device keeps its own rows.
        micro_batches = jax.tree.map(
            lambda a: jnp.swapaxes(a.reshape(-1, accumulate, *a.shape[1:]), 0, 1), batch
        )
        shapes = jax.eval_shape(
            differentiate, params, jax.tree.map(lambda a: a[0], micro_batches), key
        )
        start = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
        return jax.lax.scan(add, start, (jnp.arange(accumulate), micro_batches))[0]

    def train_step(state, batch):
        key = step_key(state.seed, "dropout", state.step)
        (total, count), gradient = summed_gradient(state.params, batch, key)
        count_or_one = jnp.maximum(count, 1)
        loss = total / count_or_one
        gradient = jax.tree.map(lambda g: g / count_or_one.astype(g.dtype), gradient)
        norm = optax.tree.norm(gradient)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.params)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm) & jnp.isfinite(optax.tree.norm(updates))
        params = optax.apply_updates(state.params, updates)
        params, optimizer_state = jax.tree.map(
            lambda new, old: jnp.where(finite, new, old),
            (params, optimizer_state),
            (state.params, state.optimizer),
        )
        bad = 1 - finite.astype(jnp.int32)
        new_state = TrainState(
            step=state.step + 1,
            rows_consumed=state.rows_consumed + batch["tokens"].shape[0],
            seed=state.seed,
            skipped=state.skipped + bad,
            skipped_in_a_row=(state.skipped_in_a_row + bad) * bad,
            params=params,
            optimizer=optimizer_state,
        )
        metrics = {
            "loss": loss,
            "tokens": count,
            "gradient_norm": norm,
            "learning_rate": schedule(state.step - state.skipped),
            "skipped": new_state.skipped,
            "skipped_in_a_row": new_state.skipped_in_a_row,
        }
        return new_state, metrics

    if shardings is None:
        return jax.jit(train_step, donate_argnums=0)
    replicated = NamedSharding(shardings.step.mesh, PartitionSpec())
    # Without out_shardings the second call would compile again on a mesh.
    return jax.jit(train_step, donate_argnums=0, out_shardings=(shardings, replicated))


def make_loss_step(loss_fn: LossFunction) -> Callable[[Any, Batch], tuple[jax.Array, jax.Array]]:
    """A jitted `(params, batch) -> (sum, count)` without dropout, for evaluation."""
    return jax.jit(lambda params, batch: loss_fn(params, batch, None))


def place_batch(batch: dict[str, np.ndarray], mesh: Mesh) -> Batch:
    """Puts a host batch on the mesh, rows divided over the batch axes.

    Every process holds the whole batch and hands over the rows of its own devices.
    """

    def place(array):
        axes = ("batch", *["length"] * (array.ndim - 1))
        sharding = NamedSharding(mesh, partition_spec(axes))
        return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])

    return {name: place(array) for name, array in batch.items()}
