"""Every pattern and form of attention equals a dense masked reference, gradients included."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import functional

TOLERANCE = 2e-6  # float32 against float64, outputs of order 1
T, HEADS, KV_HEADS = 70, 6, 3
SLOPES = 2.0 ** -np.array([2, 4, 6, 8, 1, 3])  # of 6 heads: those of 4, then every second of 8


def draw(b=2, t=T, s=T, n=HEADS, k=KV_HEADS, h=8, seed=0):
    random = np.random.default_rng(seed)
    return tuple(
        jnp.asarray(random.normal(size=shape), jnp.float32)
        for shape in ((b, t, n, h), (b, s, k, h), (b, s, k, h))
    )


def dense(q, k, v, bias, softcap=None, scale=None):
    """softmax(q k^T scale + bias) v in float64, all at once; `bias` [b, n, t, s]."""
    q, k, v = (np.asarray(a, np.float64) for a in (q, k, v))
    k, v = (np.repeat(a, q.shape[2] // a.shape[2], axis=2) for a in (k, v))
    logits = np.einsum("btnh,bsnh->bnts", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if softcap is not None:
        logits = softcap * np.tanh(logits / softcap)
    logits = logits + bias
    weights = np.exp(logits - logits.max(-1, keepdims=True))
    return np.einsum("bnts,bsnh->btnh", weights / weights.sum(-1, keepdims=True), v)


def masked(visible):
    return np.where(visible, 0.0, -np.inf)[:, None]


QUERY, KEY = np.arange(T)[:, None], np.arange(T)[None, :]
CAUSAL = np.broadcast_to(KEY <= QUERY, (2, T, T))
SEGMENTS = np.stack([np.repeat([1, 2, 3], [30, 25, 15]), np.repeat([3, 1], [10, 60])])
SAME = SEGMENTS[:, :, None] == SEGMENTS[:, None, :]
DISTANCE = np.abs(QUERY - KEY)
PATTERNS = {
    "causal": ({}, masked(CAUSAL)),
    "bidirectional": ({"causal": False}, np.zeros((2, 1, T, T))),
    "window": ({"window": 9}, masked(CAUSAL & (DISTANCE < 9))),
    "segments": ({"segment_ids": jnp.asarray(SEGMENTS)}, masked(CAUSAL & SAME)),
    "window in segments": (
        {"window": 9, "segment_ids": jnp.asarray(SEGMENTS)},
        masked(CAUSAL & SAME & (DISTANCE < 9)),
    ),
    "alibi": (
        {"alibi_slopes": jnp.asarray(SLOPES, jnp.float32)},
        masked(CAUSAL) - SLOPES[:, None, None] * DISTANCE,
    ),
    "alibi, both directions": (
        {"causal": False, "alibi_slopes": jnp.asarray(SLOPES, jnp.float32)},
        np.broadcast_to(-SLOPES[:, None, None] * DISTANCE, (2, HEADS, T, T)),
    ),
    "alibi in a window, capped and scaled": (
        {"alibi_slopes": jnp.asarray(SLOPES, jnp.float32), "window": 9, "softcap": 1.5,
         "scale": 0.7},
        masked(CAUSAL & (DISTANCE < 9)) - SLOPES[:, None, None] * DISTANCE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PATTERNS)
def test_each_pattern_is_a_dense_mask(name):
    q, k, v = draw()
    arguments, bias = PATTERNS[name]
    logits = {key: arguments[key] for key in ("softcap", "scale") if key in arguments}
    expected = dense(q, k, v, bias, **logits)
    forms = {
        form: jax.jit(
            lambda q, k, v, form=form: functional.attention(
                q, k, v, **arguments, implementation=form
            )
        )
        for form in ("reference", "chunked")
    }
    forms["any mask"] = jax.jit(
        lambda q, k, v: functional.reference_attention(q, k, v, bias=jnp.asarray(bias), **logits)
    )
    for form, attend in forms.items():
        np.testing.assert_allclose(attend(q, k, v), expected, atol=TOLERANCE, err_msg=form)


def looped(q, k, v, **arguments):
    """One head after the other."""
    group = q.shape[2] // k.shape[2]
    slopes = arguments.pop("alibi_slopes", None)
    heads = [
        functional.attention(
            q[:, :, i : i + 1], k[:, :, i // group : i // group + 1],
            v[:, :, i // group : i // group + 1], **arguments, implementation="reference",
            alibi_slopes=None if slopes is None else slopes[i : i + 1],
        )
        for i in range(q.shape[2])
    ]  # fmt: skip
    return jnp.concatenate(heads, axis=2)


@pytest.mark.parametrize("name", ["window in segments", "alibi in a window, capped and scaled"])
def test_looped_heads_equal_einsum_equal_chunks(name):
    q, k, v = draw()
    arguments, bias = PATTERNS[name]
    logits = {key: arguments[key] for key in ("softcap", "scale") if key in arguments}
    cotangent = jnp.cos(jnp.arange(q.size, dtype=jnp.float32)).reshape(q.shape)

    def pulled(attend):
        @jax.jit
        def run(q, k, v):
            out, pull = jax.vjp(attend, q, k, v)
            return out, pull(cotangent)

        return run(q, k, v)

    expected = pulled(lambda q, k, v: functional.attention(q, k, v, **arguments,
                                                           implementation="reference"))  # fmt: skip
    for attend in (
        lambda q, k, v: looped(q, k, v, **arguments),
        lambda q, k, v: functional.attention(q, k, v, **arguments, implementation="chunked"),
        lambda q, k, v: functional.reference_attention(q, k, v, bias=jnp.asarray(bias), **logits),
    ):
        # The same sums in another order.
        chex.assert_trees_all_close(pulled(attend), expected, atol=1e-5)


def test_any_additive_mask():
    q, k, v = draw(t=5, s=7)
    bias = np.random.default_rng(1).normal(size=(2, HEADS, 5, 7))
    bias[:, :, :, 3] = -np.inf
    found = functional.reference_attention(q, k, v, bias=jnp.asarray(bias))
    np.testing.assert_allclose(found, dense(q, k, v, bias), atol=TOLERANCE)
    alone = functional.reference_attention(q, k, v, bias=jnp.asarray(bias[:1, :1]))
    broadcast = np.broadcast_to(bias[:1, :1], bias.shape)
    np.testing.assert_allclose(alone, dense(q, k, v, broadcast), atol=TOLERANCE)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_row_without_keys_is_zero_in_any_dtype(dtype):
    q, k, v = (a.astype(dtype) for a in draw(t=4, s=4))
    bias = jnp.full((4, 4), -jnp.inf, dtype).at[1:].set(0.0)

    def total(q, k, v):
        out = functional.reference_attention(q, k, v, bias=bias)
        return jnp.sum(out.astype(jnp.float32)), out

    (_, out), gradients = jax.value_and_grad(total, (0, 1, 2), has_aux=True)(q, k, v)
    assert out.dtype == dtype
    assert (out[:, 0] == 0).all()
    assert (out[:, 1:] != 0).any()
    chex.assert_tree_all_finite((out, gradients))
    # The most negative number of the dtype, as others write a mask, hides keys as well.
    lowest = jnp.where(jnp.tri(4, dtype=bool), 0.0, jnp.finfo(dtype).min).astype(dtype)
    np.testing.assert_array_equal(
        functional.reference_attention(q, k, v, bias=lowest),
        functional.attention(q, k, v, implementation="reference"),
    )


@pytest.mark.parametrize("name", ["window", "alibi", "alibi in a window, capped and scaled"])
def test_patterns_over_a_cache(name):
    t = 24
    q, k, v = (a[:, :t] for a in draw())
    arguments, _ = PATTERNS[name]
    expected = functional.attention(q, k, v, **arguments)
    empty = jnp.full((2 * KV_HEADS, 32, 8), 37.0)
    cache = functional.KVCache(empty, empty)
    positions = jnp.broadcast_to(jnp.arange(t), (2, t))
    parts = []
    for first, last in ((0, 15), *((at, at + 1) for at in range(15, t))):
        at = slice(first, last)
        cache = functional.write_cache(cache, k[:, at], v[:, at], positions[:, at])
        parts.append(functional.cached_attention(q[:, at], cache, positions[:, at], **arguments))
    np.testing.assert_allclose(jnp.concatenate(parts, 1), expected, atol=TOLERANCE)
