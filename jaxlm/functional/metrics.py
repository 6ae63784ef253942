"""What a loss means: perplexity and bits per byte."""

import math

import jax.numpy as jnp


def perplexity(nats, tokens):
    """exp of the mean negative log-likelihood: `nats` summed over `tokens` tokens."""
    return jnp.exp(nats / tokens)


def bits_per_byte(nats, utf8_bytes):
    """Bits to code one byte of text: comparable across tokenizers, unlike perplexity.

    Args:
      nats: negative log-likelihood summed over all tokens of the text.
      utf8_bytes: length of the same text in bytes.
    """
    return nats / (utf8_bytes * math.log(2.0))
