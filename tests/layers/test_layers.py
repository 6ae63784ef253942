"""Modules one by one: what they declare, and that each can be lifted out."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family import FAMILY, make

from jaxlm import functional, layers
from jaxlm.layers.block import block_parameters
from jaxlm.layers.declare import fan_in, initialize, normal, zeros

KEY = jax.random.key(0)
POSITIONS = jnp.broadcast_to(jnp.arange(4), (2, 4))


def inputs(width=32):
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, width)), jnp.float32)


@FAMILY
def test_a_block_alone_is_a_slice_of_the_decoder(config):
    model, params = make(config)
    block = layers.Block(config)
    alone = jax.jit(block.init)(KEY, inputs(), positions_bt=POSITIONS)["params"]
    slices = [jax.tree.map(lambda a, i=i: a[i], params["blocks"]) for i in range(config.layers)]
    chex.assert_trees_all_equal_shapes_and_dtypes(alone, *slices)
    assert set(alone) == set(block_parameters(config))
    # One after the other they are the decoder between its embedding and its last norm.
    tokens = jnp.arange(8).reshape(2, 4)
    expected = model.apply({"params": params}, tokens).hidden_btd
    x = params["embedding"]["token"][tokens]
    if config.positions == "learned":
        x += params["embedding"]["position"][POSITIONS]
    if config.positions == "sinusoidal":
        x += functional.sinusoidal(POSITIONS, 32)
    for p in slices:
        x, *_ = block.apply({"params": p}, x, positions_bt=POSITIONS)
    if config.norm_position == "pre":
        norm = layers.Norm(config.norm, config.bias, config.norm_epsilon)
        x = norm.apply({"params": params["final_norm"]}, x)
    np.testing.assert_allclose(x, expected, atol=1e-5)  # compiled whole or in parts


@FAMILY
def test_a_block_normalises_where_it_says(config):
    """The residual stream is x + f(norm(x)), or norm(x + f(x)) for post-norm."""
    _, params = make(config)
    p = jax.tree.map(lambda a: a[0], params["blocks"])
    x = inputs() * 5
    found, *_ = layers.Block(config).apply({"params": p}, x, positions_bt=POSITIONS)

    def norm(name, x):
        if config.norm == "rms":
            return functional.rms_norm(x, p[name]["scale"])
        return functional.layer_norm(x, p[name]["scale"], p[name]["bias"])

    def attend(x):
        theta = config.rotary_theta if config.positions == "rotary" else None
        return functional.attention_block(
            p["attention"], x, positions_bt=POSITIONS, rotary_theta=theta
        )[0]

    def feed(x):
        return functional.feed_forward(p["feed_forward"], x, activation=config.feed_forward)

    if config.norm_position == "pre":
        x = x + attend(norm("attention_norm", x))
        x = x + feed(norm("feed_forward_norm", x))
    else:
        x = norm("attention_norm", x + attend(x))
        x = norm("feed_forward_norm", x + feed(x))
    np.testing.assert_allclose(found, x, atol=1e-5)


@pytest.mark.parametrize(
    "module",
    [
        layers.Attention(heads=4, kv_heads=2, head_dim=6, qkv_bias=True, bias=True),
        layers.FeedForward(hidden=7, activation="geglu", bias=True),
        layers.Norm("layer", bias=True),
        layers.Norm("rms"),
    ],
    ids=["attention", "feed_forward", "layer_norm", "rms_norm"],
)
def test_each_module_works_alone(module):
    arguments = {"positions_bt": POSITIONS} if isinstance(module, layers.Attention) else {}
    output, variables = jax.jit(module.init_with_output)(KEY, inputs(), **arguments)
    chex.assert_shape(output[0] if arguments else output, (2, 4, 32))
    assert set(variables) == {"params"}
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(variables))


def test_embedding_returns_its_table():
    module = layers.Embedding(
        vocab_size=5, padded_vocab_size=128, width=8, positions="learned", context_length=6
    )
    (x, table), variables = module.init_with_output(KEY, jnp.array([[4, 1]]), jnp.array([[0, 5]]))
    p = variables["params"]
    expected = p["token"][jnp.array([4, 1])] + p["position"][jnp.array([0, 5])]
    np.testing.assert_allclose(x[0], expected, atol=1e-7)
    np.testing.assert_array_equal(table, p["token"])


def test_initial_values_depend_on_the_path_only():
    declared = {
        "a": layers.Parameter((4, 8), ("embed", "hidden"), fan_in(1)),
        "b": {"a": layers.Parameter((4, 8), ("embed", "hidden"), fan_in(1))},
    }
    both = initialize(declared, KEY, "float32")
    one = initialize({"b": declared["b"]}, KEY, "float32")
    np.testing.assert_array_equal(both["b"]["a"], one["b"]["a"])
    assert not np.array_equal(both["a"], both["b"]["a"])


def test_stacked_parameters():
    declared = {
        "table": layers.Parameter((3, 4), ("vocab", "embed"), normal(1.0, used=2), padding=4),
        "bias": layers.Parameter((4,), ("norm",), zeros, decay=False),
    }
    stacked = layers.stack(declared, 5)
    arrays = initialize(stacked, KEY, "bfloat16")
    chex.assert_shape(arrays["table"], (5, 3, 4))
    assert arrays["table"].dtype == jnp.bfloat16
    assert (arrays["table"][:, 2] == 0).all()
    assert layers.logical_axes(stacked)["table"] == ("layers", "vocab", "embed")
    assert not stacked["bias"].decay
    assert layers.count(stacked) == 5 * (8 + 4)
