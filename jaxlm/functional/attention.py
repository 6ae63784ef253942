"""Scaled dot-product attention with one rule for what a query may see.

`attention` takes no mask array (`reference_attention` does). A key is visible to a query when all
that was asked for holds: same segment, position not in the future (`causal`), within `window`,
index below `kv_length`. Packing, padding, left padding and cached decoding are all expressed by
these.
"""

import functools
import logging

import jax
import jax.numpy as jnp

from jaxlm.functional.normalization import dropout


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
    alibi_slopes=None,
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
      alibi_slopes: [n], from `positions.alibi_slopes`; the logits lose slope * distance, the
        distance in positions (Press et al. 2022, section 3).
      softcap: logits become softcap * tanh(logits / softcap) (Gemma 2), before any bias.
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
        visible = visible_keys(
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
        bias = None
        if alibi_slopes is not None:
            distance_bts = jnp.abs(positions[:, first:last, None] - kv_positions[:, None, low:high])
            bias = alibi_bias(alibi_slopes.reshape(k, n // k), distance_bts[:, None, None])
        key = None if dropout_key is None else jax.random.fold_in(dropout_key, first)
        return attend(
            q_btnh[:, first:last].reshape(b, last - first, k, n // k, h),
            k_bskh[:, low:high],
            v_bskh[:, low:high],
            None if visible is None else visible[:, None, None],
            bias=bias,
            pattern=("btkgh,bskh->bkgts", "bkgts,bskh->btkgh"),
            softcap=softcap,
            scale=scale,
            dropout_rate=dropout_rate,
            dropout_key=key,
        )

    blocks = [block(first, min(first + chunk, t)) for first in range(0, t, chunk)]
    out = blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks, axis=1)
    return out.reshape(b, t, n, v_bskh.shape[-1])


def reference_attention(q_btnh, k_bskh, v_bskh, *, bias=None, softcap=None, scale=None):
    """softmax(scale * q k^T + bias) v: the definition, with any additive mask.

    What every form of `attention` must equal; slow and large, since all logits exist at once.

    Args:
      q_btnh, k_bskh, v_bskh: queries, keys, values; n a multiple of k, as in `attention`.
      bias: the matrix M, broadcastable to [b, n, t, s]; minus infinity hides a key. A query whose
        keys are all at minus infinity gives zeros.
      softcap, scale: as in `attention`; the bias comes after them.

    Returns:
      [b, t, n, h] in the dtype of `q_btnh`.
    """
    b, t, n, h = q_btnh.shape
    s, k = k_bskh.shape[1:3]
    if bias is not None:
        bias = jnp.broadcast_to(bias, (b, n, t, s)).reshape(b, k, n // k, t, s)
    out = attend(
        q_btnh.reshape(b, t, k, n // k, h),
        k_bskh,
        v_bskh,
        None,
        bias=bias,
        pattern=("btkgh,bskh->bkgts", "bkgts,bskh->btkgh"),
        softcap=softcap,
        scale=scale,
    )
    return out.reshape(b, t, n, v_bskh.shape[-1])


def alibi_bias(slopes, distance):
    """-slope * distance: slopes [...] against distances [..., t, s] that broadcast with them."""
    return -slopes[..., None, None] * distance.astype(slopes.dtype)


def visible_keys(q_positions, kv_positions, q_segments, kv_segments, causal, window):
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


def attend(
    q, k, v, visible, *, pattern, softcap, scale, bias=None, dropout_rate=0.0, dropout_key=None
):
    """Masked softmax attention for one block of queries; einsum patterns name the layout."""
    wide = jnp.promote_types(q.dtype, jnp.float32)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    logits = jnp.einsum(pattern[0], q, k, preferred_element_type=wide) * scale
    if softcap is not None:
        logits = softcap * jnp.tanh(logits / softcap)
    if bias is not None:
        logits = logits + bias.astype(wide)
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
