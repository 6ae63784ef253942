"""Recurrent language models: parameters, caches, packing, training and generation."""

import dataclasses
import functools
import importlib
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from family import applied, tokens

from jaxlm import functional
from jaxlm.errors import InputError
from jaxlm.generation import SamplingOptions, decode
from jaxlm.layers.declare import count, decayed, initialize, logical_axes
from jaxlm.models import unembedding
from jaxlm.models.recurrent import Recurrent, RecurrentConfig, recurrent_parameters
from jaxlm.sharding import MeshConfig, make_mesh, partition_spec
from jaxlm.training.state import plan_state
from jaxlm.training.step import make_train_step, next_token_loss, place_batch

V = 60
LSTM = RecurrentConfig(
    vocab_size=V, context_length=32, layers=2, width=16, hidden=24, compute_dtype="float32"
)
GRU = dataclasses.replace(LSTM, cell="gru", tied_embeddings=False)
RNN = dataclasses.replace(LSTM, cell="rnn", hidden=16, layers=1)
EVERY = pytest.mark.parametrize("config", [LSTM, GRU, RNN], ids=["lstm", "gru", "rnn"])
TOLERANCE = 1e-5  # float32, the same sums in another order


@functools.cache
def make(config):
    return Recurrent(config), initialize(
        recurrent_parameters(config), jax.random.key(0), config.param_dtype
    )


def logits(model, params, *args, **kwargs):
    return applied(model)(params, *args, **kwargs).logits_btv[..., :V]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # 60 x 16; 4 gates: 16 x 24 + 24 x 24 + 24, then 24 x 24 twice; the map from 24 to 16.
        (LSTM, 960 + 4 * (384 + 576 + 24) + 4 * (576 + 576 + 24) + 384),
        # 3 gates, the candidate's second bias, and an output table of 60 x 24 instead.
        (GRU, 960 + 3 * (384 + 576 + 24) + 24 + 3 * (576 + 576 + 24) + 24 + 1440),
        (RNN, 960 + (256 + 256 + 16)),
    ],
    ids=["lstm", "gru", "rnn"],
)
def test_parameters(config, expected):
    declared = recurrent_parameters(config)
    assert count(declared) == expected
    model = Recurrent(config)
    abstract = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    params = make(config)[1]
    chex.assert_trees_all_equal_shapes_and_dtypes(abstract, params)
    jax.tree.map(
        lambda axes, array: chex.assert_equal(len(partition_spec(axes)), array.ndim),
        logical_axes(declared), params, is_leaf=lambda n: isinstance(n, tuple),
    )  # fmt: skip
    for path, decays in jax.tree_util.tree_leaves_with_path(decayed(declared)):
        assert decays == ("bias" not in path[-1].key)
    if config.cell == "lstm":
        assert params["layer_0"]["bias"].sum(1).tolist() == [0, 24, 0, 0]


@EVERY
def test_hidden_states_unembed_to_the_logits_and_the_first_loss_is_ln_v(config):
    model, params = make(config)
    output = applied(model)(params, tokens())
    again = functional.unembed(output.hidden_btd, unembedding(params), vocab_size=V)
    np.testing.assert_allclose(output.logits_btv, again, atol=1e-6)
    total, number = functional.cross_entropy(output.logits_btv, tokens(seed=1))
    assert float(total / number) == pytest.approx(math.log(V), rel=0.02)


@EVERY
def test_a_changed_token_changes_the_logits_from_it_on(config):
    model, params = make(config)
    changed = tokens().at[:, 13].set((tokens()[:, 13] + 7) % V)
    before, after = logits(model, params, tokens()), logits(model, params, changed)
    np.testing.assert_array_equal(before[:, :13], after[:, :13])
    assert (jnp.abs(before - after)[:, 13:].max(-1) > 1e-7).all()


