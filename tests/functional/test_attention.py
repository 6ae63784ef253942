"""Attention against a float64 NumPy reference with an explicit mask and loops over heads."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import functional

TOLERANCE = 2e-6  # float32 against float64, outputs of order 1


def reference(q, k, v, visible, *, scale=None, softcap=None):
    """Loops over batch, heads and queries; `visible` is bool [b, t, s]."""
    q, k, v = (np.asarray(a, np.float64) for a in (q, k, v))
    b, t, n, h = q.shape
    group = n // k.shape[2]
    out = np.zeros((b, t, n, v.shape[-1]))
    for row, query, head in itertools.product(range(b), range(t), range(n)):
        seen = np.flatnonzero(visible[row, query])
        if not len(seen):
            continue
        logits = k[row, seen, head // group] @ q[row, query, head]
        logits = logits * (h**-0.5 if scale is None else scale)
        if softcap is not None:
            logits = softcap * np.tanh(logits / softcap)
        weights = np.exp(logits - logits.max())
        out[row, query, head] = (weights / weights.sum()) @ v[row, seen, head // group]
    return out


def attention(q, k, v, **arguments):
    """Compiled whole: operation by operation costs ten times as much."""
    return jax.jit(lambda q, k, v: functional.attention(q, k, v, **arguments))(q, k, v)


def draw(b=2, t=9, s=9, n=4, k=2, h=8, seed=0):
    random = np.random.default_rng(seed)
    return tuple(
        jnp.asarray(random.normal(size=shape), jnp.float32)
        for shape in ((b, t, n, h), (b, s, k, h), (b, s, k, h))
    )


def index(t, s):
    return np.arange(t)[:, None], np.arange(s)[None, :]


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("implementation", ["reference", "chunked"])
def test_causal_grouped_queries(kv_heads, implementation):
    q, k, v = draw(k=kv_heads)
    query, key = index(9, 9)
    visible = np.broadcast_to(key <= query, (2, 9, 9))
    found = attention(q, k, v, causal=True, implementation=implementation)
    chex.assert_shape(found, (2, 9, 4, 8))
    np.testing.assert_allclose(found, reference(q, k, v, visible), atol=TOLERANCE)


@pytest.mark.parametrize("t", [64, 130, 200])
@pytest.mark.parametrize("window", [None, 1, 7, 100])
def test_long_rows_in_chunks(t, window):
    q, k, v = draw(b=1, t=t, s=t, n=2, k=1)
    query, key = index(t, t)
    visible = key <= query
    if window is not None:
        visible = visible & (query - key < window)
    found = attention(q, k, v, causal=True, window=window, implementation="chunked")
    np.testing.assert_allclose(found, reference(q, k, v, visible[None]), atol=TOLERANCE)


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
def test_segments_and_lengths(implementation):
    t = 70
    q, k, v = draw(t=t, s=t, n=2, k=2)
    segments = np.stack([np.repeat([1, 2, 0], [30, 25, 15]), np.repeat([3, 1], [10, 60])])
    lengths = np.array([50, 66])
    query, key = index(t, t)
    visible = (key <= query) & (segments[:, :, None] == segments[:, None, :])
    visible = visible & (key < lengths[:, None, None])
    found = attention(
        q, k, v, causal=True, segment_ids=jnp.asarray(segments), kv_length=jnp.asarray(lengths),
        implementation=implementation,
    )  # fmt: skip
    np.testing.assert_allclose(found, reference(q, k, v, visible), atol=TOLERANCE)


def test_not_causal_cross_attention_with_segments():
    q, k, v = draw(t=5, s=11)
    q_segments, kv_segments = np.array([[1, 1, 2, 2, 2]] * 2), np.array([[1] * 6 + [2] * 5] * 2)
    visible = q_segments[:, :, None] == kv_segments[:, None, :]
    found = attention(
        q, k, v, causal=False, segment_ids=jnp.asarray(q_segments),
        kv_segment_ids=jnp.asarray(kv_segments),
    )  # fmt: skip
    np.testing.assert_allclose(found, reference(q, k, v, visible), atol=TOLERANCE)


@pytest.mark.parametrize("implementation", ["reference", "chunked"])
def test_positions_decide_causality(implementation):
    q, k, v = draw(t=4, s=9)
    positions = np.array([[3, 4, 5, 6], [0, 1, 2, 3]])
    kv_positions = np.array([np.arange(9), np.arange(9)[::-1]])
    visible = kv_positions[:, None, :] <= positions[:, :, None]
    found = attention(
        q, k, v, causal=True, positions=jnp.asarray(positions),
        kv_positions=jnp.asarray(kv_positions), implementation=implementation,
    )  # fmt: skip
    np.testing.assert_allclose(found, reference(q, k, v, visible), atol=TOLERANCE)


def test_softcap_and_scale():
    q, k, v = draw()
    query, key = index(9, 9)
    visible = np.broadcast_to(key <= query, (2, 9, 9))
    found = attention(q, k, v, causal=True, softcap=2.0, scale=0.7)
    expected = reference(q, k, v, visible, scale=0.7, softcap=2.0)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_a_query_that_sees_nothing_gives_zero_and_finite_gradients():
    q, k, v = draw()
    lengths = jnp.array([0, 4])

    def total(q, k, v):
        out = attention(q, k, v, causal=False, kv_length=lengths)
        return jnp.sum(out[0] ** 2) + jnp.sum(out[1]), out

    (_, out), gradients = jax.value_and_grad(total, (0, 1, 2), has_aux=True)(q, k, v)
    assert (out[0] == 0).all()
    chex.assert_tree_all_finite(gradients)


@pytest.mark.parametrize("window", [None, 50])
def test_gradients_of_chunks_equal_those_of_the_reference(window):
    q, k, v = draw(b=2, t=150, s=150, n=4, k=2)
    segments = jnp.asarray(np.repeat([[1, 2]], [100, 50], axis=1).repeat(2, 0))
    cotangent = jnp.cos(jnp.arange(q.size, dtype=jnp.float32)).reshape(q.shape)

    def pulled_back(implementation):
        _, pull = jax.vjp(
            lambda q, k, v: attention(
                q, k, v, causal=True, window=window, segment_ids=segments,
                implementation=implementation,
            ),
            q, k, v,
        )  # fmt: skip
        return jax.jit(pull)(cotangent)

    # The same sums in another order.
    chex.assert_trees_all_close(pulled_back("chunked"), pulled_back("reference"), atol=1e-5)


def test_gradient_against_central_differences():
    with jax.enable_x64(True):
        q, k, v = (jnp.asarray(a, jnp.float64) for a in draw(b=1, t=4, s=4, n=2, k=1, h=2))

        def loss(q, k, v):
            return jnp.sum(jnp.sin(attention(q, k, v, causal=True)))

        for number, gradient in enumerate(jax.grad(loss, (0, 1, 2))(q, k, v)):
            arguments = [np.array(a) for a in (q, k, v)]
            for place in np.ndindex(arguments[number].shape):
                values = []
                for step in (1e-6, -1e-6):
                    moved = [a.copy() for a in arguments]
                    moved[number][place] += step
                    values.append(float(loss(*moved)))
                slope = (values[0] - values[1]) / 2e-6
                assert float(gradient[place]) == pytest.approx(slope, abs=1e-8)


def test_bfloat16_keeps_its_dtype_and_is_close():
    q, k, v = draw()
    wide = attention(q, k, v, causal=True)
    narrow = attention(*(a.astype(jnp.bfloat16) for a in (q, k, v)), causal=True)
    assert narrow.dtype == jnp.bfloat16
    np.testing.assert_allclose(narrow.astype(jnp.float32), wide, atol=0.03)  # 8 bits of mantissa


def test_cached_attention_equals_attention_at_every_position():
    t, size = 12, 20
    q, k, v = draw(t=t, s=t)
    expected = attention(q, k, v, causal=True)
    # Whatever lies beyond the written slots must not matter: not even NaN-free garbage.
    empty = jnp.full((2 * 2, size, 8), 37.0)
    cache = functional.KVCache(empty, empty)
    positions = jnp.broadcast_to(jnp.arange(t), (2, t))
    cache = functional.write_cache(cache, k[:, :5], v[:, :5], positions[:, :5])
    parts = [functional.cached_attention(q[:, :5], cache, positions[:, :5])]
    for at in range(5, t):
        here = slice(at, at + 1)
        cache = functional.write_cache(cache, k[:, here], v[:, here], positions[:, here])
        parts.append(functional.cached_attention(q[:, here], cache, positions[:, here]))
    np.testing.assert_allclose(jnp.concatenate(parts, 1), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    "arguments",
    [
        {"window": 3, "causal": False},
        {"window": 0},
        {"kv_positions": jnp.zeros((2, 9), jnp.int32)},
        {"kv_segment_ids": jnp.zeros((2, 9), jnp.int32)},
        {"implementation": "fast"},
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments):
    q, k, v = draw()
    with pytest.raises(ValueError, match="attention"):
        functional.attention(q, k, v, **arguments)


def test_shapes_that_do_not_fit_are_refused():
    q, k, v = draw(n=3, k=2)
    with pytest.raises(ValueError, match="multiple"):
        functional.attention(q, k, v)
    q, k, v = draw(t=3, s=9)
    with pytest.raises(ValueError, match="needs positions"):
        functional.attention(q, k, v, causal=True)
    with pytest.raises(ValueError, match="kv_segment_ids"):
        functional.attention(q, k, v, causal=False, segment_ids=jnp.zeros((2, 3), jnp.int32))


def test_dropout_keeps_the_mean_and_needs_a_key():
    q, k, v = draw(b=1, t=8, s=8)
    plain = attention(q, k, v, causal=True)
    np.testing.assert_array_equal(attention(q, k, v, causal=True, dropout_rate=0.5), plain)

    def dropped(key):
        return attention(q, k, v, causal=True, dropout_rate=0.5, dropout_key=key)

    many = jax.vmap(dropped)(jax.random.split(jax.random.key(0), 4000))
    assert float(jnp.abs(many[0] - many[1]).max()) > 0.1
    np.testing.assert_allclose(many.mean(0), plain, atol=0.12)  # about 4 deviations of the mean
