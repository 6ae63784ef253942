"""One transformer block: attention and feed-forward, each with a residual connection."""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax

from jaxlm import functional
from jaxlm.layers.attention import Attention, attention_parameters
from jaxlm.layers.feed_forward import FeedForward, feed_forward_parameters
from jaxlm.layers.mixture_of_experts import MixtureOfExperts, expert_parameters
from jaxlm.layers.normalization import Norm, norm_parameters
from jaxlm.sharding import constrain


class BlockOutput(NamedTuple):
    """What a block returns."""

    x_btd: jax.Array
    cache: functional.KVCache | None
    """Updated."""
    router_logits_bte: jax.Array | None
    """In at least float32, where there are experts."""


def block_parameters(config: Any) -> dict[str, Any]:
    """The tree of `Parameter` of one block of a `DecoderConfig`."""
    c = config
    norm = norm_parameters(c.width, kind=c.norm, bias=c.bias, unit_offset=c.norm_unit_offset)
    tree = {
        "attention_norm": norm,
        "attention": attention_parameters(
            c.width,
            c.heads,
            c.kv_heads,
            c.head_dim,
            qkv_bias=c.qkv_bias,
            bias=_out_bias(c),
            query_key_norm=c.query_key_norm,
            norm_unit_offset=c.norm_unit_offset,
            out_scale=c.residual_scale,
        ),
    }
    if not c.parallel:
        tree["feed_forward_norm"] = norm
    if c.norm_position == "sandwich":
        tree |= {"attention_out_norm": norm, "feed_forward_out_norm": norm}
    shape = {"activation": c.feed_forward, "out_scale": c.residual_scale}
    if c.experts:
        tree["experts"] = expert_parameters(c.width, c.hidden, c.experts, **shape)
    else:
        tree["feed_forward"] = feed_forward_parameters(c.width, c.hidden, bias=c.bias, **shape)
    return tree


class Block(nn.Module):
    """Attention and feed-forward, each with its norms and a residual connection.

    Pre-norm: x + f(norm(x)). Post-norm: norm(x + f(x)) (Vaswani et al. 2017). Sandwich:
    x + norm(f(norm(x))) (Ding et al. 2021). Parallel: x + attend(norm(x)) + feed(norm(x)), one
    norm (Wang and Komatsuzaki 2021).

    Attributes:
      config: a `DecoderConfig`.
      local: whether this layer attends within `config.window`, if there is one.
      expert_capacity: as in `functional.mixture_of_experts`.
    """

    config: Any
    local: bool = True
    expert_capacity: float | None = None

    @nn.compact
    def __call__(self, x_btd, *, positions_bt, segment_ids_bt=None, cache=None, dropout_key=None):
        """([b, t, d], ...) -> `BlockOutput`."""
        c = self.config
        keys = [None] * 3 if dropout_key is None else jax.random.split(dropout_key, 3)

        def norm(name, x_btd):
            module = Norm(
                c.norm, c.bias, c.norm_epsilon, c.param_dtype, c.norm_unit_offset, name=name
            )
            return module(x_btd)

        def attend(x_btd):
            y_btd, updated = self._attention()(
                x_btd,
                positions_bt=positions_bt,
                segment_ids_bt=segment_ids_bt,
                cache=cache,
                dropout_key=keys[0],
            )
            return functional.dropout(y_btd, c.dropout, keys[1]), updated

        def feed(x_btd):
            y_btd, router_logits_bte = self._feed(x_btd)
            return functional.dropout(y_btd, c.dropout, keys[2]), router_logits_bte

        if c.parallel:
            normed_btd = norm("attention_norm", x_btd)
            (y_btd, updated), (z_btd, router) = attend(normed_btd), feed(normed_btd)
            x_btd = x_btd + y_btd + z_btd
        elif c.norm_position == "post":
            y_btd, updated = attend(x_btd)
            x_btd = norm("attention_norm", x_btd + y_btd)
            y_btd, router = feed(x_btd)
            x_btd = norm("feed_forward_norm", x_btd + y_btd)
        else:
            sandwich = c.norm_position == "sandwich"
            y_btd, updated = attend(norm("attention_norm", x_btd))
            x_btd = x_btd + (norm("attention_out_norm", y_btd) if sandwich else y_btd)
            y_btd, router = feed(norm("feed_forward_norm", x_btd))
            x_btd = x_btd + (norm("feed_forward_out_norm", y_btd) if sandwich else y_btd)
        return BlockOutput(constrain(x_btd, ("batch", "length", "features")), updated, router)

    def _attention(self):
        c = self.config
        local = self.local and c.window is not None
        rotary_theta, rotary_scaling = c.rotary(local)
        return Attention(
            heads=c.heads,
            kv_heads=c.kv_heads,
            head_dim=c.head_dim,
            qkv_bias=c.qkv_bias,
            bias=_out_bias(c),
            rotary_theta=rotary_theta,
            rotary_scaling=rotary_scaling,
            alibi=c.positions == "alibi",
            window=c.window if local else None,
            softcap=c.attention_softcap,
            scale=c.attention_scale,
            query_key_norm=c.query_key_norm,
            norm_epsilon=c.norm_epsilon,
            norm_unit_offset=c.norm_unit_offset,
            dropout=c.dropout,
            out_scale=c.residual_scale,
            param_dtype=c.param_dtype,
            name="attention",
        )

    def _feed(self, x_btd):
        """The network, or the experts with their router logits."""
        c = self.config
        common = {
            "hidden": c.hidden,
            "activation": c.feed_forward,
            "out_scale": c.residual_scale,
            "param_dtype": c.param_dtype,
        }
        if not c.experts:
            return FeedForward(bias=c.bias, name="feed_forward", **common)(x_btd), None
        return MixtureOfExperts(
            experts=c.experts,
            choices=c.expert_choices,
            normalize=c.normalize_expert_weights,
            capacity=self.expert_capacity,
            name="experts",
            **common,
        )(x_btd)


def _out_bias(config: Any) -> bool:
    return config.bias if config.out_bias is None else config.out_bias
