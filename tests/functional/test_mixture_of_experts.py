"""Mixture of experts against float64 NumPy, one token at a time."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import functional

D, F, E = 6, 10, 5


def draw(b=2, t=37, gated=True, seed=0):
    random = np.random.default_rng(seed)

    def normal(*shape):
        return jnp.asarray(random.normal(size=shape), jnp.float32) * shape[-2] ** -0.5

    p = {"router": 3 * normal(D, E), "up": normal(E, D, F), "down": normal(E, F, D)}
    if gated:
        p["gate"] = normal(E, D, F)
    return p, jnp.asarray(random.normal(size=(b, t, D)), jnp.float32)


def reference(p, x, choices, normalize=True):
    """Token by token, expert by expert; also the order of its choices."""
    p = {name: np.asarray(a, np.float64) for name, a in p.items()}
    y, chosen = np.zeros(x.shape), np.zeros((*x.shape[:2], choices), int)
    for at in np.ndindex(x.shape[:2]):
        token = np.asarray(x[at], np.float64)
        logits = token @ p["router"]
        probabilities = np.exp(logits) / np.exp(logits).sum()
        best = np.argsort(-logits)[:choices]
        weights = probabilities[best] / (probabilities[best].sum() if normalize else 1.0)
        for weight, e in zip(weights, best, strict=True):
            gate = token @ p["gate"][e]
            hidden = gate / (1 + np.exp(-gate)) * (token @ p["up"][e])
            y[at] += weight * (hidden @ p["down"][e])
        chosen[at] = best
    return y, chosen


def run(p, x, **arguments):
    arguments = {"choices": 2, "activation": "swiglu", **arguments}
    return jax.jit(lambda p, x: functional.mixture_of_experts(p, x, **arguments))(p, x)


@pytest.mark.parametrize("implementation", ["blocks", "ragged", "dense"])
@pytest.mark.parametrize(("choices", "normalize"), [(1, True), (1, False), (2, True), (5, False)])
def test_dropless_forms(implementation, choices, normalize):
    p, x = draw()
    expected, chosen = reference(p, x, choices, normalize)
    y, logits = run(p, x, choices=choices, normalize=normalize, implementation=implementation)
    np.testing.assert_allclose(y, expected, atol=2e-6)  # float32 against float64
    np.testing.assert_allclose(logits, np.asarray(x) @ np.asarray(p["router"]), atol=1e-5)
    routing = functional.route(x, p["router"], choices=choices)
    np.testing.assert_array_equal(routing.experts, chosen)


@pytest.mark.parametrize("tokens", [1, 2, 3, 64, 700])
def test_blocks_of_every_size(tokens):
    """One token while decoding, many in training, and all of them at one expert."""
    p, x = draw(b=1, t=tokens)
    for router in (p["router"], jnp.zeros((D, E))):
        case = {**p, "router": router}
        expected, _ = run(case, x, implementation="dense")
        found, _ = run(case, x, implementation="blocks")
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_gradients_of_all_forms():
    p, x = draw()

    def gradient(**arguments):
        def total(p, x):
            y, logits = functional.mixture_of_experts(
                p, x, choices=2, activation="swiglu", **arguments
            )
            return jnp.sum(jnp.sin(y)) + jnp.sum(logits**2)

        return jax.jit(jax.grad(total, (0, 1)))(p, x)

    expected = gradient(implementation="dense")
    for form in ({"implementation": "blocks"}, {"implementation": "ragged"}, {"capacity": 2.5}):
        # float32, the same sums in another order; capacity 2.5 = all tokens at one expert
        chex.assert_trees_all_close(gradient(**form), expected, atol=1e-5)


def test_one_expert_is_the_dense_network():
    p, x = draw()
    one = {"router": p["router"][:, :1], **{n: p[n][:1] for n in ("gate", "up", "down")}}
    dense = {name: p[name][0] for name in ("gate", "up", "down")}
    expected = functional.feed_forward(dense, x, activation="swiglu")
    for form in ({"implementation": "blocks"}, {"implementation": "ragged"}, {"capacity": 1.0}):
        found, _ = run(one, x, choices=1, **form)
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_capacity_drops_the_latest_second_choices():
    # Four tokens, two experts; tokens prefer 0, 0, 0, 1. With capacity factor 0.5 each expert
    # takes ceil(0.5 * 4 * 2 / 2) = 2 choices: expert 0 tokens 0 and 1, expert 1 token 3 (first
    # choice) and token 0 (the earliest second choice).
    p, _ = draw()
    p = {name: a[:2] for name, a in p.items()} | {"router": jnp.zeros((D, 2)).at[0, 0].set(1.0)}
    x = jnp.asarray(np.random.default_rng(1).normal(size=(1, 4, D)), jnp.float32)
    x = x.at[0, :, 0].set(jnp.array([1.0, 1.0, 1.0, -1.0]))
    y, _ = run(p, x, capacity=0.5)
    high, low = np.exp(1) / (np.exp(1) + 1), 1 / (np.exp(1) + 1)  # one logit is 1, the other 0

    def expert(e, token):
        kernels = {name: p[name][e] for name in ("gate", "up", "down")}
        return functional.feed_forward(kernels, x[:, token], activation="swiglu")[0]

    expected = [
        high * expert(0, 0) + low * expert(1, 0),
        high * expert(0, 1),
        jnp.zeros(D),
        high * expert(1, 3),
    ]
    # Token 3: exp(0) / (exp(-1) + exp(0)) is the same weight.
    np.testing.assert_allclose(y[0], jnp.stack(expected), atol=1e-6)


def test_plain_activation_and_bfloat16():
    p, x = draw(gated=False)
    wide, _ = run(p, x, activation="relu2")
    dense, _ = run(p, x, activation="relu2", implementation="dense")
    np.testing.assert_allclose(wide, dense, atol=2e-6)
    narrow, logits = run(p, x.astype(jnp.bfloat16), activation="relu2")
    assert narrow.dtype == jnp.bfloat16
    assert logits.dtype == jnp.float32
    # 8 bits of mantissa; a few tokens near a tie go elsewhere.
    assert float(jnp.median(jnp.abs(narrow.astype(jnp.float32) - wide))) < 0.01


def test_load_balance_loss():
    # Two experts, one choice. Probabilities 3/4, 1/4 for two tokens, 1/4, 3/4 for one.
    logits = jnp.log(jnp.array([[3.0, 1.0], [3.0, 1.0], [1.0, 3.0]]))
    total, count = functional.load_balance_loss(logits, 1)
    # shares 2/3, 1/3; means 7/12, 5/12: 2 * (14/36 + 5/36) = 19/18, times three tokens
    assert float(total) == pytest.approx(19 / 6, rel=1e-6)
    assert float(count) == 3
    total, count = functional.load_balance_loss(logits, 1, jnp.array([True, False, True]))
    assert float(total) == pytest.approx(2.0, rel=1e-6)  # uniform: 1 a token
    assert float(count) == 2
    by_choices = functional.load_balance_loss(logits, jnp.array([[0], [0], [1]]))
    assert float(by_choices[0]) == pytest.approx(19 / 6, rel=1e-6)
    assert float(functional.load_balance_loss(logits, 2)[0]) == pytest.approx(3.0, rel=1e-6)
    nothing = functional.load_balance_loss(logits, 1, jnp.zeros(3, bool))
    assert [float(a) for a in nothing] == [0.0, 0.0]


def test_router_z_loss():
    logits = jnp.log(jnp.array([[1.0, 1.0], [3.0, 5.0]]))
    total, count = functional.router_z_loss(logits)
    assert float(total) == pytest.approx(np.log(2) ** 2 + np.log(8) ** 2, rel=1e-6)
    assert float(count) == 2
    masked = functional.router_z_loss(logits, jnp.array([0, 1]))
    assert [float(a) for a in masked] == pytest.approx([np.log(8) ** 2, 1.0])


def test_what_does_not_fit_is_refused():
    p, x = draw()
    with pytest.raises(ValueError, match="6 choices among 5 experts"):
        run(p, x, choices=6)
    with pytest.raises(ValueError, match="unknown implementation"):
        run(p, x, implementation="fast")
