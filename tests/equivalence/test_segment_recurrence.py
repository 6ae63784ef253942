"""Transformer-XL: the naive formula, one long segment, caches, packed rows."""

import dataclasses
import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family import applied, tokens

from jaxlm import functional
from jaxlm.functional.relative_positions import (
    relative_attention,
    relative_shift,
    split_segments,
)
from jaxlm.layers.declare import initialize
from jaxlm.models.transformer_xl import (
    TransformerXL,
    TransformerXLConfig,
    transformer_xl_parameters,
)

V = 60
POST = TransformerXLConfig(
    vocab_size=V, context_length=32, segment_length=5, memory_length=7, layers=2, width=16,
    heads=2, head_dim=8, hidden=24, compute_dtype="float32",
)  # fmt: skip
PRE = dataclasses.replace(POST, norm_position="pre", tied_embeddings=False, feed_forward="swiglu")
PAPER = dataclasses.replace(POST, same_length=False)
EVERY = pytest.mark.parametrize("config", [POST, PRE, PAPER], ids=["post", "pre", "paper"])
TOLERANCE = 1e-5  # float32, the same sums in another order


@functools.cache
def make(config):
    """(model, params) with biases u and v that are not zero."""
    params = initialize(transformer_xl_parameters(config), jax.random.key(0), config.param_dtype)
    for name in ("content_bias", "position_bias"):
        bias = params["blocks"]["attention"][name]
        params["blocks"]["attention"][name] = jnp.sin(jnp.arange(bias.size)).reshape(bias.shape)
    return TransformerXL(config), params


def draw(b=2, t=4, s=7, n=2, h=3, seed=0):
    random = np.random.default_rng(seed)
    shapes = [(b, t, n, h), (b, s, n, h), (b, s, n, h), (s, n, h), (n, h), (n, h)]
    return [random.normal(size=shape) for shape in shapes]


