"""Sampling filters against numbers computed independently in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm import functional

LOGITS = jnp.array([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def kept(logits):
    return np.flatnonzero(np.isfinite(np.asarray(logits))).tolist()


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (1.0, [0.560893422477403, 0.20634115881772472, 0.12515223918358384,
               0.0759086701965324, 0.027925239171967656, 0.0037792701527883947]),
        (0.5, [0.829213426090096, 0.11222183388350515, 0.0412841055362983,
               0.015187573673956265, 0.0020554145848417937, 3.764623130259978e-05]),
        (2.0, [0.36337317411160547, 0.22039697101578568, 0.1716453336136596,
               0.13367752022887064, 0.0810795145331658, 0.029827486496912872]),
    ],
)  # fmt: skip
def test_temperature(temperature, expected):
    filtered = functional.filter_logits(LOGITS, temperature=temperature)
    np.testing.assert_allclose(jax.nn.softmax(filtered), expected, atol=1e-6)


def test_top_k():
    filtered = functional.top_k(LOGITS, 3)
    expected = [0.6285317192117624, 0.23122389762214907, 0.14024438316608848, 0, 0, 0]
    assert kept(filtered) == [0, 1, 2]
    np.testing.assert_allclose(jax.nn.softmax(filtered), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("p", "expected"),
    [(0.5, [0]), (0.7, [0, 1]), (0.9, [0, 1, 2, 3]), (0.99, [0, 1, 2, 3, 4]), (0.0, [0])],
)
def test_top_p_keeps_the_token_that_crosses(p, expected):
    assert kept(functional.top_p(LOGITS, p)) == expected


def test_top_p_can_leave_a_single_token():
    logits = jnp.array([5.0, 1.0, 0.0, -1.0])
    assert kept(functional.top_p(logits, 0.5)) == [0]
    draws = [int(functional.sample(jax.random.key(seed), logits, top_p=0.5)) for seed in range(20)]
    assert set(draws) == {0}


def test_top_k_keeps_all_ties_and_greedy_takes_the_first():
    logits = jnp.array([1.0, 1.0, 1.0, 0.0])
    assert kept(functional.top_k(logits, 2)) == [0, 1, 2]
    assert int(functional.sample(jax.random.key(0), logits, temperature=0)) == 0


def test_temperature_comes_before_top_p():
    filtered = functional.filter_logits(LOGITS, temperature=2.0, top_p=0.8)
    expected = [0.4087009733881603, 0.2478896710143163, 0.19305666990126247,
                0.15035268569626095, 0.0, 0.0]  # fmt: skip
    assert kept(filtered) == [0, 1, 2, 3]
    np.testing.assert_allclose(jax.nn.softmax(filtered), expected, atol=1e-6)


def test_min_p():
    filtered = functional.min_p(LOGITS, 0.1)
    expected = [0.5792585299413737, 0.21309730428862375, 0.12925004855316274,
                0.07839411721683971, 0.0, 0.0]  # fmt: skip
    assert kept(filtered) == [0, 1, 2, 3]
    np.testing.assert_allclose(jax.nn.softmax(filtered), expected, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_temperature_zero_top_k_one_and_a_tiny_top_p_are_greedy(seed):
    key = jax.random.key(seed)
    for options in ({"temperature": 0}, {"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-9}):
        assert int(functional.sample(key, LOGITS, **options)) == 0
    traced = jax.jit(lambda t: functional.sample(key, LOGITS, temperature=t))
    assert int(traced(0.0)) == 0
    assert np.isfinite(int(traced(1e-20)))


def test_sampling_without_filters_varies():
    draws = {int(functional.sample(jax.random.key(seed), LOGITS)) for seed in range(30)}
    assert len(draws) > 1


def test_draws_follow_the_distribution():
    n = 20_000
    rows = jnp.broadcast_to(LOGITS, (n, 6))
    drawn = functional.sample(jax.random.key(7), rows, top_k=4)
    observed = np.bincount(drawn, minlength=6)
    expected = n * np.array([0.5792585299413737, 0.21309730428862375, 0.12925004855316274,
                             0.07839411721683971])  # fmt: skip
    assert observed[4:].sum() == 0
    assert ((observed[:4] - expected) ** 2 / expected).sum() < 16.266  # 3 degrees, p = 0.001


def test_a_key_per_row_makes_rows_independent():
    rows = jnp.broadcast_to(LOGITS, (5, 6))
    keys = jax.random.split(jax.random.key(0), 5)
    together = functional.sample(keys, rows)
    alone = [int(functional.sample(keys[i : i + 1], rows[i : i + 1])[0]) for i in range(5)]
    assert together.tolist() == alone


def test_old_style_keys_work():
    assert 0 <= int(functional.sample(jax.random.PRNGKey(0), LOGITS)) < 6


def test_top_k_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        functional.top_k(LOGITS, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=12),
    st.floats(0.01, 1.0),
)
def test_top_p_keeps_the_smallest_set_that_reaches_p(logits, p):
    logits = np.asarray(logits, np.float32)
    probabilities = np.exp(logits.astype(np.float64) - logits.max())
    probabilities /= probabilities.sum()
    chosen = kept(functional.top_p(jnp.asarray(logits), p))
    mass = probabilities[chosen].sum()
    assert len(chosen) >= 1
    assert mass >= p - 1e-5
    # Without its least probable member it would not reach p.
    assert mass - probabilities[chosen].min() < p + 1e-5
    rest = np.delete(probabilities, chosen)
    assert not len(rest) or probabilities[chosen].min() >= rest.max() - 1e-12
