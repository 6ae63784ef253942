"""LayerNorm and RMSNorm."""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn

from jaxlm import functional
from jaxlm.layers.declare import Parameter, declare, ones, zeros


def norm_parameters(width: int, *, kind: str, bias: bool) -> dict[str, Parameter]:
    """Scale, and bias for a LayerNorm that has one."""
    parameters = {"scale": Parameter((width,), ("norm",), ones, decay=False)}
    if kind == "layer" and bias:
        parameters["bias"] = Parameter((width,), ("norm",), zeros, decay=False)
    return parameters


class Norm(nn.Module):
    """Normalises the last axis: `functional.layer_norm` or `functional.rms_norm`."""

    kind: Literal["layer", "rms"] = "rms"
    bias: bool = False
    epsilon: float = 1e-5
    param_dtype: Any = "float32"

    @nn.compact
    def __call__(self, x_btd):
        """[..., d] -> [..., d]."""
        parameters = norm_parameters(x_btd.shape[-1], kind=self.kind, bias=self.bias)
        p = declare(self, parameters, self.param_dtype)
        if self.kind == "layer":
            return functional.layer_norm(x_btd, p["scale"], p.get("bias"), epsilon=self.epsilon)
        return functional.rms_norm(x_btd, p["scale"], epsilon=self.epsilon)
