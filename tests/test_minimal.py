"""The page for newcomers computes what the library computes."""

import ast
import importlib.util
import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import functional
from jaxlm.models import Decoder, DecoderConfig

PAGE = Path(__file__).parent.parent / "experiments" / "minimal.py"
V = 128  # a vocabulary that needs no padding
CONFIG = DecoderConfig(
    vocab_size=V, context_length=24, layers=2, width=32, heads=4, kv_heads=4, head_dim=8,
    hidden=40, compute_dtype="float32",
)  # fmt: skip


@pytest.fixture
def minimal(monkeypatch):
    """The page as a module, its model minimal."""
    spec = importlib.util.spec_from_file_location("minimal", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name in ("layers", "width", "heads", "hidden"):
        monkeypatch.setattr(module, name.upper(), getattr(CONFIG, name))
    monkeypatch.setattr(module, "BATCH", 4)
    return module


def as_on_the_page(params):
    """The library's parameters in the layout of the page."""
    blocks = params["blocks"]
    return {
        "embedding_vd": params["embedding"]["token"],
        "final_norm_d": params["final_norm"]["scale"],
        "blocks": {
            "attention_norm_d": blocks["attention_norm"]["scale"],
            "feed_forward_norm_d": blocks["feed_forward_norm"]["scale"],
            **{f"{name}_dnh": blocks["attention"][name] for name in ("query", "key", "value")},
            "out_nhd": blocks["attention"]["out"],
            **{f"{name}_df": blocks["feed_forward"][name] for name in ("gate", "up")},
            "down_fd": blocks["feed_forward"]["down"],
        },
    }


def test_logits_loss_and_gradient_agree_with_the_library(minimal):
    model = Decoder(CONFIG)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    rows = jnp.asarray(np.random.default_rng(0).integers(0, V, (3, 25)))
    chex.assert_trees_all_equal_shapes(as_on_the_page(params), minimal.init(jax.random.key(0), V))

    def library(params):
        logits = model.apply({"params": params}, rows[:, :-1]).logits_btv
        total, count = functional.cross_entropy(logits, rows[:, 1:])
        return total / count, logits

    def page(params):
        return minimal.loss(as_on_the_page(params), rows)

    (loss, logits), gradient = jax.jit(jax.value_and_grad(library, has_aux=True))(params)
    # float32, the same sums in another order
    np.testing.assert_allclose(
        jax.jit(minimal.forward)(as_on_the_page(params), rows[:, :-1]), logits, atol=1e-5
    )
    found, found_gradient = jax.jit(jax.value_and_grad(page))(params)
    assert float(found) == pytest.approx(float(loss), abs=1e-5)
    chex.assert_trees_all_close(found_gradient, gradient, atol=1e-5)


def test_it_learns_and_writes_what_it_learned(minimal):
    text = jnp.asarray(list(b"abcdefgh" * 40))
    params = minimal.init(jax.random.key(0), V)
    optimizer = minimal.make_optimizer(120)
    step = minimal.make_train_step(optimizer, text, 16)
    state = params, optimizer.init(params)
    for number in range(120):
        state, loss = step(state, number, 0)
    assert float(loss) < 0.3  # the first letter of a window cannot be known
    key = jax.random.key(2)
    drawn = minimal.sample(state[0], key, ord("a"), 0.1, length=23, context=16)
    assert bytes(drawn.tolist()) == b"bcdefghabcdefghabcdefgh"


def test_decay_and_rate(minimal):
    params = minimal.init(jax.random.key(0), V)
    optimizer = minimal.make_optimizer(100)
    zeros = jax.tree.map(jnp.zeros_like, params)
    updates, _ = optimizer.update(zeros, optimizer.init(params), params)
    # Without a gradient only the decay moves anything: matrices, from the first step on.
    rate = minimal.LEARNING_RATE / minimal.WARMUP
    expected = jax.tree_util.tree_map_with_path(
        lambda path, a: -0.1 * rate * a * ("norm" not in str(path)), params
    )
    chex.assert_trees_all_close(updates, expected, rtol=1e-5)
    assert any(u.any() for u in jax.tree.leaves(updates))


def test_it_is_one_page():
    source = PAGE.read_text()
    assert len(source.splitlines()) < 200
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        for name in names:
            top = name.split(".")[0]
            assert top in ("jax", "optax") or top in sys.stdlib_module_names, name