def naive(q, k, v, r, content_bias, position_bias, window, visible):
    """The four terms of section 3.3, one query, key and head at a time, in float64."""
    (b, t, n, h), s = q.shape, k.shape[1]
    out = np.zeros((b, t, n, h))
    for row, i, head in itertools.product(range(b), range(t), range(n)):
        place = s - t + i
        seen = [j for j in range(place + 1) if visible[row, i, j]]
        seen = [j for j in seen if window is None or place - j < window]
        logits = []
        for j in seen:
            of_distance = r[s - 1 - (place - j), head]
            content = q[row, i, head] @ k[row, j, head]
            position = q[row, i, head] @ of_distance
            of_key = content_bias[head] @ k[row, j, head]
            of_place = position_bias[head] @ of_distance
            logits.append((content + position + of_key + of_place) / np.sqrt(h))
        weights = np.exp(logits - np.max(logits))
        out[row, i, head] = (weights / weights.sum()) @ v[row, seen, head]
    return out


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize(("t", "s"), [(4, 7), (5, 5), (1, 6)])
def test_relative_attention_equals_the_naive_formula(t, s, window):
    arrays = draw(t=t, s=s)
    segments = np.array([[0] * s, [0] * (s // 2) + [1] * (s - s // 2)])
    with jax.enable_x64(True):
        found = relative_attention(
            *map(jnp.asarray, arrays), window=window, segment_ids=jnp.asarray(segments[:, s - t :]),
            kv_segment_ids=jnp.asarray(segments),
        )  # fmt: skip
        assert found.dtype == jnp.float64
        visible = segments[:, s - t :, None] == segments[:, None, :]
        np.testing.assert_allclose(found, naive(*arrays, window, visible), atol=1e-12)


def test_relative_attention_is_attention_with_a_bias():
    q, k, v, r, content_bias, position_bias = map(jnp.asarray, draw(t=5, s=5))
    distance = jnp.arange(5)[:, None] - jnp.arange(5)
    r_tsnh = r[(4 - distance) % 5]
    bias = jnp.einsum("btnh,tsnh->bnts", q + position_bias, r_tsnh) * 3**-0.5
    bias = jnp.where(distance >= 0, bias, -jnp.inf)
    expected = functional.reference_attention(q + content_bias, k, v, bias=bias)
    found = relative_attention(q, k, v, r, content_bias, position_bias)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_shift_by_hand():
    # Columns are distances 3, 2, 1, 0; two queries at places 2 and 3 of four keys.
    row = jnp.asarray([[3, 2, 1, 0], [13, 12, 11, 10]])
    shifted = relative_shift(row[None, None])[0, 0]
    assert shifted[0, :3].tolist() == [2, 1, 0]
    assert shifted[1].tolist() == [13, 12, 11, 10]


def test_segments_and_their_memories_by_hand():
    row, before = jnp.asarray([[1, 2, 3, 4, 5]]), jnp.asarray([[8, 9, 10]])
    segments, memories = split_segments(row, before, 2)
    assert segments.tolist() == [[1, 2], [3, 4], [5, 0]]
    assert memories.tolist() == [[8, 9, 10], [10, 1, 2], [2, 3, 4]]
    segments, memories = split_segments(row, before, 100)
    assert (segments.tolist(), memories.tolist()) == (row.tolist(), before.tolist())


@EVERY
@pytest.mark.parametrize("segment_length", [1, 3])
def test_memory_equals_one_long_segment(config, segment_length):
    config = dataclasses.replace(config, memory_length=20)
    long, params = make(dataclasses.replace(config, segment_length=20))
    expected = applied(long)(params, tokens()).logits_btv[..., :V]
    short = TransformerXL(dataclasses.replace(config, segment_length=segment_length))
    found = applied(short)(params, tokens()).logits_btv[..., :V]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@EVERY
def test_memory_of_a_cache_equals_one_long_segment(config):
    model, params = make(dataclasses.replace(config, memory_length=20, segment_length=20))
    expected = applied(model)(params, tokens()).logits_btv[..., :V]
    cache, parts = model.init_cache(2, 20), []
    for first in range(0, 20, 5):
        positions = jnp.broadcast_to(jnp.arange(first, first + 5), (2, 5))
        piece = tokens()[:, first : first + 5]
        output = applied(model)(params, piece, positions_bt=positions, cache=cache)
        cache, parts = output.cache, [*parts, output.logits_btv[..., :V]]
    np.testing.assert_allclose(jnp.concatenate(parts, 1), expected, atol=TOLERANCE)


@pytest.mark.parametrize("config", [POST, PRE], ids=["post", "pre"])
def test_a_ring_of_memory_length_reads_a_stream(config):
    # 23 tokens through 7 slots, in pieces of unequal length.
    model, params = make(config)
    inputs = tokens(2, 23)
    expected = applied(model)(params, inputs).logits_btv[..., :V]
    cache, parts, first = model.init_cache(2, 7), [], 0
    for length in (9, 1, 1, 9, 1, 1, 1):
        positions = jnp.broadcast_to(jnp.arange(first, first + length), (2, length))
        piece = inputs[:, first : first + length]
        output = applied(model)(params, piece, positions_bt=positions, cache=cache)
        cache, parts, first = output.cache, [*parts, output.logits_btv], first + length
    found = jnp.concatenate(parts, 1)[..., :V]
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_prompts_of_unequal_length_in_one_batch():
    model, params = make(POST)
    inputs, lengths, rows = tokens(3, 20), np.array([4, 11, 7]), np.arange(3)
    expected = applied(model)(params, inputs).logits_btv[..., :V]
    output = applied(model)(params, inputs[:, :11], cache=model.init_cache(3, 20))
    for step in range(9):
        at = lengths + step
        output = applied(model)(
            params, inputs[rows, at][:, None], positions_bt=jnp.asarray(at)[:, None],
            cache=output.cache,
        )  # fmt: skip
        found = output.logits_btv[:, 0, :V]
        np.testing.assert_allclose(found, expected[rows, at], atol=TOLERANCE)


@EVERY
def test_packed_documents_equal_the_same_alone(config):
    # The paper's form sees by segment: all of the row is in the memory.
    config = dataclasses.replace(config, memory_length=20)
    model, params = make(config)
    row = tokens(1, 20)
    segments = jnp.asarray(np.repeat([[1, 2, 0]], [9, 6, 5], axis=1))
    together = applied(model)(params, row, segment_ids_bt=segments).logits_btv[0, :, :V]
    for first, last in ((0, 9), (9, 15)):
        alone = applied(model)(params, row[:, first:last]).logits_btv[0, :, :V]
        np.testing.assert_allclose(together[first:last], alone, atol=TOLERANCE)


def test_what_a_token_sees():
    """One layer by gradient: its window; and across segments only through constants."""
    config = dataclasses.replace(POST, layers=1, tied_embeddings=False, vocab_size=12)
    row = jnp.arange(12)[None]

    def depends(config):
        model, params = make(config)

        def logits(table):
            edited = {**params, "embedding": {"token": table}}
            out = model.apply({"params": edited}, row).hidden_btd
            return jnp.sum(out[0] * jnp.cos(jnp.arange(16)), axis=-1)

        jacobian = jax.jit(jax.jacrev(logits))(params["embedding"]["token"])
        return (jacobian[:, :12] != 0).any(-1), logits, params["embedding"]["token"]

    def changes(logits, table):
        moved = jax.jit(jax.vmap(logits))(
            jnp.stack([table, *(table.at[at].add(0.5) for at in range(12))])
        )
        return (moved[1:] != moved[0]).T  # [query, key]

    query, key = np.arange(12)[:, None], np.arange(12)
    gradient, *of_window = depends(config)
    np.testing.assert_array_equal(gradient, (key <= query) & (query // 5 == key // 5))
    # By value instead, the window of 7 tokens and itself, or the memory and the segment.
    np.testing.assert_array_equal(changes(*of_window), (key <= query) & (query - key <= 7))
    _, *of_paper = depends(dataclasses.replace(config, same_length=False))
    seen = (key <= query) & (key >= query // 5 * 5 - 7)
    np.testing.assert_array_equal(changes(*of_paper), seen)


def test_gradients_stop_at_the_memory_of_a_cache():
    model, params = make(POST)
    cache = applied(model)(params, tokens()[:, :5], cache=model.init_cache(2, 7)).cache

    def loss(cache):
        positions = jnp.broadcast_to(jnp.arange(5, 9), (2, 4))
        output = model.apply(
            {"params": params}, tokens()[:, 5:9], positions_bt=positions, cache=cache
        )
        return jnp.sum(output.hidden_btd**2 * jnp.arange(16.0))

    chex.assert_trees_all_equal(jax.jit(jax.grad(loss))(cache), jax.tree.map(jnp.zeros_like, cache))


def test_shapes_that_do_not_fit_are_refused():
    q, k, v, r, u, w = map(jnp.asarray, draw())
    with pytest.raises(ValueError, match="s at least t"):
        relative_attention(q, k[:, :3], v[:, :3], r, u, w)
    with pytest.raises(ValueError, match="r \\(6, 2, 3\\)"):
        relative_attention(q, k, v, r[1:], u, w)
    with pytest.raises(ValueError, match="go together"):
        relative_attention(q, k, v, r, u, w, segment_ids=jnp.zeros((2, 4), jnp.int32))
