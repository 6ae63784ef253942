"""Stretched rotary frequencies and slopes of linear biases, against numbers worked by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import functional
from jaxlm.functional import RotaryScaling, alibi_slopes, rotary_frequencies


def test_plain_and_linear_frequencies():
    plain = [1.0, 0.1, 0.01, 0.001]  # 10,000^(-2i/8)
    np.testing.assert_allclose(rotary_frequencies(8), plain, rtol=1e-6)
    linear = rotary_frequencies(8, scaling=RotaryScaling("linear", 4.0, 1))
    np.testing.assert_allclose(linear, np.array(plain) / 4, rtol=1e-6)


def test_llama3_frequencies():
    # 1024 / 2 pi = 162.97 positions a radian: rotations 162.97, 16.30, 1.63, 0.163. Between 1 and
    # 4 lies only the third, with a share (1.6297466 - 1) / 3 = 0.2099155 kept.
    found = rotary_frequencies(8, scaling=RotaryScaling("llama3", 8.0, 1024))
    expected = [1.0, 0.1, 0.01 * (0.2099155 + 0.7900845 / 8), 0.001 / 8]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_yarn_frequencies():
    # Channels where 4096 positions make 32 rotations and 1: 8 ln(4096 / 64 pi) / (2 ln 10,000)
    # = 1.309 and 8 ln(4096 / 2 pi) / (2 ln 10,000) = 2.814;
    # outwards to 1 and 3. Kept: 1, 1, 1/2, 0.
    scaling = RotaryScaling("yarn", 16.0, 4096, 1.0, 32.0, 0.1 * math.log(16) + 1)
    found = rotary_frequencies(8, scaling=scaling)
    np.testing.assert_allclose(found, [1.0, 0.1, 0.005 + 0.005 / 16, 0.001 / 16], rtol=1e-5)
    x = jnp.ones((1, 1, 1, 8))
    rotated = functional.rotary(x, jnp.array([[5]]), scaling=scaling)
    assert float(jnp.linalg.norm(rotated)) == pytest.approx(8**0.5 * 1.2772589, rel=1e-6)


def test_scaling_moves_positions_of_every_kind():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(1, 3, 2, 8)), jnp.float32)
    at = jnp.array([[0, 8, 400]])
    stretched = functional.rotary(x, at, scaling=RotaryScaling("linear", 4.0, 1))
    np.testing.assert_allclose(stretched, functional.rotary(x, at / 4), atol=1e-6)
    with pytest.raises(ValueError, match="known are linear, llama3, yarn"):
        functional.rotary(x, at, scaling=RotaryScaling("dynamic", 4.0, 1))


def test_frequencies_keep_float64():
    with jax.enable_x64(True):
        for kind in ("linear", "llama3", "yarn"):
            scaling = RotaryScaling(kind, 8.0, 64, 1.0, 4.0)
            assert rotary_frequencies(8, scaling=scaling, dtype=jnp.float64).dtype == jnp.float64
        assert alibi_slopes(6, dtype=jnp.float64).dtype == jnp.float64


@pytest.mark.parametrize(
    ("heads", "exponents"),
    [
        (1, [8]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),
        (6, [2, 4, 6, 8, 1, 3]),
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
    ],
)
def test_alibi_slopes(heads, exponents):
    np.testing.assert_allclose(alibi_slopes(heads), 2.0 ** -np.array(exponents), rtol=1e-6)


def test_squared_relu():
    found = functional.relu2(jnp.array([-2.0, 0.0, 0.5, 3.0]))
    np.testing.assert_array_equal(found, [0.0, 0.0, 0.25, 9.0])
    np.testing.assert_array_equal(jax.vmap(jax.grad(functional.relu2))(jnp.array([-1.0, 3.0])),
                                  [0.0, 6.0])  # fmt: skip


def test_rms_norm_with_unit_offset():
    x, scale = jnp.array([[3.0, 4.0]]), jnp.array([0.0, 1.0])
    rms = math.sqrt(12.5)
    found = functional.rms_norm(x, scale, epsilon=0.0, unit_offset=True)
    np.testing.assert_allclose(found, [[3 / rms, 8 / rms]], rtol=1e-6)
    # 1 + 1/512 is 1 in bfloat16: the sum is in float32.
    small = functional.rms_norm(
        x, jnp.full(2, 1 / 512, jnp.bfloat16), epsilon=0.0, unit_offset=True
    )
    np.testing.assert_allclose(small, np.array([[3, 4]]) / rms * (1 + 1 / 512), rtol=1e-6)


def test_softcap_of_output_logits():
    random = np.random.default_rng(0)
    hidden = jnp.asarray(random.normal(size=(2, 7, 6)) * 3, jnp.float32)
    table = jnp.asarray(random.normal(size=(128, 6)), jnp.float32)
    targets = jnp.asarray(random.integers(0, 100, (2, 7)))
    cap = {"vocab_size": 100, "softcap": 2.5}
    logits = functional.unembed(hidden, table, **cap)
    expected = 2.5 * np.tanh(np.asarray(hidden, np.float64) @ np.asarray(table).T / 2.5)
    np.testing.assert_allclose(logits[..., :100], expected[..., :100], atol=1e-5)
    assert (logits[..., 100:] == -jnp.inf).all()

    def plain(hidden, table):
        return functional.cross_entropy(functional.unembed(hidden, table, **cap), targets)[0]

    def chunked(hidden, table):
        return functional.chunked_cross_entropy(hidden, table, targets, **cap)[0]

    expected = jax.value_and_grad(plain, (0, 1))(hidden, table)
    found = jax.value_and_grad(chunked, (0, 1))(hidden, table)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    for a, b in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)  # float32, the same sums in another order
