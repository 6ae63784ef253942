"""Packed documents equal the same documents in rows of their own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from chex import assert_trees_all_close
from family import FAMILY, LLAMA, VOCABULARY, applied, make, tokens

from jaxlm import functional
from jaxlm.data.loader import BatchLoader
from jaxlm.data.packing import plan_rows

LENGTHS = (9, 5, 12)
FILLER = 32 - sum(LENGTHS)


def targets_and_mask(row, segments):
    """The next token of the same document."""
    last = jnp.diff(segments, axis=1, append=-1) != 0
    return jnp.roll(row, -1, axis=1), ~last & (segments > 0)


def packed():
    """One row of three documents and padding."""
    documents = [tokens(1, n, seed=n)[0] for n in LENGTHS]
    row = jnp.concatenate([*documents, jnp.full(FILLER, 3, jnp.int32)])[None]
    segments = jnp.asarray(np.repeat([1, 2, 3, 0], [*LENGTHS, FILLER]))[None]
    positions = jnp.concatenate([jnp.arange(n) for n in [*LENGTHS, FILLER]])[None]
    return row, positions, segments


def separate(length):
    """The same documents in rows of their own, padded to `length`."""
    rows, segments = np.full((3, length), 3, np.int32), np.zeros((3, length), np.int32)
    for i, n in enumerate(LENGTHS):
        rows[i, :n], segments[i, :n] = tokens(1, n, seed=n)[0], 1
    positions = np.broadcast_to(np.arange(length), rows.shape)
    return jnp.asarray(rows), jnp.asarray(positions), jnp.asarray(segments)


def loss_and_gradient(model, params, row, positions, segments):
    targets, mask = targets_and_mask(row, segments)

    @jax.jit
    def loss(params):
        output = model.apply(
            {"params": params}, row, positions_bt=positions, segment_ids_bt=segments
        )
        total, count = functional.cross_entropy(output.logits_btv, targets, mask)
        return total / count, output.logits_btv[..., :VOCABULARY]

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(params)


@FAMILY
def test_packing_equals_separate_rows(config):
    model, params = make(config)
    (loss, logits), gradient = loss_and_gradient(model, params, *packed())
    (loss_alone, logits_alone), gradient_alone = loss_and_gradient(model, params, *separate(16))
    assert float(loss) == pytest.approx(float(loss_alone), abs=1e-6)
    joined = jnp.concatenate([logits_alone[i, :n] for i, n in enumerate(LENGTHS)])
    # float32, the same sums in another order
    np.testing.assert_allclose(logits[0, : sum(LENGTHS)], joined, atol=1e-5)
    assert_trees_all_close(gradient, gradient_alone, atol=1e-5)


@FAMILY
def test_padding_to_a_longer_row_changes_nothing(config):
    model, params = make(config)
    (loss, _), gradient = loss_and_gradient(model, params, *separate(12))
    (longer_loss, _), longer_gradient = loss_and_gradient(model, params, *separate(32))
    assert float(loss) == pytest.approx(float(longer_loss), abs=1e-6)
    assert_trees_all_close(gradient, longer_gradient, atol=1e-5)


@FAMILY
def test_a_document_does_not_see_its_neighbours(config):
    model, params = make(config)
    row, positions, segments = packed()
    arguments = {"positions_bt": positions, "segment_ids_bt": segments}
    before = applied(model)(params, row, **arguments).logits_btv
    after = applied(model)(params, row.at[0, 3].set((row[0, 3] + 1) % 60), **arguments).logits_btv
    changed = np.flatnonzero((before != after)[0, :, :VOCABULARY].any(-1))
    assert changed.tolist() == list(range(3, 9))


@pytest.mark.parametrize("packing", ["best_fit", "concatenate"])
def test_the_loader_s_rows_equal_documents_alone(packing):
    model, params = make(LLAMA)
    stream = np.concatenate([np.asarray(tokens(1, n, seed=n)[0]) for n in LENGTHS])

    def loss(context, packing):
        plan = plan_rows(np.array(LENGTHS), context, packing)
        assert plan.documents_cut == 0
        loader = BatchLoader(stream, plan, batch_size=1, seed=0)
        (b,) = loader.evaluation_batches(plan.rows)
        output = applied(model)(
            params, b["tokens"], positions_bt=b["positions"], segment_ids_bt=b["segment_ids"]
        )
        total, count = functional.cross_entropy(output.logits_btv, b["targets"], b["mask"])
        return plan.rows, float(count), float(total)

    rows, count, packed_loss = loss(sum(LENGTHS), packing)
    assert rows == 1
    alone = loss(11, "best_fit")
    assert alone[:2] == (3, count)  # 8, 4 and 11 transitions in rows of 11
    assert packed_loss == pytest.approx(alone[2], rel=1e-6)
