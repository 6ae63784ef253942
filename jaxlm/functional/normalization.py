"""Normalisation over the last axis; statistics in at least float32."""

import jax
import jax.numpy as jnp


def layer_norm(x, scale, bias=None, *, epsilon=1e-5):
    """Layer normalisation (Ba et al. 2016, eq. 3 and 4).

    Args:
      x: [..., d].
      scale: [d].
      bias: [d] or None.
      epsilon: added to the variance.

    Returns:
      [..., d] in the dtype of `x`.
    """
    x_wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    centred = x_wide - jnp.mean(x_wide, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    y = centred * jax.lax.rsqrt(variance + epsilon) * scale
    return (y if bias is None else y + bias).astype(x.dtype)


def rms_norm(x, scale, *, epsilon=1e-5, unit_offset=False):
    """Root-mean-square normalisation (Zhang and Sennrich 2019, eq. 4).

    Args:
      x: [..., d].
      scale: [d].
      epsilon: added to the mean square.
      unit_offset: multiplies by 1 + scale instead of scale (Gemma).

    Returns:
      [..., d] in the dtype of `x`.
    """
    x_wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean_square = jnp.mean(jnp.square(x_wide), axis=-1, keepdims=True)
    if unit_offset:
        scale = 1.0 + scale.astype(x_wide.dtype)
    return (x_wide * jax.lax.rsqrt(mean_square + epsilon) * scale).astype(x.dtype)


def dropout(x, rate, key):
    """Sets entries to zero with probability `rate` and scales the others by 1 / (1 - rate).

    Args:
      x: any shape.
      rate: a Python float in [0, 1); 0 returns `x` itself.
      key: a JAX key, or None for no dropout (evaluation).

    Returns:
      The shape and dtype of `x` (Srivastava et al. 2014, "inverted" form).
    """
    if key is None or rate == 0.0:
        return x
    keep = jax.random.bernoulli(key, 1.0 - rate, x.shape)
    return jnp.where(keep, x / jnp.asarray(1.0 - rate, x.dtype), jnp.zeros_like(x))
