"""Positions, normalisation, feed-forward, dense and losses against float64 NumPy."""

import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from jaxlm import functional

random = np.random.default_rng(0)


def test_rotary_rotates_pairs_by_position_times_frequency():
    x = random.normal(size=(2, 5, 3, 8))
    positions = np.array([[0, 1, 2, 3, 4], [7, 100, 257, 1000, 5000]])
    expected = np.empty_like(x)
    for b, t, i in np.ndindex(2, 5, 4):
        angle = positions[b, t] * 500.0 ** (-2 * i / 8)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        pair = turn @ x[b, t, :, [i, i + 4]]
        expected[b, t, :, i], expected[b, t, :, i + 4] = pair
    found = functional.rotary(jnp.asarray(x, jnp.float32), jnp.asarray(positions), theta=500.0)
    # float32 angles of up to 5,000 radians are good to 3e-4
    np.testing.assert_allclose(found, expected, atol=1e-3)
    np.testing.assert_allclose(found[0], expected[0], atol=2e-6)


def test_rotary_scores_depend_on_the_distance_only():
    q, k = (jnp.asarray(random.normal(size=(1, 1, 1, 16)), jnp.float32) for _ in range(2))

    def score(at, distance):
        here, there = jnp.array([[at]]), jnp.array([[at + distance]])
        return float(jnp.sum(functional.rotary(q, here) * functional.rotary(k, there)))

    assert score(0, 5) == pytest.approx(score(40, 5), abs=1e-4)
    assert score(0, 5) != pytest.approx(score(0, 9), abs=1e-2)


def test_sinusoidal():
    positions = np.array([[0, 3, 50]])
    expected = np.empty((1, 3, 6))
    for t, i in np.ndindex(3, 3):
        angle = positions[0, t] / 10_000 ** (2 * i / 6)
        expected[0, t, 2 * i : 2 * i + 2] = math.sin(angle), math.cos(angle)
    found = functional.sinusoidal(jnp.asarray(positions), 6)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("function", [functional.rotary, functional.sinusoidal])
def test_odd_widths_are_refused(function):
    argument = jnp.ones((1, 1, 1, 3)) if function is functional.rotary else jnp.zeros((1, 1))
    rest = jnp.zeros((1, 1), jnp.int32) if function is functional.rotary else 3
    with pytest.raises(ValueError, match="even"):
        function(argument, rest)


def test_layer_norm():
    x, scale, bias = random.normal(2.0, 3.0, (2, 3, 7)), *random.normal(size=(2, 7))
    centred = x - x.mean(-1, keepdims=True)
    plain = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-3)
    found = functional.layer_norm(jnp.asarray(x, jnp.float32), scale, bias, epsilon=1e-3)
    np.testing.assert_allclose(found, plain * scale + bias, atol=1e-5)
    found = functional.layer_norm(jnp.asarray(x, jnp.float32), scale, epsilon=1e-3)
    np.testing.assert_allclose(found, plain * scale, atol=1e-5)


def test_rms_norm():
    x, scale = random.normal(2.0, 3.0, (2, 3, 7)), random.normal(size=7)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-3) * scale
    found = functional.rms_norm(jnp.asarray(x, jnp.float32), scale, epsilon=1e-3)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("norm", [functional.layer_norm, functional.rms_norm])
def test_norms_keep_bfloat16_and_compute_wider(norm):
    x = jnp.asarray(random.normal(100.0, 1.0, (4, 64)), jnp.bfloat16)
    found = norm(x, jnp.ones(64))
    assert found.dtype == jnp.bfloat16
    wide = norm(x.astype(jnp.float32), jnp.ones(64))
    np.testing.assert_allclose(found.astype(np.float32), wide, atol=0.02, rtol=0.01)


def erf(x):
    return np.vectorize(math.erf)(x)


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "swiglu": lambda x: x / (1 + np.exp(-x)),
    "geglu": lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2))),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_feed_forward(activation, bias):
    gated = functional.is_gated(activation)
    p = {"up": random.normal(size=(6, 10)), "down": random.normal(size=(10, 6))}
    if gated:
        p["gate"] = random.normal(size=(6, 10))
    if bias:
        p |= {f"{name}_bias": random.normal(size=p[name].shape[1]) for name in tuple(p)}
    x = random.normal(size=(2, 3, 6))
    up = x @ p["up"] + p.get("up_bias", 0)
    act = ACTIVATIONS[activation]
    hidden = act(x @ p["gate"] + p.get("gate_bias", 0)) * up if gated else act(up)
    expected = hidden @ p["down"] + p.get("down_bias", 0)
    found = functional.feed_forward(
        jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), p), jnp.asarray(x, jnp.float32),
        activation=activation,
    )  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=2e-4)  # sums of ten terms of order ten


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="swish9000"):
        functional.feed_forward(
            {"up": jnp.ones((2, 2))}, jnp.ones((1, 1, 2)), activation="swish9000"
        )


@pytest.mark.parametrize(("contract", "x", "kernel"), [
    (1, (2, 3, 4), (4, 5)), (1, (2, 3, 4), (4, 5, 6)), (2, (2, 3, 5, 6), (5, 6, 4)),
])  # fmt: skip
def test_dense_forms_agree_with_numpy_and_each_other(contract, x, kernel):
    x, kernel = (jnp.asarray(random.normal(size=shape), jnp.float32) for shape in (x, kernel))
    bias = jnp.asarray(random.normal(size=kernel.shape[contract:]), jnp.float32)
    expected = np.tensordot(x, kernel, contract) + np.asarray(bias)

    def loss(implementation):
        def run(x, kernel, bias):
            y = functional.dense(x, kernel, bias, contract=contract, implementation=implementation)
            np.testing.assert_allclose(jax.lax.stop_gradient(y), expected, atol=1e-5)
            return y

        y, pull = jax.vjp(run, x, kernel, bias)
        return pull(jnp.cos(y))

    chex.assert_trees_all_close(loss("plain"), loss("fused"), atol=1e-5)


