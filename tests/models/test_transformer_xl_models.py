"""Transformer-XL as a member of the family: parameters, training, generation, dtypes."""

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
from jaxlm.models import unembedding, unstack
from jaxlm.models.transformer_xl import (
    TransformerXL,
    TransformerXLConfig,
    transformer_xl_parameters,
)
from jaxlm.sharding import MeshConfig, make_mesh, partition_spec
from jaxlm.training.state import plan_state
from jaxlm.training.step import make_train_step, next_token_loss, place_batch

V = 60
POST = TransformerXLConfig(
    vocab_size=V, context_length=64, segment_length=5, memory_length=7, layers=2, width=16,
    heads=2, head_dim=8, hidden=24, compute_dtype="float32",
)  # fmt: skip
PRE = dataclasses.replace(POST, norm_position="pre", tied_embeddings=False, feed_forward="swiglu")
BOTH = pytest.mark.parametrize("config", [POST, PRE], ids=["post", "pre"])


@functools.cache
def make(config):
    return TransformerXL(config), initialize(
        transformer_xl_parameters(config), jax.random.key(0), config.param_dtype
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        # 60 x 16, and per layer 5 maps of 16 x 16, u and v, two norms, 16 x 24 twice with biases.
        (POST, 960 + 2 * (5 * 256 + 2 * 16 + 2 * 32 + 2 * 384 + 24 + 16)),
        (PRE, 2 * 960 + 2 * (5 * 256 + 2 * 16 + 2 * 32 + 3 * 384 + 2 * 24 + 16) + 32),
    ],
    ids=["post", "pre"],
)
def test_parameters(config, expected):
    declared = transformer_xl_parameters(config)
    assert count(declared) == expected
    model, params = make(config)
    abstract = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    chex.assert_trees_all_equal_shapes_and_dtypes(abstract, params)
    jax.tree.map(
        lambda axes, array: chex.assert_equal(len(partition_spec(axes)), array.ndim),
        logical_axes(declared), params, is_leaf=lambda n: isinstance(n, tuple),
    )  # fmt: skip
    for path, decays in jax.tree_util.tree_leaves_with_path(decayed(declared)):
        assert decays == (path[-1].key != "scale" and "bias" not in path[-1].key)


@BOTH
def test_hidden_states_unembed_to_the_logits_and_the_first_loss_is_ln_v(config):
    model, params = make(config)
    output = applied(model)(params, tokens())
    again = functional.unembed(output.hidden_btd, unembedding(params), vocab_size=V)
    np.testing.assert_allclose(output.logits_btv, again, atol=1e-6)
    total, number = functional.cross_entropy(output.logits_btv, tokens(seed=1))
    assert float(total / number) == pytest.approx(math.log(V), rel=0.02)


@BOTH
def test_the_training_step_of_the_family_trains_it(config):
    model, optimizer = TransformerXL(dataclasses.replace(config, dropout=0.05)), optax.adam(1e-2)
    mesh = make_mesh(MeshConfig())
    declared = transformer_xl_parameters(config)
    _, new_state = plan_state(model, declared, optimizer, seed=0, mesh=mesh)
    # Each token is the one 6 places before it: in the memory, beyond the segment of 5.
    row = np.tile(np.random.default_rng(0).permutation(48).reshape(8, 6), 4)
    positions = np.broadcast_to(np.arange(20), (8, 20))
    mask = (positions >= 5) & (positions < 19)
    state, losses = new_state(), []
    step = make_train_step(next_token_loss(model), optimizer, schedule=lambda _: 1e-2)
    for number in range(120):
        shuffled = np.random.default_rng(number).permutation(V)[row]
        batch = {
            "tokens": shuffled[:, :20], "targets": shuffled[:, 1:21], "mask": mask,
            "positions": positions, "segment_ids": np.ones((8, 20), np.int64),
        }  # fmt: skip
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[0] == pytest.approx(math.log(V), rel=0.05)
    assert losses[-1] < losses[0] - 0.5  # a copy from the memory: the tokens are new every step


