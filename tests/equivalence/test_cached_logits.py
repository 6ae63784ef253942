"""Logits with a cache equal those without, at every position."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from family import FAMILY, LLAMA, VOCABULARY, applied, make, tokens

from jaxlm.models import init_cache, unstack

TOLERANCE = 1e-5  # float32, the same sums in another order


def close(found, expected):
    np.testing.assert_allclose(
        found[..., :VOCABULARY], expected[..., :VOCABULARY], atol=TOLERANCE, rtol=0
    )


@FAMILY
def test_prompts_of_unequal_length_in_one_batch(config):
    model, params = make(config)
    inputs, lengths = tokens(3, 20), np.array([4, 11, 7])
    expected = applied(model)(params, inputs).logits_btv
    # Shorter prompts are padded: what the padding leaves in the cache is overwritten in time.
    cache = init_cache(config, 3, 24)
    output = applied(model)(params, inputs[:, :11], cache=cache)
    for row, n in enumerate(lengths):
        close(output.logits_btv[row, :n], expected[row, :n])
    rows, layers = np.arange(3), unstack(params, config)
    for step in range(9):
        at = lengths + step
        token, positions = inputs[rows, at][:, None], jnp.asarray(at)[:, None]
        output = applied(model)(layers, token, positions_bt=positions, cache=output.cache)
        close(output.logits_btv[:, 0], expected[rows, at])


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("prefill", [1, 7, 23])
def test_every_prefill_length(kv_heads, prefill):
    config = dataclasses.replace(LLAMA, kv_heads=kv_heads)
    model, params = make(config)
    inputs = tokens(2, 24)
    expected = applied(model)(params, inputs).logits_btv
    output = applied(model)(params, inputs[:, :prefill], cache=init_cache(config, 2, 24))
    parts = [output.logits_btv]
    for at in range(prefill, 24):
        positions = jnp.full((2, 1), at)
        output = applied(model)(
            params, inputs[:, at : at + 1], positions_bt=positions, cache=output.cache
        )
        parts.append(output.logits_btv)
    found = jnp.concatenate(parts, axis=1)
    close(found, expected)
    np.testing.assert_array_equal(found.argmax(-1), expected.argmax(-1))


def test_a_long_prompt_in_pieces():
    model, params = make(LLAMA)
    inputs = tokens(2, 24)
    expected = applied(model)(params, inputs).logits_btv
    cache, parts = init_cache(LLAMA, 2, 32), []
    for first in range(0, 24, 8):
        positions = jnp.broadcast_to(jnp.arange(first, first + 8), (2, 8))
        output = applied(model)(
            params, inputs[:, first : first + 8], positions_bt=positions, cache=cache
        )
        cache, parts = output.cache, [*parts, output.logits_btv]
    close(jnp.concatenate(parts, axis=1), expected)
