"""What a decoder computes: logits, causality, dropout, dtypes, and what it refuses."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family import FAMILY, LLAMA, VOCABULARY, applied, loss_of, make, tokens

from jaxlm import functional
from jaxlm.errors import InputError
from jaxlm.models import Decoder, init_cache, unembedding


@FAMILY
def test_hidden_states_unembed_to_the_logits(config):
    model, params = make(config)
    output = applied(model)(params, tokens())
    chex.assert_shape(output.logits_btv, (2, 20, 128))
    chex.assert_shape(output.hidden_btd, (2, 20, 32))
    logits = functional.unembed(output.hidden_btd, unembedding(params), vocab_size=VOCABULARY)
    np.testing.assert_allclose(logits, output.logits_btv, atol=1e-6)
    assert (output.logits_btv[..., VOCABULARY:] == -jnp.inf).all()
    assert jnp.isfinite(output.logits_btv[..., :VOCABULARY]).all()


@FAMILY
@pytest.mark.parametrize("at", [1, 13, 19])
def test_a_changed_future_token_changes_no_earlier_logit(config, at):
    model, params = make(config)
    inputs = tokens()
    changed = inputs.at[:, at].set((inputs[:, at] + 7) % VOCABULARY)
    before, after = (applied(model)(params, x).logits_btv for x in (inputs, changed))
    np.testing.assert_array_equal(before[:, :at], after[:, :at])
    difference = jnp.abs(before - after)[:, at:, :VOCABULARY]
    assert (difference.max(-1) > 1e-5).all()  # and every later one


@FAMILY
def test_causality_by_gradient(config):
    _, params = make(config)

    def logit_sums(table):
        # Ids 0 to 9 at positions 0 to 9: a row of the table acts as an input at its position.
        edited = {**params, "embedding": {**params["embedding"], "token": table}}
        edited.setdefault("unembedding", params["embedding"]["token"])
        untied = Decoder(dataclasses.replace(config, tied_embeddings=False))
        output = untied.apply({"params": edited}, jnp.arange(10)[None])
        return jnp.sum(output.logits_btv[0, :, :VOCABULARY] ** 2, axis=-1)

    jacobian = jax.jit(jax.jacrev(logit_sums))(params["embedding"]["token"])
    depends = (jacobian[:, :10] != 0).any(-1)  # [query, key]
    np.testing.assert_array_equal(depends, np.tril(np.ones((10, 10), bool)))


def test_dropout_is_off_without_a_key_and_differs_by_key():
    config = dataclasses.replace(LLAMA, dropout=0.3)
    model, params = make(config)
    plain, _ = make(LLAMA)
    assert jax.jit(loss_of(model))(params) == jax.jit(loss_of(plain))(params)

    @jax.jit
    def loss(seed):
        return loss_of(model, dropout_key=jax.random.key(seed))(params)

    losses = [float(loss(seed)) for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    scanned = Decoder(config, scan_layers=True)
    again = jax.jit(loss_of(scanned, dropout_key=jax.random.key(0)))(params)
    assert float(again) == pytest.approx(losses[0], rel=1e-5)


def dtypes_in(jaxpr):
    """Dtypes of every value in a jaxpr, inner ones included."""
    found = set()
    for equation in jaxpr.eqns:
        found |= {str(v.aval.dtype) for v in equation.outvars if hasattr(v.aval, "dtype")}
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found |= dtypes_in(inner)
    return found


@FAMILY
def test_float64_stays_float64(config):
    with jax.enable_x64(True):
        config = dataclasses.replace(config, param_dtype="float64", compute_dtype="float64")
        model, params = make(config)
        assert {a.dtype.name for a in jax.tree.leaves(params)} == {"float64"}
        inputs = tokens()

        def loss(params):
            output = model.apply({"params": params}, inputs)
            return functional.chunked_cross_entropy(
                output.hidden_btd, unembedding(params), inputs, vocab_size=VOCABULARY
            )[0]

        jaxpr = jax.make_jaxpr(jax.value_and_grad(loss))(params)
        assert {a.dtype.name for a in jaxpr.out_avals} == {"float64"}
        assert not {"float32", "bfloat16", "float16"} & dtypes_in(jaxpr.jaxpr)


@FAMILY
def test_bfloat16_compute_with_float32_parameters(config):
    model, params = make(config)
    narrow = Decoder(dataclasses.replace(config, compute_dtype="bfloat16"))
    output = applied(narrow)(params, tokens())
    assert output.hidden_btd.dtype == jnp.bfloat16
    assert output.logits_btv.dtype == jnp.float32
    wide = applied(model)(params, tokens())
    # 8 bits of mantissa through two layers; logits are of order 0.1 to 0.5.
    np.testing.assert_allclose(
        output.logits_btv[..., :VOCABULARY], wide.logits_btv[..., :VOCABULARY], atol=0.03
    )
    gradient = jax.jit(jax.grad(loss_of(narrow)))(params)
    chex.assert_tree_all_finite(gradient)
    assert {a.dtype.name for a in jax.tree.leaves(gradient)} == {"float32"}


def test_what_does_not_fit_is_refused():
    model, params = make(LLAMA)
    with pytest.raises(ValueError, match="context_length 32"):
        model.apply({"params": params}, tokens(1, 33))
    with pytest.raises(ValueError, match="cache's length 8"):
        model.apply({"params": params}, tokens(1, 9), cache=init_cache(LLAMA, 1, 8))
    with pytest.raises(ValueError, match="segment"):
        model.apply({"params": params}, tokens(1, 4), cache=init_cache(LLAMA, 1, 8),
                    segment_ids_bt=jnp.ones((1, 4), jnp.int32))  # fmt: skip
    bad = dataclasses.replace(LLAMA, heads=3, head_dim=7, dropout=1.0)
    with pytest.raises(InputError) as error:
        Decoder(bad).init(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))
    assert len(error.value.problems) == 3