@BOTH
def test_the_generator_continues_prompts_of_unequal_length(config, monkeypatch):
    """Greedy text equals that of the uncached model.

    The generator takes the cache and the parameters' form for decoding from the model.
    """
    module = importlib.import_module("jaxlm.generation.decode")
    model, params = make(config)
    monkeypatch.setattr(module, "init_cache", lambda _, b, length: model.init_cache(b, length))
    params = unstack(params, config)
    key = "embedding" if config.tied_embeddings else "unembedding"
    params[key] = jax.tree.map(lambda a: a * 30, params[key])  # else logits are nearly equal
    prompts = [[7, 3, 9, 11, 2], [4], [1, 2, 3, 4, 5, 6, 7, 8]]
    result = decode(
        model, params, prompts, max_new_tokens=12, options=SamplingOptions(temperature=0),
        key=jax.random.key(0),
    )  # fmt: skip
    rows = np.zeros((3, 20), np.int32)
    for row, prompt, new in zip(rows, prompts, np.asarray(result.tokens_bn), strict=True):
        row[: len(prompt) + 12] = [*prompt, *new.tolist()]
    best = np.asarray(applied(model)(params, rows).logits_btv.argmax(-1))
    for row, prompt, predicted in zip(rows, prompts, best, strict=True):
        n = len(prompt)
        assert row[n : n + 12].tolist() == predicted[n - 1 : n + 11].tolist()


def text():
    """Random rows of two documents."""
    row = np.random.default_rng(0).integers(0, V, (8, 21)).astype(np.int32)
    segments = np.repeat([[1, 2]], [12, 8], axis=1).repeat(8, axis=0)
    return {
        "tokens": row[:, :-1], "targets": row[:, 1:], "mask": np.ones((8, 20), bool),
        "positions": np.broadcast_to(np.arange(20), (8, 20)), "segment_ids": segments,
    }  # fmt: skip


def test_a_mesh_changes_neither_loss_nor_parameters():
    """One step over data, fsdp and tensor against one device; compiled once."""
    results = []
    for shape in (MeshConfig(), MeshConfig(data=2, fsdp=2, tensor=2)):
        mesh, optimizer, model = make_mesh(shape), optax.sgd(0.1), TransformerXL(PRE)
        declared = transformer_xl_parameters(PRE)
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
    model, params = make(dataclasses.replace(POST, dropout=0.3))
    plain = applied(model)(params, tokens()).hidden_btd
    np.testing.assert_array_equal(plain, applied(make(POST)[0])(params, tokens()).hidden_btd)
    zero, again, one = (
        applied(model)(params, tokens(), dropout_key=jax.random.key(seed)).hidden_btd
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(zero, again)
    assert float(jnp.abs(zero - one).max()) > 1e-2 < float(jnp.abs(zero - plain).max())


def test_bfloat16_compute_with_float32_parameters():
    model, params = make(PRE)
    narrow = TransformerXL(dataclasses.replace(PRE, compute_dtype="bfloat16"))
    output = applied(narrow)(params, tokens())
    assert (output.hidden_btd.dtype, output.logits_btv.dtype) == (jnp.bfloat16, jnp.float32)
    wide = applied(model)(params, tokens()).hidden_btd
    # 8 bits of mantissa through two layers; hidden states are of order 1.
    np.testing.assert_allclose(output.hidden_btd.astype(jnp.float32), wide, atol=0.1)


def test_what_does_not_fit_is_refused():
    model, params = make(POST)
    with pytest.raises(ValueError, match="one segment per row"):
        model.apply(
            {"params": params}, tokens(), segment_ids_bt=tokens(), cache=model.init_cache(2, 7)
        )
    bad = dataclasses.replace(POST, memory_length=0, width=15, feed_forward="softplus", dropout=-1)
    with pytest.raises(InputError) as error:
        TransformerXL(bad).init(jax.random.key(0), tokens())
    assert [problem.split(":")[0] for problem in error.value.problems] == [
        "--model.memory-length 0", "--model.width 15", "--model.feed-forward softplus",
        "--model.dropout -1",
    ]  # fmt: skip
