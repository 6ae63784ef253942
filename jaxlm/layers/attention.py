"""Causal self-attention with grouped queries."""

from __future__ import annotations

from typing import Any

import flax.linen as nn

from jaxlm import functional
from jaxlm.layers.declare import Parameter, declare, fan_in, zeros
from jaxlm.layers.normalization import norm_parameters


def attention_parameters(
    width: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    *,
    qkv_bias: bool,
    bias: bool,
    query_key_norm: bool = False,
    norm_unit_offset: bool = False,
    out_scale: float = 1.0,
) -> dict[str, Any]:
    """Kernels [d, n, h], [d, k, h], [d, k, h], [n, h, d], and the biases and norms asked for."""
    parameters: dict[str, Any] = {}
    for name, count, axis in (
        ("query", heads, "heads"),
        ("key", kv_heads, "kv_heads"),
        ("value", kv_heads, "kv_heads"),
    ):
        parameters[name] = Parameter(
            (width, count, head_dim), ("embed", axis, "head_dim"), fan_in(1)
        )
        if qkv_bias:
            parameters[f"{name}_bias"] = Parameter(
                (count, head_dim), (axis, "head_dim"), zeros, decay=False
            )
    parameters["out"] = Parameter(
        (heads, head_dim, width), ("heads", "head_dim", "embed"), fan_in(2, scale=out_scale)
    )
    if query_key_norm:
        for name in ("query_norm", "key_norm"):
            parameters[name] = norm_parameters(
                head_dim, kind="rms", bias=False, unit_offset=norm_unit_offset
            )
    if bias:
        parameters["out_bias"] = Parameter((width,), ("norm",), zeros, decay=False)
    return parameters


class Attention(nn.Module):
    """`functional.attention_block` with its parameters.

    Attributes:
      heads, kv_heads, head_dim: n, k, h.
      qkv_bias, bias: biases of the three input maps, and of the output map.
      rotary_theta: base of the rotary frequencies, None for no rotation.
      rotary_scaling: of those frequencies.
      alibi: linear biases by distance instead.
      window, softcap, scale: as in `functional.attention`.
      query_key_norm: an RMSNorm of every query and key.
      norm_epsilon, norm_unit_offset: of that norm.
      dropout: rate on the attention weights.
      out_scale: of the output kernel's initial standard deviation.
      param_dtype: of the parameters.
    """

    heads: int
    kv_heads: int
    head_dim: int
    qkv_bias: bool = False
    bias: bool = False
    rotary_theta: float | None = 10_000.0
    rotary_scaling: functional.RotaryScaling | None = None
    alibi: bool = False
    window: int | None = None
    softcap: float | None = None
    scale: float | None = None
    query_key_norm: bool = False
    norm_epsilon: float = 1e-5
    norm_unit_offset: bool = False
    dropout: float = 0.0
    out_scale: float = 1.0
    param_dtype: Any = "float32"

    @nn.compact
    def __call__(self, x_btd, *, positions_bt, segment_ids_bt=None, cache=None, dropout_key=None):
        """([b, t, d], ...) -> ([b, t, d], the updated cache or None)."""
        parameters = attention_parameters(
            x_btd.shape[-1],
            self.heads,
            self.kv_heads,
            self.head_dim,
            qkv_bias=self.qkv_bias,
            bias=self.bias,
            query_key_norm=self.query_key_norm,
            norm_unit_offset=self.norm_unit_offset,
            out_scale=self.out_scale,
        )
        return functional.attention_block(
            declare(self, parameters, self.param_dtype),
            x_btd,
            positions_bt=positions_bt,
            segment_ids_bt=segment_ids_bt,
            cache=cache,
            rotary_theta=self.rotary_theta,
            rotary_scaling=self.rotary_scaling,
            alibi=self.alibi,
            window=self.window,
            softcap=self.softcap,
            scale=self.scale,
            norm_epsilon=self.norm_epsilon,
            norm_unit_offset=self.norm_unit_offset,
            dropout_rate=self.dropout,
            dropout_key=dropout_key,
        )
