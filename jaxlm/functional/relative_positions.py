"""Attention with relative positions over a memory of earlier segments (Transformer-XL)."""

import jax
import jax.numpy as jnp

from jaxlm.functional.linear import dense
from jaxlm.functional.normalization import dropout
from jaxlm.functional.positions import sinusoidal

# The segment id of a memory slot that holds nothing.
EMPTY = -(2**31)


def relative_attention(
    q_btnh,
    k_bsnh,
    v_bsnh,
    r_snh,
    content_bias_nh,
    position_bias_nh,
    *,
    window=None,
    segment_ids=None,
    kv_segment_ids=None,
    scale=None,
    dropout_rate=0.0,
    dropout_key=None,
):
    """Causal attention with relative positions (Dai et al. 2019, section 3.3).

    The logit of query i and key j, with u, v the two biases and r of the distance i - j, is
    (q_i + u) k_j + (q_i + v) r_{i-j}, times `scale`. The second term is computed for all
    distances at once and then shifted (appendix B). Sums are in at least float32.

    Args:
      q_btnh: queries of the last t of the s tokens.
      k_bsnh, v_bsnh: keys and values; the first s - t are the memory.
      r_snh: the projected relative positions of distances s - 1, ..., 1, 0.
      content_bias_nh, position_bias_nh: u and v.
      window: with w, only keys at distances below w; None for all.
      segment_ids: int [b, t]; a key is visible only within the same segment.
      kv_segment_ids: int [b, s]; needed with `segment_ids`.
      scale: of the logits; 1 / sqrt(h) by default.
      dropout_rate, dropout_key: dropout on the attention weights; no key, no dropout.

    Returns:
      [b, t, n, h] in the dtype of `q_btnh`.

    Raises:
      ValueError: for shapes that do not fit together.
    """
    b, t, n, h = q_btnh.shape
    s = k_bsnh.shape[1]
    if k_bsnh.shape != (b, s, n, h) or v_bsnh.shape != k_bsnh.shape or s < t:
        raise ValueError(
            f"relative_attention: shapes q {q_btnh.shape}, k {k_bsnh.shape}, v {v_bsnh.shape} do "
            "not fit: they must be [b,t,n,h], [b,s,n,h], [b,s,n,h] with s at least t"
        )
    if r_snh.shape != (s, n, h):
        raise ValueError(f"relative_attention: r {r_snh.shape} must be {(s, n, h)}")
    if (segment_ids is None) != (kv_segment_ids is None):
        raise ValueError("relative_attention: segment_ids and kv_segment_ids go together")
    wide = jnp.promote_types(q_btnh.dtype, jnp.float32)
    scale = h**-0.5 if scale is None else scale

    def product(bias_nh, pattern, keys):
        biased = q_btnh + bias_nh.astype(q_btnh.dtype)
        return jnp.einsum(pattern, biased, keys, preferred_element_type=wide)

    logits_bnts = product(content_bias_nh, "btnh,bsnh->bnts", k_bsnh)
    logits_bnts += relative_shift(product(position_bias_nh, "btnh,snh->bnts", r_snh))

    distance_ts = jnp.arange(s - t, s)[:, None] - jnp.arange(s)
    visible = distance_ts >= 0
    if window is not None:
        visible &= distance_ts < window
    visible = visible[None, None]
    if segment_ids is not None:
        visible &= (segment_ids[:, :, None] == kv_segment_ids[:, None, :])[:, None]
    # Every query sees itself: no row is without a visible key.
    logits_bnts = jnp.where(visible, logits_bnts * scale, -jnp.inf)
    weights_bnts = dropout(jax.nn.softmax(logits_bnts, axis=-1), dropout_rate, dropout_key)
    out_btnh = jnp.einsum(
        "bnts,bsnh->btnh", weights_bnts.astype(v_bsnh.dtype), v_bsnh, preferred_element_type=wide
    )
    return out_btnh.astype(q_btnh.dtype)


def relative_shift(x_bnts):
    """From one column per distance to one per key (Dai et al. 2019, appendix B).

    Args:
      x_bnts: column c belongs to distance s - 1 - c, in every row.

    Returns:
      [b, n, t, s]: row i, column j is the entry of distance s - t + i - j; entries of negative
      distances, which causality hides, are arbitrary.
    """
    b, n, t, s = x_bnts.shape
    padded = jnp.pad(x_bnts, ((0, 0), (0, 0), (0, 0), (1, 0)))
    return padded.reshape(b, n, s + 1, t)[:, :, 1:].reshape(b, n, t, s)


def relative_attention_block(
    p,
    x_btd,
    *,
    memory_bmd,
    segment_ids_bt,
    memory_ids_bm,
    window=None,
    dropout_rate=0.0,
    dropout_key=None,
):
    """Projects a segment and its memory, attends with relative positions, and projects back.

    Args:
      p: {"query", "key", "value", "relative": [d, n, h], "out": [n, h, d], "content_bias",
        "position_bias": [n, h]}.
      x_btd: inputs of the segment.
      memory_bmd: inputs of the m tokens before it; no gradient flows into them.
      segment_ids_bt, memory_ids_bm: int; a query sees only keys of its own id.
      window, dropout_rate, dropout_key: as in `relative_attention`.

    Returns:
      [b, t, d].
    """
    keys_bsd = jnp.concatenate([jax.lax.stop_gradient(memory_bmd).astype(x_btd.dtype), x_btd], 1)
    s, d = keys_bsd.shape[1:]
    # A batch of one and back: the projection of positions is that of any other sequence.
    distances_1s = jnp.arange(s - 1, -1, -1)[None]
    r_snh = dense(sinusoidal(distances_1s, d, dtype=x_btd.dtype), p["relative"])[0]
    out_btnh = relative_attention(
        dense(x_btd, p["query"]),
        dense(keys_bsd, p["key"]),
        dense(keys_bsd, p["value"]),
        r_snh,
        p["content_bias"],
        p["position_bias"],
        window=window,
        segment_ids=segment_ids_bt,
        kv_segment_ids=jnp.concatenate([memory_ids_bm, segment_ids_bt], axis=1),
        dropout_rate=dropout_rate,
        dropout_key=dropout_key,
    )
    return dense(out_btnh, p["out"], contract=2)


def split_segments(x_bt, memory_bm, length):
    """Cuts rows into segments, each with what stands before it as its memory.

    Since the memory of a layer is the layer's own input, all segments of a row can be computed
    side by side instead of one after the other.

    Args:
      x_bt: [b, t, ...]; padded at the right to whole segments.
      memory_bm: [b, m, ...], what stands before the rows.
      length: of a segment; a shorter row is one segment of its own length.

    Returns:
      (segments [b * z, min(t, length), ...], memories [b * z, m, ...]) of the z segments.
    """
    b, t = x_bt.shape[:2]
    m, rest = memory_bm.shape[1], x_bt.shape[2:]
    length = min(t, length)
    z = -(-t // length)
    x_bt = jnp.pad(x_bt, ((0, 0), (0, z * length - t), *[(0, 0)] * len(rest)))
    all_bs = jnp.concatenate([memory_bm.astype(x_bt.dtype), x_bt], axis=1)
    places_zm = length * jnp.arange(z)[:, None] + jnp.arange(m)
    memories = all_bs[:, places_zm].reshape(b * z, m, *rest)
    return x_bt.reshape(b * z, length, *rest), memories
