"""Decoding against the plain forward pass, row by row and token by token."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.errors import InputError
from jaxlm.generation import SamplingOptions, decode, make_generator
from jaxlm.models import Decoder, DecoderConfig, unstack

SHAPE = {
    "vocab_size": 50, "context_length": 96, "layers": 2, "width": 32, "heads": 4, "kv_heads": 2,
    "head_dim": 8, "hidden": 64, "compute_dtype": "float32",
}  # fmt: skip
LLAMA = DecoderConfig(**SHAPE)
GPT2 = DecoderConfig(
    **{**SHAPE, "kv_heads": 4}, norm="layer", positions="learned", feed_forward="gelu_tanh",
    qkv_bias=True, bias=True,
)  # fmt: skip
PROMPTS = [[7, 3, 9, 11, 2], [4], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]]


def make(config):
    model = Decoder(config)
    params = model.init(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]
    # Larger embeddings than at initialisation: otherwise all logits are nearly equal.
    params["embedding"]["token"] = params["embedding"]["token"] * 30
    return model, params


@pytest.fixture(scope="module", params=[LLAMA, GPT2], ids=["llama", "gpt2"])
def model_and_params(request):
    return make(request.param)


@pytest.fixture(scope="module")
def llama():
    return make(LLAMA)


def forward(model, params, ids):
    """Uncached logits of one row, float64 NumPy. Causal, so that one padded length serves all."""
    padded = np.zeros((1, SHAPE["context_length"]), np.int32)
    padded[0, : len(ids)] = ids
    return np.asarray(uncached(model, params, padded)[0, : len(ids)], np.float64)


@functools.partial(jax.jit, static_argnums=0)
def uncached(model, params, tokens_bt):
    return model.apply({"params": params}, tokens_bt).logits_btv


def test_greedy_equals_the_uncached_model_for_prompts_of_unequal_length(model_and_params):
    model, params = model_and_params
    result = decode(
        model, params, PROMPTS, max_new_tokens=20, options=SamplingOptions(temperature=0),
        key=jax.random.key(0),
    )  # fmt: skip
    for prompt, row in zip(PROMPTS, np.asarray(result.tokens_bn), strict=True):
        ids = list(prompt)
        for _ in range(20):
            ids.append(int(forward(model, params, ids)[-1].argmax()))
        assert row.tolist() == ids[len(prompt) :]


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_logprobs_are_the_models_at_the_sampling_temperature(model_and_params, temperature):
    model, params = model_and_params
    result = decode(
        model, params, PROMPTS, max_new_tokens=12, key=jax.random.key(1),
        options=SamplingOptions(temperature=temperature, top_k=10),
    )  # fmt: skip
    for prompt, row, found in zip(
        PROMPTS, np.asarray(result.tokens_bn), np.asarray(result.logprobs_bn), strict=True
    ):
        logits = forward(model, params, [*prompt, *row.tolist()])[:, : SHAPE["vocab_size"]]
        scaled = logits[len(prompt) - 1 : -1] / temperature
        expected = scaled - np.log(np.exp(scaled).sum(-1, keepdims=True))
        # float32 against a float32 forward pass summed in another order
        np.testing.assert_allclose(
            found, np.take_along_axis(expected, row[:, None], -1)[:, 0], atol=1e-4
        )


def test_end_of_text_is_kept_with_mask_and_ends_the_row(llama):
    model, params = llama
    options, key = SamplingOptions(), jax.random.key(3)
    free = decode(model, params, PROMPTS, max_new_tokens=30, options=options, key=key)
    end = int(free.tokens_bn[0, 4])
    result = decode(model, params, PROMPTS, max_new_tokens=30, options=options, key=key, end_id=end)
    for row in range(3):
        expected = np.asarray(free.tokens_bn[row]).tolist()
        tokens, mask = np.asarray(result.tokens_bn[row]), np.asarray(result.mask_bn[row])
        count = expected.index(end) + 1 if end in expected else 30
        assert mask.tolist() == [True] * count + [False] * (30 - count)
        assert tokens[mask].tolist() == expected[:count]  # end-of-text included
        assert bool(result.finished_b[row]) == (end in expected)
    assert bool(result.finished_b[0])


def test_a_row_does_not_depend_on_its_neighbours(llama):
    model, params = llama
    options, key = SamplingOptions(temperature=1.0, top_p=0.9), jax.random.key(5)
    alone = decode(model, params, PROMPTS[:1], max_new_tokens=16, options=options, key=key)
    among = decode(model, params, PROMPTS, max_new_tokens=16, options=options, key=key)
    assert alone.tokens_bn[0].tolist() == among.tokens_bn[0].tolist()


def test_seeds_and_rows_differ_and_repeat(llama):
    model, params = llama
    rows = [PROMPTS[0]] * 2
    options = SamplingOptions()

    def tokens(seed):
        return np.asarray(
            decode(
                model, params, rows, max_new_tokens=16, options=options, key=jax.random.key(seed)
            ).tokens_bn
        )

    first = tokens(0)
    np.testing.assert_array_equal(first, tokens(0))
    assert (first != tokens(1)).any()
    assert (first[0] != first[1]).any()


def test_streaming_hands_over_the_same_tokens(llama):
    model, params = llama
    options, key, pieces = SamplingOptions(), jax.random.key(2), []
    streamed = decode(
        model, params, PROMPTS, max_new_tokens=21, options=options, key=key, end_id=3,
        on_tokens=lambda tokens, mask: pieces.append((tokens, mask)), chunk=4,
    )  # fmt: skip
    whole = decode(model, params, PROMPTS, max_new_tokens=21, options=options, key=key, end_id=3)
    np.testing.assert_array_equal(streamed.tokens_bn, whole.tokens_bn)
    handed = np.concatenate([tokens for tokens, _ in pieces], axis=1)
    mask = np.concatenate([mask for _, mask in pieces], axis=1)
    np.testing.assert_array_equal(handed, np.asarray(whole.tokens_bn)[:, : handed.shape[1]])
    np.testing.assert_array_equal(mask, np.asarray(whole.mask_bn)[:, : mask.shape[1]])


@pytest.mark.parametrize(
    ("prompts", "tokens", "options", "fragment"),
    [
        ([[1] * 90], 10, SamplingOptions(), "context of 96"),
        ([[]], 10, SamplingOptions(), "empty"),
        ([], 10, SamplingOptions(), "empty"),
        ([[1]], 0, SamplingOptions(), "at least 1"),
        ([[1]], 5, SamplingOptions(temperature=-1), "--temperature"),
        ([[1]], 5, SamplingOptions(top_p=0.0), "--top-p"),
        ([[1]], 5, SamplingOptions(top_k=0), "--top-k"),
        ([[1]], 5, SamplingOptions(min_p=1.5), "--min-p"),
    ],
)
def test_bad_arguments_are_refused(llama, prompts, tokens, options, fragment):
    model, params = llama
    with pytest.raises(InputError, match=re.escape(fragment)):
        decode(
            model, params, prompts, max_new_tokens=tokens, options=options, key=jax.random.key(0)
        )


def test_the_whole_context_can_be_filled(llama):
    model, params = llama
    options = SamplingOptions(temperature=0)
    result = decode(
        model, params, [[1] * 40], max_new_tokens=56, options=options, key=jax.random.key(0)
    )
    ids = [1] * 40 + np.asarray(result.tokens_bn[0]).tolist()
    predicted = forward(model, params, ids)[39:-1].argmax(-1)
    assert predicted.tolist() == ids[40:]


def test_temperature_and_length_do_not_compile_again_and_no_cache_is_copied(llama):
    model, params = llama
    generator = make_generator(model)
    params = unstack(params, model.config)

    def start():
        return generator.prefill(
            params, np.ones((1, 32), np.int32), np.asarray([5], np.int32), jax.random.key(0),
            max_new_tokens=32, cache_length=64,
        )  # fmt: skip

    for until, temperature in ((4, 0.0), (7, 0.9), (32, 1.3)):
        generator.advance(params, start(), until, temperature, 0.9, None, top_k=None, end_id=2)
    assert generator.advance._cache_size() == 1
    assert generator.prefill._cache_size() == 1

    program = generator.advance.lower(
        params, start(), 32, 1.0, None, None, top_k=None, end_id=2
    ).compile()
    cache_shape = f"[{LLAMA.kv_heads},64,{LLAMA.head_dim}]"
    copies = [
        line for line in program.as_text().splitlines() if re.search(r" copy\(", line)
        and cache_shape in line
    ]  # fmt: skip
    assert not copies
