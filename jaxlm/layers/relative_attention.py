"""Self-attention with relative positions and a memory of what stands before the row."""

from __future__ import annotations

from typing import Any

import flax.linen as nn

from jaxlm.functional.relative_positions import relative_attention_block, split_segments
from jaxlm.layers.attention import attention_parameters
from jaxlm.layers.declare import Parameter, declare, fan_in, zeros


def relative_attention_parameters(
    width: int, heads: int, head_dim: int, *, out_scale: float
) -> dict[str, Parameter]:
    """Those of attention without biases, "relative" [d, n, h], and the biases u and v [n, h]."""
    axes = ("heads", "head_dim")
    bias = Parameter((heads, head_dim), axes, zeros, decay=False)
    return {
        **attention_parameters(
            width, heads, heads, head_dim, qkv_bias=False, bias=False, out_scale=out_scale
        ),
        "relative": Parameter((width, heads, head_dim), ("embed", *axes), fan_in(1)),
        "content_bias": bias,
        "position_bias": bias,
    }


class RelativeAttention(nn.Module):
    """`relative_attention_block` over the segments of a row, with its parameters.

    Attributes:
      heads, head_dim: n, h.
      segment_length: gradients stay within segments of so many tokens.
      window: tokens that a query sees, itself included; None for the memory and its segment.
      dropout: rate on the attention weights.
      out_scale: of the output kernel's initial standard deviation.
      param_dtype: of the parameters.
    """

    heads: int
    head_dim: int
    segment_length: int
    window: int | None = None
    dropout: float = 0.0
    out_scale: float = 1.0
    param_dtype: Any = "float32"

    @nn.compact
    def __call__(self, x_btd, *, memory_bmd, segment_ids_bt, memory_ids_bm, dropout_key=None):
        """[b, t, d], [b, m, d], int [b, t], int [b, m] -> [b, t, d]."""
        b, t, d = x_btd.shape
        parameters = relative_attention_parameters(
            d, self.heads, self.head_dim, out_scale=self.out_scale
        )
        x_ztd, memory_zmd = split_segments(x_btd, memory_bmd, self.segment_length)
        ids_zt, memory_ids_zm = split_segments(segment_ids_bt, memory_ids_bm, self.segment_length)
        y_ztd = relative_attention_block(
            declare(self, parameters, self.param_dtype),
            x_ztd,
            memory_bmd=memory_zmd,
            segment_ids_bt=ids_zt,
            memory_ids_bm=memory_ids_zm,
            window=self.window,
            dropout_rate=self.dropout,
            dropout_key=dropout_key,
        )
        return y_ztd.reshape(b, -1, d)[:, :t]
