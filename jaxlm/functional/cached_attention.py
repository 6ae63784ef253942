"""Attention over a cache of keys and values in which slot = position."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlm.functional.attention import alibi_bias, attend, visible_keys


class KVCache(NamedTuple):
    """Keys and values of one layer, slot = position: [b * k, s, h] each.

    Rank 3, because XLA:CPU copies a cache that has separate batch and head axes at every token.
    """

    key: jax.Array
    value: jax.Array


def write_cache(cache, k_btkh, v_btkh, positions_bt):
    """Writes the keys and values of t consecutive tokens per row at their positions.

    Args:
      cache: `KVCache` of [b * k, s, h].
      k_btkh, v_btkh: the new entries.
      positions_bt: int, consecutive within a row; only the first of each row is read. The caller
        keeps them below s: XLA clamps a start that does not fit.

    Returns:
      The updated `KVCache` (in place where the buffers are donated).
    """
    b, t, k, _ = k_btkh.shape
    starts_z = jnp.repeat(positions_bt[:, 0], k)

    def write(buffer_zsh, new_btkh):
        new_zth = new_btkh.transpose(0, 2, 1, 3).reshape(b * k, t, -1).astype(buffer_zsh.dtype)
        if b == 1:
            return jax.lax.dynamic_update_slice_in_dim(buffer_zsh, new_zth, starts_z[0], axis=1)
        row = functools.partial(jax.lax.dynamic_update_slice_in_dim, axis=0)
        return jax.vmap(row)(buffer_zsh, new_zth, starts_z)

    return KVCache(write(cache.key, k_btkh), write(cache.value, v_btkh))


def cached_attention(
    q_btnh, cache, positions_bt, *, window=None, alibi_slopes=None, softcap=None, scale=None
):
    """Causal attention of new queries over a cache in which slot = position.

    Slots beyond a query's position are invisible, so whatever an earlier prompt or padding left
    there has no effect. Arguments as in `attention`.

    Returns:
      [b, t, n, h] in the dtype of `q_btnh`.
    """
    b, t, n, h = q_btnh.shape
    z, s = cache.key.shape[:2]
    k = z // b
    visible_bts = visible_keys(
        positions_bt, jnp.arange(s)[None], None, None, causal=True, window=window
    )
    bias = None
    if alibi_slopes is not None:
        distance_bts = jnp.abs(positions_bt[:, :, None] - jnp.arange(s))
        bias = alibi_bias(
            jnp.tile(alibi_slopes.reshape(k, n // k), (b, 1)),
            jnp.repeat(distance_bts, k, axis=0)[:, None],
        )
    q_zgth = q_btnh.reshape(b, t, k, n // k, h).transpose(0, 2, 3, 1, 4).reshape(z, n // k, t, h)
    out_zgth = attend(
        q_zgth,
        cache.key.astype(q_btnh.dtype),
        cache.value.astype(q_btnh.dtype),
        jnp.repeat(visible_bts, k, axis=0)[:, None],
        bias=bias,
        pattern=("zgth,zsh->zgts", "zgts,zsh->zgth"),
        softcap=softcap,
        scale=scale,
    )
    return out_zgth.reshape(b, k, n // k, t, h).transpose(0, 3, 1, 2, 4).reshape(b, t, n, h)
