"""Choosing the next token. Order: temperature, then top-k, then top-p, then min-p."""

import jax
import jax.numpy as jnp


def top_k(logits, k):
    """Keeps the k largest logits of the last axis; ties with the k-th are kept too.

    Args:
      logits: [..., v].
      k: a Python int of at least 1.

    Returns:
      [..., v], minus infinity where dropped.

    Raises:
      ValueError: if k is below 1.
    """
    if k < 1:
        raise ValueError(f"top_k: k must be at least 1, got {k}")
    kth = jax.lax.top_k(logits, min(k, logits.shape[-1]))[0][..., -1:]
    return jnp.where(logits >= kth, logits, -jnp.inf)


def top_p(logits, p):
    """Nucleus filter (Holtzman et al. 2020): the smallest set whose probability reaches p.

    The token that crosses p is kept, and at least one token always is. Of equal logits at the
    edge, those with lower ids are kept.

    Args:
      logits: [..., v].
      p: probability, a scalar or [...] (may be traced).

    Returns:
      [..., v], minus infinity where dropped.
    """
    order = jnp.argsort(-logits, axis=-1, stable=True)
    probabilities = jax.nn.softmax(_wide(logits), axis=-1)
    descending = jnp.take_along_axis(probabilities, order, axis=-1)
    mass_before = jnp.cumsum(descending, axis=-1) - descending
    keep_descending = (mass_before < jnp.asarray(p)[..., None]).at[..., 0].set(True)
    keep = jnp.put_along_axis(
        jnp.zeros(logits.shape, bool), order, keep_descending, axis=-1, inplace=False
    )
    return jnp.where(keep, logits, -jnp.inf)


def min_p(logits, p):
    """Keeps tokens whose probability is at least p times the largest (Nguyen et al. 2024).

    Args:
      logits: [..., v].
      p: a scalar or [...] in [0, 1] (may be traced).

    Returns:
      [..., v], minus infinity where dropped.
    """
    wide = _wide(logits)
    threshold = jnp.max(wide, axis=-1, keepdims=True) + jnp.log(jnp.asarray(p))[..., None]
    return jnp.where(wide >= threshold, logits, -jnp.inf)


# The arguments below have the filters' names.
keep_top_k, keep_top_p, keep_min_p = top_k, top_p, min_p


def filter_logits(logits, *, temperature=1.0, top_k=None, top_p=None, min_p=None):
    """Applies temperature, top-k, top-p and min-p in this order; None leaves one out.

    Args:
      logits: [..., v].
      temperature: positive scalar or [...] (may be traced); 0 is `sample`'s business.
      top_k: Python int or None.
      top_p, min_p: scalar or [...] or None.

    Returns:
      [..., v] in at least float32: the logits of the distribution that is drawn from.
    """
    logits = _wide(logits) / jnp.asarray(temperature)[..., None]
    for keep, value in ((keep_top_k, top_k), (keep_top_p, top_p), (keep_min_p, min_p)):
        if value is not None:
            logits = keep(logits, value)
    return logits


def sample(key, logits, *, temperature=1.0, top_k=None, top_p=None, min_p=None):
    """Draws one token per row; temperature 0 takes the largest logit (lowest id among equals).

    Args:
      key: a JAX key, or [...] keys, one per row, so that rows do not depend on each other.
      logits: [..., v].
      temperature: scalar or [...] (may be traced).
      top_k, top_p, min_p: as in `filter_logits`.

    Returns:
      int32 [...] token ids.
    """
    greedy = jnp.argmax(logits, axis=-1)
    if isinstance(temperature, int | float) and temperature == 0:
        return greedy.astype(jnp.int32)
    temperature = jnp.asarray(temperature)
    filtered = filter_logits(
        logits,
        temperature=jnp.where(temperature > 0, temperature, 1.0),
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
    )
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    if key.ndim == 0:
        drawn = jax.random.categorical(key, filtered, axis=-1)
    else:
        drawn = jax.vmap(jax.random.categorical)(key, filtered)
    return jnp.where(temperature > 0, drawn, greedy).astype(jnp.int32)


def _wide(logits):
    return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
