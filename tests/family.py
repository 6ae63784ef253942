"""Small decoders from both ends of the family, and inputs for them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import functional
from jaxlm.models import Decoder, DecoderConfig

VOCABULARY = 60  # padded to 128 in memory
SMALL = {
    "vocab_size": VOCABULARY, "context_length": 32, "layers": 2, "width": 32, "heads": 4,
    "kv_heads": 2, "head_dim": 8, "hidden": 48, "compute_dtype": "float32",
}  # fmt: skip
LLAMA = DecoderConfig(**SMALL)
GPT2 = DecoderConfig(
    **{**SMALL, "kv_heads": 4}, norm="layer", positions="learned", feed_forward="gelu_tanh",
    qkv_bias=True, bias=True,
)  # fmt: skip
ORIGINAL = DecoderConfig(
    **{**SMALL, "kv_heads": 4}, norm="layer", norm_position="post", positions="sinusoidal",
    feed_forward="relu", bias=True, tied_embeddings=False,
)  # fmt: skip
BARE = DecoderConfig(**{**SMALL, "kv_heads": 1}, positions="none", feed_forward="geglu")
FAMILY = pytest.mark.parametrize(
    "config", [LLAMA, GPT2, ORIGINAL, BARE], ids=["llama", "gpt2", "original", "bare"]
)


def tokens(b=2, t=20, seed=0, v=VOCABULARY):
    return jnp.asarray(np.random.default_rng(seed).integers(0, v, (b, t)), jnp.int32)


@functools.cache
def make(config, **run_time):
    """(model, params); every call gets the same arrays."""
    model = Decoder(config, **run_time)
    return model, jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))["params"]


@functools.cache
def applied(model):
    """`model.apply` of a parameter tree, jitted."""
    return jax.jit(lambda params, *args, **kwargs: model.apply({"params": params}, *args, **kwargs))


def loss_of(model, **arguments):
    """A function of the parameters alone: the summed loss of fixed tokens."""

    def loss(params):
        output = model.apply({"params": params}, tokens(), **arguments)
        return functional.cross_entropy(output.logits_btv, tokens(seed=1))[0]

    return loss
