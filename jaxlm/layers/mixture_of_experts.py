"""The mixture of experts in the place of a feed-forward network."""

from __future__ import annotations

from typing import Any

import flax.linen as nn

from jaxlm import functional
from jaxlm.layers.declare import Parameter, declare, fan_in, normal


def expert_parameters(
    width: int, hidden: int, experts: int, *, activation: str, out_scale: float = 1.0
) -> dict[str, Parameter]:
    """Kernels "router" [d, e], "up" [e, d, f], "down" [e, f, d], "gate" for gated forms."""
    parameters = {"router": Parameter((width, experts), ("embed", "experts"), fan_in(1))}
    for name in ("gate", "up") if functional.is_gated(activation) else ("up",):
        parameters[name] = Parameter(
            (experts, width, hidden), ("experts", "embed", "hidden"), normal(width**-0.5)
        )
    parameters["down"] = Parameter(
        (experts, hidden, width), ("experts", "hidden", "embed"), normal(out_scale * hidden**-0.5)
    )
    return parameters


class MixtureOfExperts(nn.Module):
    """`functional.mixture_of_experts` with its parameters.

    Attributes:
      experts, choices: e, and how many of them a token goes to.
      hidden: f of each expert.
      activation: as in `functional.feed_forward`.
      normalize: whether the weights of a token's experts sum to 1.
      capacity: None drops no token, else the capacity factor.
      out_scale: of the output kernels' initial standard deviation.
      param_dtype: of the parameters.
    """

    experts: int
    choices: int
    hidden: int
    activation: str = "swiglu"
    normalize: bool = True
    capacity: float | None = None
    out_scale: float = 1.0
    param_dtype: Any = "float32"

    @nn.compact
    def __call__(self, x_btd):
        """[b, t, d] -> ([b, t, d], router logits [b, t, e])."""
        parameters = expert_parameters(
            x_btd.shape[-1],
            self.hidden,
            self.experts,
            activation=self.activation,
            out_scale=self.out_scale,
        )
        return functional.mixture_of_experts(
            declare(self, parameters, self.param_dtype),
            x_btd,
            choices=self.choices,
            activation=self.activation,
            normalize=self.normalize,
            capacity=self.capacity,
        )
