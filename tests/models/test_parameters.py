"""Which parameters a decoder has: published counts, shapes, axes, initial values."""

import dataclasses
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family import FAMILY, LLAMA, VOCABULARY, make, tokens

from jaxlm import functional
from jaxlm.layers.declare import Parameter, decayed, logical_axes
from jaxlm.models import Decoder, decoder_parameters, parameter_count, presets
from jaxlm.sharding import partition_spec

LLAMA_3_2_1B = presets.llama3_2_1b()


def shapes(tree):
    return jax.tree.map(lambda p: p.shape, tree, is_leaf=lambda n: isinstance(n, Parameter))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (presets.gpt2(), 124_439_808),
        (presets.gpt2(qkv_bias=False), 124_412_160),
        (presets.gpt2(qkv_bias=False, tied=False), 163_009_536),
        (presets.gpt2_medium(), 354_823_168),
        (presets.gpt2(layers=24, width=1024, heads=16, tied=False), 406_286_336),
        (presets.gpt2_large(), 774_030_080),
        (presets.gpt2(layers=36, width=1280, heads=20, tied=False), 838_359_040),
        (presets.gpt2_xl(), 1_557_611_200),
        (presets.gpt2(layers=48, width=1600, heads=25, tied=False), 1_638_022_400),
        (presets.llama2_7b(), 6_738_415_616),
        (presets.llama3_8b(), 8_030_261_248),
        (LLAMA_3_2_1B, 1_235_814_400),
        (dataclasses.replace(LLAMA_3_2_1B, tied_embeddings=False), 1_498_482_688),
        (presets.llama3_2_3b(), 3_212_749_824),
        (presets.smollm2_135m(), 134_515_008),
        (presets.smollm2_360m(), 361_821_120),
        (presets.smollm2_1_7b(), 1_711_376_384),
        (presets.mistral_7b(), 7_241_732_096),
        (presets.mixtral_8x7b(), 46_702_792_704),
        (presets.qwen3_0_6b(), 596_049_920),
        (presets.gemma2_2b(), 2_614_341_888),
        (presets.gemma3_270m(), 268_098_176),
        (presets.gemma3_1b(), 999_885_952),
    ],
)
def test_published_parameter_counts(config, expected):
    assert parameter_count(config) == expected
    model = Decoder(config, scan_layers=True)
    abstract = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    tables = 1 if config.tied_embeddings else 2
    padding = tables * (config.padded_vocab_size - config.vocab_size) * config.width
    assert sum(math.prod(a.shape) for a in jax.tree.leaves(abstract)) - padding == expected
    chex.assert_trees_all_equal(
        jax.tree.map(lambda a: a.shape, abstract), shapes(decoder_parameters(config))
    )


@FAMILY
def test_parameters_are_what_was_declared(config):
    _, params = make(config)
    declared = decoder_parameters(config)
    chex.assert_trees_all_equal(jax.tree.map(lambda a: a.shape, params), shapes(declared))
    jax.tree.map(
        lambda axes, array: chex.assert_equal(len(partition_spec(axes)), array.ndim),
        logical_axes(declared),
        params,
        is_leaf=lambda n: isinstance(n, tuple),
    )
    # Biases, scales and nothing else escape weight decay.
    for path, decays in jax.tree_util.tree_leaves_with_path(decayed(declared)):
        name = path[-1].key
        assert decays == (name != "scale" and "bias" not in name), path


@FAMILY
def test_initial_values(config):
    _, params = make(config)
    table = params["embedding"]["token"]
    assert (table[VOCABULARY:] == 0).all()
    assert float(table[:VOCABULARY].std()) == pytest.approx(0.02, rel=0.1)
    blocks = params["blocks"]
    fan_in = {"query": 32, "key": 32, "value": 32, "out": 32, "gate": 32, "up": 32, "down": 48}
    residual = {"out": 0.5, "down": 0.5}  # 1 / sqrt(2 * 2 layers)
    for part in ("attention", "feed_forward"):
        for name, kernel in blocks[part].items():
            if "bias" in name:
                assert (kernel == 0).all()
                continue
            expected = residual.get(name, 1.0) * fan_in[name] ** -0.5
            assert float(kernel.std()) == pytest.approx(expected, rel=0.15), name
            assert not np.array_equal(kernel[0], kernel[1])  # layers differ


@FAMILY
def test_loss_at_initialisation_is_ln_v(config):
    assert first_loss(config, 4, 32) == pytest.approx(math.log(VOCABULARY), rel=0.02)


@pytest.mark.parametrize("size", ["tiny", "small"])
def test_loss_of_presets_at_initialisation_is_ln_v(size):
    config = dataclasses.replace(getattr(presets, size)(), layers=2)
    assert first_loss(config, 2, 128) == pytest.approx(math.log(config.vocab_size), rel=0.02)


def first_loss(config, b, t):
    model, params = make(config)

    @jax.jit
    def loss(params):
        output = model.apply({"params": params}, tokens(b, t, v=config.vocab_size))
        total, count = functional.cross_entropy(
            output.logits_btv, tokens(b, t, seed=1, v=config.vocab_size)
        )
        return total / count

    return float(loss(params))


def test_the_key_decides_the_parameters():
    init = jax.jit(Decoder(LLAMA).init)
    zeros = jnp.zeros((1, 1), jnp.int32)
    again = init(jax.random.key(0), zeros)["params"]
    chex.assert_trees_all_equal(again, make(LLAMA)[1])
    other = init(jax.random.key(1), zeros)["params"]
    assert not np.array_equal(other["embedding"]["token"], again["embedding"]["token"])
    # Arrays of one shape do not share their values.
    feed_forward = again["blocks"]["feed_forward"]
    assert not np.array_equal(feed_forward["gate"], feed_forward["up"])
