"""Self-attention with its projections, its positions and its cache."""

import jax.numpy as jnp

from jaxlm.functional.attention import attention
from jaxlm.functional.cached_attention import cached_attention, write_cache
from jaxlm.functional.linear import dense
from jaxlm.functional.normalization import rms_norm
from jaxlm.functional.positions import alibi_slopes, rotary


def attention_block(
    p,
    x_btd,
    *,
    positions_bt,
    segment_ids_bt=None,
    cache=None,
    rotary_theta=None,
    rotary_scaling=None,
    alibi=False,
    window=None,
    softcap=None,
    scale=None,
    norm_epsilon=1e-5,
    norm_unit_offset=False,
    dropout_rate=0.0,
    dropout_key=None,
    implementation="auto",
):
    """Projects to queries, keys and values, attends causally, and projects back.

    Without a cache causality goes by the index within the row, which equals position order in
    any row whose segments have ascending positions.

    Args:
      p: {"query": [d, n, h], "key": [d, k, h], "value": [d, k, h], "out": [n, h, d]} and optional
        biases "query_bias" [n, h], "key_bias" [k, h], "value_bias" [k, h], "out_bias" [d]; with
        "query_norm" and "key_norm", each {"scale": [h]}, queries and keys pass an RMSNorm per
        head before the rotation (Henry et al. 2020).
      x_btd: inputs.
      positions_bt: int positions, for the rotation and for the cache's slots.
      segment_ids_bt: int or None; not together with a cache.
      cache: `KVCache` or None.
      rotary_theta: base of the rotary frequencies; None for no rotation.
      rotary_scaling: `RotaryScaling` or None.
      alibi: whether the logits get linear biases by distance.
      window, softcap, scale: as in `attention`.
      norm_epsilon, norm_unit_offset: of the norms of queries and keys, as in `rms_norm`.
      dropout_rate, dropout_key: on the attention weights.
      implementation: as in `attention`.

    Returns:
      ([b, t, d], the updated cache or None).

    Raises:
      ValueError: if both a cache and segment ids are given.
    """
    q_btnh = dense(x_btd, p["query"], p.get("query_bias"))
    k_btkh = dense(x_btd, p["key"], p.get("key_bias"))
    v_btkh = dense(x_btd, p["value"], p.get("value_bias"))
    if "query_norm" in p:
        norm = {"epsilon": norm_epsilon, "unit_offset": norm_unit_offset}
        q_btnh = rms_norm(q_btnh, p["query_norm"]["scale"], **norm)
        k_btkh = rms_norm(k_btkh, p["key_norm"]["scale"], **norm)
    if rotary_theta is not None:
        q_btnh = rotary(q_btnh, positions_bt, theta=rotary_theta, scaling=rotary_scaling)
        k_btkh = rotary(k_btkh, positions_bt, theta=rotary_theta, scaling=rotary_scaling)
    wide = jnp.promote_types(x_btd.dtype, jnp.float32)
    slopes_n = alibi_slopes(q_btnh.shape[2], dtype=wide) if alibi else None
    logits = {"window": window, "alibi_slopes": slopes_n, "softcap": softcap, "scale": scale}
    if cache is None:
        out_btnh = attention(
            q_btnh,
            k_btkh,
            v_btkh,
            causal=True,
            **logits,
            segment_ids=segment_ids_bt,
            dropout_rate=dropout_rate,
            dropout_key=dropout_key,
            implementation=implementation,
        )
    else:
        if segment_ids_bt is not None:
            raise ValueError("attention_block: a cache holds one segment per row; drop segment_ids")
        cache = write_cache(cache, k_btkh, v_btkh, positions_bt)
        out_btnh = cached_attention(q_btnh, cache, positions_bt, **logits)
    return dense(out_btnh, p["out"], p.get("out_bias"), contract=2), cache
