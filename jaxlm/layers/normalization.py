"""LayerNorm and RMSNorm."""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn

from jaxlm import functional
from jaxlm.layers.declare import Parameter, declare, ones, zeros


def norm_parameters(
    width: int, *, kind: str, bias: bool, unit_offset: bool = False
) -> dict[str, Parameter]:
    """Scale (from 0 where 1 is added to it), and bias for a LayerNorm that has one."""
    parameters = {
        "scale": Parameter((width,), ("norm",), zeros if unit_offset else ones, decay=False)
    }
    if kind == "layer" and bias:
        parameters["bias"] = Parameter((width,), ("norm",), zeros, decay=False)
    return parameters


class Norm(nn.Module):
    """Normalises the last axis: `functional.layer_norm` or `functional.rms_norm`.

    Attributes:
      kind: which of them.
      bias: of a LayerNorm.
      epsilon: under the root.
      param_dtype: of the parameters.
      unit_offset: an RMSNorm multiplies by 1 + scale.
    """

    kind: Literal["layer", "rms"] = "rms"
    bias: bool = False
    epsilon: float = 1e-5
    param_dtype: Any = "float32"
    unit_offset: bool = False

    @nn.compact
    def __call__(self, x_btd):
        """[..., d] -> [..., d]."""
        parameters = norm_parameters(
            x_btd.shape[-1], kind=self.kind, bias=self.bias, unit_offset=self.unit_offset
        )
        p = declare(self, parameters, self.param_dtype)
        if self.kind == "layer":
            return functional.layer_norm(x_btd, p["scale"], p.get("bias"), epsilon=self.epsilon)
        return functional.rms_norm(
            x_btd, p["scale"], epsilon=self.epsilon, unit_offset=self.unit_offset
        )
