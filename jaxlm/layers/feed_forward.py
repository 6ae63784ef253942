"""The position-wise feed-forward network."""

from __future__ import annotations

from typing import Any

import flax.linen as nn

from jaxlm import functional
from jaxlm.layers.declare import Parameter, declare, fan_in, zeros


def feed_forward_parameters(
    width: int, hidden: int, *, activation: str, bias: bool, out_scale: float = 1.0
) -> dict[str, Parameter]:
    """Kernels "up" [d, f], "down" [f, d], "gate" [d, f] for gated forms, and biases."""
    names = ("gate", "up") if functional.is_gated(activation) else ("up",)
    parameters = {
        name: Parameter((width, hidden), ("embed", "hidden"), fan_in(1)) for name in names
    }
    parameters["down"] = Parameter((hidden, width), ("hidden", "embed"), fan_in(1, scale=out_scale))
    if bias:
        for name in names:
            parameters[f"{name}_bias"] = Parameter((hidden,), ("hidden",), zeros, decay=False)
        parameters["down_bias"] = Parameter((width,), ("norm",), zeros, decay=False)
    return parameters


class FeedForward(nn.Module):
    """`functional.feed_forward` with its parameters.

    Attributes:
      hidden: f.
      activation: as in `functional.feed_forward`.
      bias: whether the maps have biases.
      out_scale: of the output kernel's initial standard deviation.
      param_dtype: of the parameters.
    """

    hidden: int
    activation: str = "swiglu"
    bias: bool = False
    out_scale: float = 1.0
    param_dtype: Any = "float32"

    @nn.compact
    def __call__(self, x_btd):
        """[b, t, d] -> [b, t, d]."""
        parameters = feed_forward_parameters(
            x_btd.shape[-1],
            self.hidden,
            activation=self.activation,
            bias=self.bias,
            out_scale=self.out_scale,
        )
        p = declare(self, parameters, self.param_dtype)
        return functional.feed_forward(p, x_btd, activation=self.activation)
