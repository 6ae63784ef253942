"""Pure functions of a language model: arrays in, arrays out; imports only jax.

>>> import jax.numpy as jnp
>>> from jaxlm import functional
>>> q = jnp.ones((1, 4, 2, 8))  # batch, time, heads, head dim
>>> functional.attention(q, q, q, causal=True).shape
(1, 4, 2, 8)
"""

from jaxlm.functional.attention import attention, reference_attention
from jaxlm.functional.attention_block import attention_block
from jaxlm.functional.cached_attention import KVCache, cached_attention, write_cache
from jaxlm.functional.feed_forward import feed_forward, gelu, gelu_tanh, is_gated, relu2
from jaxlm.functional.linear import dense
from jaxlm.functional.losses import chunked_cross_entropy, cross_entropy, unembed
from jaxlm.functional.metrics import bits_per_byte, perplexity
from jaxlm.functional.mixture_of_experts import (
    load_balance_loss,
    mixture_of_experts,
    route,
    router_z_loss,
)
from jaxlm.functional.normalization import dropout, layer_norm, rms_norm
from jaxlm.functional.positions import (
    RotaryScaling,
    alibi_slopes,
    rotary,
    rotary_frequencies,
    sinusoidal,
)
from jaxlm.functional.recurrent import (
    gru_cell,
    lstm_cell,
    recurrent,
    rnn_cell,
    segment_starts,
)
from jaxlm.functional.relative_positions import relative_attention
from jaxlm.functional.sampling import filter_logits, min_p, sample, top_k, top_p

__all__ = [
    "KVCache",
    "RotaryScaling",
    "alibi_slopes",
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
    "gru_cell",
    "is_gated",
    "layer_norm",
    "load_balance_loss",
    "lstm_cell",
    "min_p",
    "mixture_of_experts",
    "perplexity",
    "recurrent",
    "reference_attention",
    "relative_attention",
    "relu2",
    "rms_norm",
    "rnn_cell",
    "rotary",
    "rotary_frequencies",
    "route",
    "router_z_loss",
    "sample",
    "segment_starts",
    "sinusoidal",
    "top_k",
    "top_p",
    "unembed",
    "write_cache",
]