@EVERY
def test_documents_in_a_row_equal_documents_alone(config):
    model, params = make(config)
    row, segments = tokens(1, 20), jnp.asarray(np.repeat([[1, 2, 0]], [9, 6, 5], axis=1))
    together = logits(model, params, row, segment_ids_bt=segments)
    for first, last in ((0, 9), (9, 15)):
        alone = logits(model, params, row[:, first:last])
        np.testing.assert_allclose(together[:, first:last], alone, atol=TOLERANCE)


@EVERY
def test_left_padding_changes_nothing(config):
    model, params = make(config)
    row = jnp.concatenate([jnp.full((2, 4), 3), tokens()], axis=1)
    segments = jnp.asarray(np.repeat([[0, 1]] * 2, [4, 20], axis=1))
    found = logits(model, params, row, segment_ids_bt=segments)[:, 4:]
    np.testing.assert_allclose(found, logits(model, params, tokens()), atol=TOLERANCE)


@EVERY
@pytest.mark.parametrize("slots", [1, 8])
def test_a_stream_in_pieces_equals_the_whole(config, slots):
    model, params = make(config)
    expected = logits(model, params, tokens())
    cache, parts, first = model.init_cache(2, slots), [], 0
    for length in (9, 1, 9, 1):
        positions = jnp.broadcast_to(jnp.arange(first, first + length), (2, length))
        piece = tokens()[:, first : first + length]
        output = applied(model)(params, piece, positions_bt=positions, cache=cache)
        cache, first = output.cache, first + length
        parts.append(output.logits_btv[..., :V])
    np.testing.assert_allclose(jnp.concatenate(parts, 1), expected, atol=TOLERANCE)


@EVERY
def test_prompts_of_unequal_length_in_one_batch(config):
    model, params = make(config)
    inputs, lengths, rows = tokens(3, 20), np.array([4, 11, 7]), np.arange(3)
    expected = logits(model, params, inputs)
    output = applied(model)(params, inputs[:, :11], cache=model.init_cache(3, 20))
    for step in range(9):
        at = lengths + step
        output = applied(model)(
            params, inputs[rows, at][:, None], positions_bt=jnp.asarray(at)[:, None],
            cache=output.cache,
        )  # fmt: skip
        found = output.logits_btv[:, 0, :V]
        np.testing.assert_allclose(found, expected[rows, at], atol=TOLERANCE)


def text(rows=8, t=16):
    """The next token follows from the one before it and the parity of its place."""
    row = np.zeros((rows, t + 1), np.int64)
    row[:, 0] = np.arange(rows)
    for at in range(t):
        row[:, at + 1] = (row[:, at] * 3 + at % 2 + 1) % V
    return {
        "tokens": row[:, :-1], "targets": row[:, 1:], "mask": np.ones((rows, t), bool),
        "positions": np.broadcast_to(np.arange(t), (rows, t)),
        "segment_ids": np.ones((rows, t), np.int64),
    }  # fmt: skip


@EVERY
def test_the_training_step_of_the_family_trains_it(config):
    model = Recurrent(dataclasses.replace(config, dropout=0.05))
    optimizer = optax.adam(1e-2)
    mesh = make_mesh(MeshConfig())
    _, new_state = plan_state(model, recurrent_parameters(config), optimizer, seed=0, mesh=mesh)
    state, losses = new_state(), []
    step = make_train_step(next_token_loss(model), optimizer, schedule=lambda _: 1e-2)
    for _ in range(60):
        state, metrics = step(state, text())
        losses.append(float(metrics["loss"]))
    assert losses[0] == pytest.approx(math.log(V), rel=0.05)
    assert losses[-1] < 2.0
    assert int(state.skipped) == 0


