"""The newer fields of the decoder keep every equivalence of the family."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family import GPT2, SMALL, VOCABULARY, applied, loss_of, make, tokens

from jaxlm import functional
from jaxlm.layers.declare import decayed
from jaxlm.models import (
    Decoder,
    DecoderConfig,
    decoder_parameters,
    init_cache,
    unembedding,
    unstack,
)

TOLERANCE = 1e-5  # float32, the same sums in another order
# Five layers in groups of three: two remain after the last whole group.
GEMMA = DecoderConfig(
    **{**SMALL, "layers": 5}, norm_unit_offset=True, norm_position="sandwich",
    feed_forward="geglu_tanh", query_key_norm=True, window=6, window_pattern="LLG",
    rotary_local_theta=100.0, rotary_scaling="linear", rotary_factor=4.0, attention_scale=0.3,
    attention_softcap=2.0, logit_softcap=0.5, scaled_embeddings=True,
)  # fmt: skip
ALIBI = DecoderConfig(
    **SMALL, norm="layer", parallel=True, positions="alibi", feed_forward="relu2", window=9,
    window_pattern="LG", out_bias=True,
)  # fmt: skip
EXPERTS = DecoderConfig(
    **{**SMALL, "layers": 3}, experts=4, expert_choices=2, rotary_scaling="yarn",
    rotary_factor=4.0, rotary_original_length=8, rotary_high_rotations=32.0, rotary_magnitude=1.1,
    window=5,
)  # fmt: skip
VARIANTS = pytest.mark.parametrize(
    "config", [GEMMA, ALIBI, EXPERTS], ids=["gemma", "alibi", "experts"]
)


def close(found, expected):
    np.testing.assert_allclose(
        found[..., :VOCABULARY], expected[..., :VOCABULARY], atol=TOLERANCE, rtol=0
    )


@VARIANTS
def test_cached_equals_uncached(config):
    model, params = make(config)
    inputs, lengths = tokens(3, 20), np.array([4, 11, 7])
    expected = applied(model)(params, inputs).logits_btv
    output = applied(model)(params, inputs[:, :11], cache=init_cache(config, 3, 24))
    for row, n in enumerate(lengths):
        close(output.logits_btv[row, :n], expected[row, :n])
    rows, layers = np.arange(3), unstack(params, config)
    for step in range(9):
        at = lengths + step
        output = applied(model)(
            layers, inputs[rows, at][:, None], positions_bt=jnp.asarray(at)[:, None],
            cache=output.cache,
        )  # fmt: skip
        close(output.logits_btv[:, 0], expected[rows, at])


@VARIANTS
def test_scan_and_remat_equal_plain(config):
    with jax.enable_x64(True):
        config = dataclasses.replace(config, param_dtype="float64", compute_dtype="float64")
        _, params = make(config)

        def run(**run_time):
            return jax.jit(jax.value_and_grad(loss_of(Decoder(config, **run_time))))(params)

        expected = run(scan_layers=False)
        found = run(scan_layers=True, remat="full")
        chex.assert_trees_all_close(found, expected, rtol=1e-10, atol=1e-10)  # float64


@VARIANTS
def test_router_logits_are_those_of_each_layer(config):
    _, params = make(config)
    plain, scanned = (
        applied(Decoder(config, scan_layers=scan))(params, tokens()).router_logits_lbte
        for scan in (False, True)
    )
    if not config.experts:
        assert plain is None
        assert scanned is None
        return
    chex.assert_shape(plain, (config.layers, 2, 20, config.experts))
    np.testing.assert_allclose(scanned, plain, atol=TOLERANCE)
    assert not np.allclose(plain[0], plain[1])
    cached = applied(Decoder(config))(params, tokens(), cache=init_cache(config, 2, 24))
    np.testing.assert_allclose(cached.router_logits_lbte, plain, atol=TOLERANCE)


@VARIANTS
def test_packed_documents_equal_those_alone(config):
    model, params = make(config)
    lengths = (9, 5, 12)
    documents = [tokens(1, n, seed=n) for n in lengths]
    output = applied(model)(
        params, jnp.concatenate(documents, 1),
        positions_bt=jnp.concatenate([jnp.arange(n) for n in lengths])[None],
        segment_ids_bt=jnp.asarray(np.repeat([1, 2, 3], lengths))[None],
    )  # fmt: skip
    alone = [applied(model)(params, d).logits_btv for d in documents]
    close(output.logits_btv, jnp.concatenate(alone, 1))


@VARIANTS
def test_causality_and_the_window(config):
    """By gradient: which tokens a logit depends on."""
    config = dataclasses.replace(config, layers=2, window_pattern="L", tied_embeddings=False)
    _, params = make(config)

    def logit_sums(table):
        edited = {**params, "embedding": {"token": table}}
        output = Decoder(config).apply({"params": edited}, jnp.arange(20)[None])
        return jnp.sum(output.logits_btv[0, :, :VOCABULARY] ** 2, axis=-1)

    jacobian = jax.jit(jax.jacrev(logit_sums))(params["embedding"]["token"])
    depends = (jacobian[:, :20] != 0).any(-1)
    reach = 20 if config.window is None else 2 * (config.window - 1) + 1  # of two layers
    query, key = np.arange(20)[:, None], np.arange(20)[None]
    np.testing.assert_array_equal(depends, (key <= query) & (query - key < reach))


@VARIANTS
def test_float64_stays_float64_and_the_loss_is_that_of_the_logits(config):
    with jax.enable_x64(True):
        config = dataclasses.replace(config, param_dtype="float64", compute_dtype="float64")
        model, params = make(config)
        inputs = tokens()
        output = applied(model)(params, inputs)
        found = functional.chunked_cross_entropy(
            output.hidden_btd, unembedding(params), inputs, vocab_size=VOCABULARY,
            softcap=config.logit_softcap,
        )[0]  # fmt: skip
        expected = functional.cross_entropy(output.logits_btv, inputs)[0]
        assert {a.dtype.name for a in jax.tree.leaves((output, params))} == {"float64"}
        assert float(found) == pytest.approx(float(expected), rel=1e-12)
        narrow = applied(Decoder(dataclasses.replace(config, compute_dtype="float32")))
        close(narrow(params, inputs).logits_btv, output.logits_btv)


@VARIANTS
def test_parameters_start_as_declared(config):
    _, params = make(config)
    declared = decoder_parameters(config)
    chex.assert_trees_all_equal_structs(params, decayed(declared))
    for path, decays in jax.tree_util.tree_leaves_with_path(decayed(declared)):
        name = path[-1].key
        assert decays == (name != "scale" and "bias" not in name), path
    if config.norm_unit_offset:
        assert (params["final_norm"]["scale"] == 0).all()
    if config.experts:
        up = params["blocks"]["experts"]["up"]
        assert float(up.std()) == pytest.approx(config.width**-0.5, rel=0.05)


def test_existing_trees_keep_their_names():
    names = {"attention_norm", "attention", "feed_forward_norm", "feed_forward"}
    assert set(decoder_parameters(GPT2)["blocks"]) == names
    assert set(decoder_parameters(GEMMA)["blocks"]) == {
        *names, "attention_out_norm", "feed_forward_out_norm"
    }  # fmt: skip
    assert set(decoder_parameters(ALIBI)["blocks"]) == names - {"feed_forward_norm"}


def test_capacity_is_for_training_only():
    _, params = make(EXPERTS)
    dropless = applied(Decoder(EXPERTS))(params, tokens()).logits_btv
    full = Decoder(EXPERTS, expert_capacity=2.0)  # 2 of 4 experts: nothing can overflow
    close(applied(full)(params, tokens()).logits_btv, dropless)
    tight = Decoder(EXPERTS, expert_capacity=0.25)
    dropped = applied(tight)(params, tokens()).logits_btv
    assert float(jnp.abs(dropped - dropless)[..., :VOCABULARY].max()) > 0.01
    cached = applied(tight)(params, tokens(), cache=init_cache(EXPERTS, 2, 24)).logits_btv
    close(cached, dropless)
