"""Scaled dot-product attention with one rule for what a query may see.

Nothing here takes a mask array. A key is visible to a query when all that was asked for holds:
same segment, position not in the future (`causal`), within `window`, index below `kv_length`.
Packing, padding, left padding and cached decoding are all expressed by these.
"""

import functools
import logging
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlm.functional.linear import dense
from jaxlm.functional.normalization import dropout
from jaxlm.functional.positions import rotary


class KVCache(NamedTuple):
    """Keys and values of one layer, slot = position: [b * k, s, h] each.

    Rank 3, because XLA:CPU copies a cache that has separate batch and head axes at every token.
    """

    key: jax.Array
    value: jax.Array


def attention(
    q_btnh,
    k_bskh,
    v_bskh,
    *,
    causal=True,
    window=None,
    positions=None,
    kv_positions=None,
    segment_ids=None,
    kv_segment_ids=None,
    kv_length=None,
    softcap=None,
    scale=None,
    dropout_rate=0.0,
    dropout_key=None,
    implementation="auto",
):
    """softmax(scale * q k^T) v over the visible keys (Vaswani et al. 2017, eq. 1).

    Grouped and multi-query attention (Ainslie et al. 2023): n must be a multiple of k; query head
    i uses key head i // (n / k). A query that sees no key gives zeros. Logits, softmax and sums
    are in at least float32.

    Args:
      q_btnh, k_bskh, v_bskh: queries, keys, values of one floating dtype.
      causal: a key is visible only if its position is at most the query's.
      window: with w, only if query position - key position < w (needs `causal`).
      positions: int [b, t] of the queries; None means the index, which needs t == s if causal.
      kv_positions: int [b, s]; None means the same as `positions`.
      segment_ids: int [b, t]; a key is visible only within the same segment.
      kv_segment_ids: int [b, s]; None means the same as `segment_ids`.
      kv_length: int [b]; only the first kv_length keys of a row are visible.
      softcap: logits become softcap * tanh(logits / softcap) (Gemma 2).
      scale: of the logits; 1 / sqrt(h) by default.
      dropout_rate, dropout_key: dropout on the attention weights; no key, no dropout.
      implementation: "reference" (all logits at once), "chunked" (blocks of queries; keys that
        lie wholly in the future or outside the window are skipped), or "auto" (by length).

    Returns:
      [b, t, n, h] in the dtype of `q_btnh`.

    Raises:
      ValueError: for shapes or arguments that do not fit together.
    """
    b, t, n, h = q_btnh.shape
    s, k = k_bskh.shape[1:3]
    if k_bskh.shape != (b, s, k, h) or v_bskh.shape[:3] != (b, s, k) or n % k:
        raise ValueError(
            f"attention: shapes q {q_btnh.shape}, k {k_bskh.shape}, v {v_bskh.shape} do not fit: "
            "they must be [b,t,n,h], [b,s,k,h], [b,s,k,h] with n a multiple of k"
        )
    if window is not None and (not causal or window < 1):
        raise ValueError(f"attention: window={window} needs causal=True and at least 1")
    if positions is None and kv_positions is not None:
        raise ValueError("attention: kv_positions needs positions")
    if segment_ids is None and kv_segment_ids is not None:
        raise ValueError("attention: kv_segment_ids needs segment_ids")
    for name, given, of_keys in (
        ("positions", positions, kv_positions),
        ("segment_ids", segment_ids, kv_segment_ids),
    ):
        if given is not None and of_keys is None and t != s:
            raise ValueError(f"attention: {name} for {t} queries and {s} keys needs kv_{name}")
    if causal and positions is None and t != s:
        raise ValueError(f"attention: causal over {t} queries and {s} keys needs positions")

    by_index = positions is None
    if by_index:
        positions = jnp.arange(t)[None]
        kv_positions = jnp.arange(s)[None]
    elif kv_positions is None:
        kv_positions = positions
    if kv_segment_ids is None:
        kv_segment_ids = segment_ids

    if implementation == "auto":
        implementation = "chunked" if t >= 128 else "reference"
        _log_choice(implementation, t, s)
    if implementation == "reference":
        chunk = t
    elif implementation == "chunked":
        chunk = max(64, -(-t // 16))
    else:
        raise ValueError(f"attention: unknown implementation {implementation!r}")

    def block(first, last):
        # With positions by index, whole ranges of keys are known to be invisible.
        low, high = 0, s
        if causal and by_index:
            high = min(last, s)
            low = 0 if window is None else max(0, first + 1 - window)
        visible = _visible(
            positions[:, first:last],
            kv_positions[:, low:high],
            None if segment_ids is None else segment_ids[:, first:last],
            None if kv_segment_ids is None else kv_segment_ids[:, low:high],
            causal=causal,
            window=window,
        )
        if kv_length is not None:
            in_length_b1s = jnp.arange(low, high)[None, None] < kv_length[:, None, None]
            visible = in_length_b1s if visible is None else visible & in_length_b1s
        key = None if dropout_key is None else jax.random.fold_in(dropout_key, first)
        return _attend(
            q_btnh[:, first:last].reshape(b, last - first, k, n // k, h),
            k_bskh[:, low:high],
            v_bskh[:, low:high],
            None if visible is None else visible[:, None, None],
            pattern=("btkgh,bskh->bkgts", "bkgts,bskh->btkgh"),
            softcap=softcap,
            scale=scale,
            dropout_rate=dropout_rate,
            dropout_key=key,
        )

    blocks = [block(first, min(first + chunk, t)) for first in range(0, t, chunk)]
    out = blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks, axis=1)
    return out.reshape(b, t, n, v_bskh.shape[-1])


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


def cached_attention(q_btnh, cache, positions_bt, *, window=None, softcap=None, scale=None):
    """Causal attention of new queries over a cache in which slot = position.

    Slots beyond a query's position are invisible, so whatever an earlier prompt or padding left
    there has no effect. Arguments as in `attention`.

    Returns:
      [b, t, n, h] in the dtype of `q_btnh`.
    """
    b, t, n, h = q_btnh.shape
    z, s = cache.key.shape[:2]
    k = z // b
    visible_bts = _visible(
        positions_bt, jnp.arange(s)[None], None, None, causal=True, window=window
    )
    q_zgth = q_btnh.reshape(b, t, k, n // k, h).transpose(0, 2, 3, 1, 4).reshape(z, n // k, t, h)
    out_zgth = _attend(
        q_zgth,
        cache.key.astype(q_btnh.dtype),
        cache.value.astype(q_btnh.dtype),
        jnp.repeat(visible_bts, k, axis=0)[:, None],
        pattern=("zgth,zsh->zgts", "zgts,zsh->zgth"),
        softcap=softcap,
        scale=scale,
    )
    return out_zgth.reshape(b, k, n // k, t, h).transpose(0, 3, 1, 2, 4).reshape(b, t, n, h)


def attention_block(
    p,
    x_btd,
    *,
    positions_bt,
    segment_ids_bt=None,
    cache=None,
    rotary_theta=None,
    dropout_rate=0.0,
    dropout_key=None,
    implementation="auto",
):
    """Projects to queries, keys and values, attends causally, and projects back.

    Without a cache causality goes by the index within the row, which equals position order in
    any row whose segments have ascending positions.

    Args:
      p: {"query": [d, n, h], "key": [d, k, h], "value": [d, k, h], "out": [n, h, d]} and optional
        biases "query_bias" [n, h], "key_bias" [k, h], "value_bias" [k, h], "out_bias" [d].
      x_btd: inputs.
      positions_bt: int positions, for the rotation and for the cache's slots.
      segment_ids_bt: int or None; not together with a cache.
      cache: `KVCache` or None.
      rotary_theta: base of the rotary frequencies; None for no rotation.
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
    if rotary_theta is not None:
        q_btnh = rotary(q_btnh, positions_bt, theta=rotary_theta)
        k_btkh = rotary(k_btkh, positions_bt, theta=rotary_theta)
    if cache is None:
        out_btnh = attention(
            q_btnh,
            k_btkh,
            v_btkh,
            causal=True,
            segment_ids=segment_ids_bt,
            dropout_rate=dropout_rate,
            dropout_key=dropout_key,
            implementation=implementation,
        )
    else:
        if segment_ids_bt is not None:
            raise ValueError("attention_block: a cache holds one segment per row; drop segment_ids")
        cache = write_cache(cache, k_btkh, v_btkh, positions_bt)
        out_btnh = cached_attention(q_btnh, cache, positions_bt)
    return dense(out_btnh, p["out"], p.get("out_bias"), contract=2), cache


def _visible(q_positions, kv_positions, q_segments, kv_segments, causal, window):
    """bool [b or 1, t, s], or None when every key is visible."""
    visible = None
    if causal:
        distance_bts = q_positions[:, :, None] - kv_positions[:, None, :]
        visible = distance_bts >= 0
        if window is not None:
            visible &= distance_bts < window
    if q_segments is not None:
        same_bts = q_segments[:, :, None] == kv_segments[:, None, :]
        visible = same_bts if visible is None else visible & same_bts
    return visible


def _attend(q, k, v, visible, *, pattern, softcap, scale, dropout_rate=0.0, dropout_key=None):
    """Masked softmax attention for one block of queries; einsum patterns name the layout."""
    wide = jnp.promote_types(q.dtype, jnp.float32)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    logits = jnp.einsum(pattern[0], q, k, preferred_element_type=wide) * scale
    if softcap is not None:
        logits = softcap * jnp.tanh(logits / softcap)
    if visible is not None:
        logits = jnp.where(visible, logits, -jnp.inf)
    # A row without any visible key has maximum -inf: subtract 0 there, and divide by 1.
    peak = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    weights = jnp.exp(logits - jnp.where(jnp.isfinite(peak), peak, 0.0))
    total = jnp.sum(weights, axis=-1, keepdims=True)
    weights = weights / jnp.where(total == 0.0, 1.0, total)
    weights = dropout(weights, dropout_rate, dropout_key)
    out = jnp.einsum(pattern[1], weights.astype(v.dtype), v, preferred_element_type=wide)
    return out.astype(q.dtype)


@functools.cache
def _log_choice(implementation, t, s):
    logging.getLogger("jaxlm").info("attention over %d x %d: %s", t, s, implementation)
