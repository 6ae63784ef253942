"""Pure functions of a language model: arrays in, arrays out; imports only jax.

>>> import jax.numpy as jnp
>>> from jaxlm import functional
>>> q = jnp.ones((1, 4, 2, 8))  # batch, time, heads, head dim
>>> functional.attention(q, q, q, causal=True).shape
(1, 4, 2, 8)
"""

from jaxlm.functional.attention import (
    KVCache,
    attention,
    attention_block,
    cached_attention,
    write_cache,
)
from jaxlm.functional.feed_forward import feed_forward, gelu, gelu_tanh, is_gated
from jaxlm.functional.linear import dense
from jaxlm.functional.losses import chunked_cross_entropy, cross_entropy, unembed
from jaxlm.functional.metrics import bits_per_byte, perplexity
from jaxlm.functional.normalization import dropout, layer_norm, rms_norm
from jaxlm.functional.positions import rotary, sinusoidal
from jaxlm.functional.sampling import filter_logits, min_p, sample, top_k, top_p

__all__ = [
    "KVCache",
    "attention",
    "attention_block",
    "bits_per_byte",
    "cached_attention",
    "chunked_cross_entropy",
    "cross_entropy",
    "dense",
    "dropout",
    "feed_forward",
    "filter_logits",
    "gelu",
    "gelu_tanh",
    "is_gated",
    "layer_norm",
    "min_p",
    "perplexity",
    "rms_norm",
    "rotary",
    "sample",
    "sinusoidal",
    "top_k",
    "top_p",
    "unembed",
    "write_cache",
]