def test_dense_refuses_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="input axes"):
        functional.dense(jnp.ones((2, 3)), jnp.ones((4, 5)))


def nll(logits, targets):
    logits = np.asarray(logits, np.float64)
    peak = logits.max(-1, keepdims=True)
    log_z = np.log(np.exp(logits - peak).sum(-1)) + peak[..., 0]
    return log_z - np.take_along_axis(logits, targets[..., None], -1)[..., 0]


class Losses(chex.TestCase):
    """With and without jit."""

    @chex.variants(with_jit=True, without_jit=True)
    def test_cross_entropy_sums_what_the_mask_counts(self):
        logits, targets = random.normal(size=(2, 5, 11)) * 3, random.integers(0, 11, (2, 5))
        mask = np.array([[1, 1, 0, 1, 0], [0, 0, 1, 1, 1]], bool)
        total, count = self.variant(functional.cross_entropy)(
            jnp.asarray(logits, jnp.float32), targets, mask
        )
        assert float(total) == pytest.approx(nll(logits, targets)[mask].sum(), rel=1e-6)
        assert float(count) == 6

    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.parameters((6, 16), (7, 13), (256, 300), (257, 2000))  # the last: 2 chunks
    def test_chunked_equals_plain(self, t, vocab_size):
        b, d, padded = 3, 8, 16 if vocab_size <= 16 else 2048
        hidden = jnp.asarray(random.normal(size=(b, t, d)), jnp.float32)
        table = jnp.asarray(random.normal(size=(padded, d)), jnp.float32)
        targets = random.integers(0, vocab_size, (b, t))
        mask = random.random((b, t)) < 0.7

        def plain(hidden, table):
            logits = functional.unembed(hidden, table, vocab_size=vocab_size)
            return functional.cross_entropy(logits, targets, mask)

        def chunked(hidden, table):
            return functional.chunked_cross_entropy(
                hidden, table, targets, mask, vocab_size=vocab_size
            )

        expected = nll((np.asarray(hidden, np.float64) @ np.asarray(table).T)[..., :vocab_size],
                       targets)[mask].sum()  # fmt: skip
        for function in (plain, chunked):
            total, count = self.variant(function)(hidden, table)
            assert float(total) == pytest.approx(expected, rel=2e-6)
            assert float(count) == mask.sum()
        # Differentiating goes another way to the same value.
        (value, gradient), (other, other_gradient) = (
            self.variant(jax.value_and_grad(lambda h, e, f=f: f(h, e)[0] / 7, (0, 1)))(
                hidden, table
            )
            for f in (plain, chunked)
        )
        assert float(value) == pytest.approx(float(other), rel=2e-6)
        chex.assert_trees_all_close(gradient, other_gradient, atol=2e-5)  # sums in another order
        assert (other_gradient[1][vocab_size:] == 0).all()


def test_bfloat16_hidden_states_leave_the_embedding_gradient_in_float32():
    hidden = jnp.asarray(random.normal(size=(2, 40, 8)), jnp.bfloat16)
    table = jnp.asarray(random.normal(size=(16, 8)), jnp.float32)
    targets = random.integers(0, 16, (2, 40))

    def gradient(hidden, table):
        return jax.grad(lambda h, e: functional.chunked_cross_entropy(h, e, targets)[0], (0, 1))(
            hidden, table
        )

    narrow, wide = gradient(hidden, table), gradient(hidden.astype(jnp.float32), table)
    assert (narrow[0].dtype, narrow[1].dtype) == (jnp.bfloat16, jnp.float32)
    np.testing.assert_allclose(narrow[1], wide[1], atol=0.2)  # 8 bits of logits of order ten


def test_nothing_counted_gives_zero_and_zero_gradients():
    def loss(hidden):
        return functional.chunked_cross_entropy(
            hidden, jnp.ones((4, 3)), jnp.zeros((2, 2), jnp.int32), jnp.zeros((2, 2), bool)
        )

    (total, count), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.ones((2, 2, 3)))
    assert (float(total), float(count)) == (0, 0)
    assert (gradient == 0).all()


def test_an_infinite_loss_that_is_masked_does_not_count():
    logits = jnp.array([[[0.0, -jnp.inf], [1.0, 1.0]]])
    total, count = functional.cross_entropy(logits, jnp.array([[1, 0]]), jnp.array([[False, True]]))
    assert float(total) == pytest.approx(math.log(2))
    assert float(count) == 1


def test_perplexity_and_bits_per_byte_of_known_losses():
    nats, tokens, utf8_bytes = 2.0 + 1.0 + 0.5 + 3.0, 4, 10
    assert float(functional.perplexity(nats, tokens)) == pytest.approx(5.0784190371800815, rel=1e-6)
    assert functional.bits_per_byte(nats, utf8_bytes) == pytest.approx(0.9377517765778263, abs=1e-7)


def test_uniform_logits_have_perplexity_v_and_eight_bits_per_byte():
    total, count = functional.cross_entropy(jnp.zeros((1, 10, 256)), jnp.ones((1, 10), jnp.int32))
    assert float(functional.perplexity(total, count)) == pytest.approx(256, rel=1e-5)
    assert float(functional.bits_per_byte(total, 10)) == pytest.approx(8, rel=1e-6)
