"""Imported models agree with an independent implementation: logits and hidden states."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family import applied

from jaxlm import layers
from jaxlm.interop import read_huggingface
from jaxlm.layers.declare import Parameter, count
from jaxlm.models import Decoder, decoder_parameters, init_cache, unstack
from jaxlm.models.decoder import split_layers

TOLERANCE = 1e-4  # float32 in both; logits are of order 1
NAMES = [
    "gpt2", "llama", "llama_rope_llama3", "mistral_swa", "qwen2", "qwen3", "gemma2", "mixtral",
]  # fmt: skip
MODELS = pytest.mark.parametrize("name", NAMES)


@functools.cache
def imported(folder):
    config, params = read_huggingface(folder)
    return dataclasses.replace(config, compute_dtype="float32"), params


@pytest.fixture
def case(shared, name):
    """(config, params, tokens, reference) of one model."""
    folder = shared / "data" / "hf_tiny" / name
    config, params = imported(folder)
    reference = np.load(folder / "reference.npz")
    return config, params, jnp.asarray(reference["input_ids"], jnp.int32), reference


def logits(output, config):
    return output.logits_btv[..., : config.vocab_size]


@MODELS
@pytest.mark.parametrize("scan", [False, True])
def test_logits(case, scan):
    config, params, tokens, reference = case
    output = applied(Decoder(config, scan_layers=scan))(params, tokens)
    np.testing.assert_allclose(logits(output, config), reference["logits"], atol=TOLERANCE)


@MODELS
def test_hidden_states_after_every_block(case):
    config, params, tokens, reference = case
    expected = reference["hidden_states"]  # the embeddings first, the last one after the last norm
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
    embed = layers.Embedding(
        vocab_size=config.vocab_size, padded_vocab_size=config.padded_vocab_size,
        width=config.width, positions=config.positions, context_length=config.context_length,
        scaled=config.scaled_embeddings,
    )  # fmt: skip
    x, _ = embed.apply({"params": params["embedding"]}, tokens, positions)
    np.testing.assert_allclose(x, expected[0], atol=TOLERANCE)
    for i, p in enumerate(split_layers(params["blocks"], config.layers)[:-1]):
        block = layers.Block(config, config.is_local(i))
        x = jax.jit(block.apply)({"params": p}, x, positions_bt=positions).x_btd
        np.testing.assert_allclose(x, expected[i + 1], atol=TOLERANCE)
    hidden = applied(Decoder(config))(params, tokens).hidden_btd
    np.testing.assert_allclose(hidden, expected[-1], atol=TOLERANCE)


@MODELS
def test_logits_with_a_cache(case):
    config, params, tokens, reference = case
    model, params = Decoder(config), unstack(params, config)
    output = applied(model)(params, tokens[:, :11], cache=init_cache(config, 2, 32))
    parts = [logits(output, config)]
    for at in range(11, tokens.shape[1]):
        positions = jnp.full((2, 1), at)
        output = applied(model)(
            params, tokens[:, at : at + 1], positions_bt=positions, cache=output.cache
        )
        parts.append(logits(output, config))
    np.testing.assert_allclose(jnp.concatenate(parts, 1), reference["logits"], atol=TOLERANCE)


@MODELS
def test_the_whole_tree_is_read(case):
    config, params, _, _ = case
    declared = decoder_parameters(config)
    assert jax.tree.map(lambda a: a.shape, params) == jax.tree.map(
        lambda p: p.shape, declared, is_leaf=lambda n: isinstance(n, Parameter)
    )
    assert all((np.asarray(a) != 0).any() for a in jax.tree.leaves(params["blocks"]["attention"]))
    assert count(declared) == sum(a.size for a in jax.tree.leaves(params))  # vocabulary of 128


def test_left_padded_prompts_equal_those_alone(shared):
    """With experts too, since none is ever full."""
    for name in ("mistral_swa", "gemma2", "mixtral"):
        folder = shared / "data" / "hf_tiny" / name
        config, params = imported(folder)
        tokens = jnp.asarray(np.load(folder / "reference.npz")["input_ids"], jnp.int32)
        expected = logits(applied(Decoder(config))(params, tokens[:1, :9]), config)
        padded = jnp.concatenate([jnp.full((1, 5), 7, jnp.int32), tokens[:1, :9]], 1)
        output = applied(Decoder(config))(
            params, padded, positions_bt=jnp.maximum(jnp.arange(14) - 5, 0)[None],
            segment_ids_bt=(jnp.arange(14) >= 5).astype(jnp.int32)[None],
        )  # fmt: skip
        np.testing.assert_allclose(logits(output, config)[:, 5:], expected, atol=1e-5)
