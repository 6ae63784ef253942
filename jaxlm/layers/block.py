"""One transformer block: attention and feed-forward, each with a residual connection."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax

from jaxlm import functional
from jaxlm.layers.attention import Attention, attention_parameters
from jaxlm.layers.feed_forward import FeedForward, feed_forward_parameters
from jaxlm.layers.normalization import Norm, norm_parameters
from jaxlm.sharding import constrain


def block_parameters(config: Any) -> dict[str, Any]:
    """The tree of `Parameter` of one block of a `DecoderConfig`."""
    norm = norm_parameters(config.width, kind=config.norm, bias=config.bias)
    return {
        "attention_norm": norm,
        "attention": attention_parameters(
            config.width,
            config.heads,
            config.kv_heads,
            config.head_dim,
            qkv_bias=config.qkv_bias,
            bias=config.bias,
            out_scale=config.residual_scale,
        ),
        "feed_forward_norm": norm,
        "feed_forward": feed_forward_parameters(
            config.width,
            config.hidden,
            activation=config.feed_forward,
            bias=config.bias,
            out_scale=config.residual_scale,
        ),
    }


class Block(nn.Module):
    """Pre-norm: x + f(norm(x)). Post-norm: norm(x + f(x)) (Vaswani et al. 2017)."""

    config: Any

    @nn.compact
    def __call__(self, x_btd, *, positions_bt, segment_ids_bt=None, cache=None, dropout_key=None):
        """([b, t, d], ...) -> ([b, t, d], the updated cache or None)."""
        c = self.config
        pre = c.norm_position == "pre"
        keys = [None] * 3 if dropout_key is None else jax.random.split(dropout_key, 3)

        def norm(name):
            return Norm(c.norm, c.bias, c.norm_epsilon, c.param_dtype, name=name)

        attention_norm, feed_forward_norm = norm("attention_norm"), norm("feed_forward_norm")
        attend = Attention(
            heads=c.heads,
            kv_heads=c.kv_heads,
            head_dim=c.head_dim,
            qkv_bias=c.qkv_bias,
            bias=c.bias,
            rotary_theta=c.rotary_theta if c.positions == "rotary" else None,
            dropout=c.dropout,
            out_scale=c.residual_scale,
            param_dtype=c.param_dtype,
            name="attention",
        )
        feed = FeedForward(
            hidden=c.hidden,
            activation=c.feed_forward,
            bias=c.bias,
            out_scale=c.residual_scale,
            param_dtype=c.param_dtype,
            name="feed_forward",
        )

        y_btd, cache = attend(
            attention_norm(x_btd) if pre else x_btd,
            positions_bt=positions_bt,
            segment_ids_bt=segment_ids_bt,
            cache=cache,
            dropout_key=keys[0],
        )
        x_btd = x_btd + functional.dropout(y_btd, c.dropout, keys[1])
        x_btd = x_btd if pre else attention_norm(x_btd)
        y_btd = feed(feed_forward_norm(x_btd) if pre else x_btd)
        x_btd = x_btd + functional.dropout(y_btd, c.dropout, keys[2])
        x_btd = x_btd if pre else feed_forward_norm(x_btd)
        return constrain(x_btd, ("batch", "length", "features")), cache