@pytest.mark.parametrize("config", [LSTM, GRU], ids=["lstm", "gru"])
def test_a_mesh_changes_neither_loss_nor_parameters(config):
    """One step over data, fsdp and tensor against one device; compiled once."""
    results = []
    for shape in (MeshConfig(), MeshConfig(data=2, fsdp=2, tensor=2)):
        mesh, optimizer, model = make_mesh(shape), optax.sgd(0.1), Recurrent(config)
        declared = recurrent_parameters(config)
        with jax.set_mesh(mesh):
            abstract, new_state = plan_state(model, declared, optimizer, seed=0, mesh=mesh)
            shardings, state = jax.tree.map(lambda a: a.sharding, abstract), new_state()
            step = make_train_step(
                next_token_loss(model), optimizer, schedule=lambda _: 0.1, shardings=shardings
            )
            for _ in range(2):
                state, metrics = step(state, place_batch(text(), mesh))
        assert step._cache_size() == 1
        results.append((float(metrics["loss"]), jax.tree.map(np.asarray, state.params)))
    assert results[1][0] == pytest.approx(results[0][0], abs=1e-5)
    chex.assert_trees_all_close(results[1][1], results[0][1], atol=1e-6)


def test_dropout_is_off_without_a_key_and_differs_by_key():
    model, params = make(dataclasses.replace(LSTM, dropout=0.3))
    plain = logits(model, params, tokens())
    np.testing.assert_array_equal(plain, logits(make(LSTM)[0], params, tokens()))
    zero, again, one = (
        logits(model, params, tokens(), dropout_key=jax.random.key(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(zero, again)
    assert float(jnp.abs(zero - one).max()) > 1e-3 < float(jnp.abs(zero - plain).max())


@EVERY
def test_the_generator_continues_prompts_of_unequal_length(config, monkeypatch):
    """Greedy text equals that of the uncached model.

    The generator takes the cache and the parameters' form for decoding from the model.
    """
    module = importlib.import_module("jaxlm.generation.decode")
    model, params = make(config)
    model = Recurrent(dataclasses.replace(config, context_length=64))
    monkeypatch.setattr(module, "init_cache", lambda _, b, length: model.init_cache(b, length))
    monkeypatch.setattr(module, "_unstack", lambda params, _: params)
    table = params["embedding"]["token"] * 30  # else all logits are nearly equal
    key = "embedding" if config.tied_embeddings else "unembedding"
    params = dict(params)
    params[key] = {"token": table} if config.tied_embeddings else params[key] * 30
    prompts = [[7, 3, 9, 11, 2], [4], [1, 2, 3, 4, 5, 6, 7, 8]]
    result = decode(
        model, params, prompts, max_new_tokens=12, options=SamplingOptions(temperature=0),
        key=jax.random.key(0),
    )  # fmt: skip
    rows = np.zeros((3, 20), np.int32)
    for row, prompt, new in zip(rows, prompts, np.asarray(result.tokens_bn), strict=True):
        row[: len(prompt) + 12] = [*prompt, *new.tolist()]
    best = np.asarray(logits(model, params, rows).argmax(-1))
    for row, prompt, predicted in zip(rows, prompts, best, strict=True):
        n = len(prompt)
        assert row[n : n + 12].tolist() == predicted[n - 1 : n + 11].tolist()


def test_what_does_not_fit_is_refused():
    model, params = make(LSTM)
    with pytest.raises(ValueError, match="one segment per row"):
        model.apply(
            {"params": params}, tokens(), segment_ids_bt=tokens(), cache=model.init_cache(2, 1)
        )
    bad = dataclasses.replace(LSTM, cell="elman", hidden=0, dropout=1.0)
    with pytest.raises(InputError) as error:
        Recurrent(bad).init(jax.random.key(0), tokens())
    assert [problem.split(":")[0] for problem in error.value.problems] == [
        "--model.hidden 0", "--model.cell elman", "--model.dropout 1.0"
    ]  # fmt: skip
    with pytest.raises(InputError, match="jax_enable_x64"):
        Recurrent(dataclasses.replace(LSTM, param_dtype="float64")).init(
            jax.random.key(0), tokens()
        )
