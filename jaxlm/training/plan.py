"""What a configuration takes in memory, computed from shapes alone."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from jaxlm.layers.declare import Parameter
from jaxlm.models.decoder import decoder_parameters
from jaxlm.sharding.rules import RULES
from jaxlm.training.config import RunConfig


def memory_plan(config: RunConfig) -> dict[str, int]:
    """Bytes per device of what lives through a step; activations come on top.

    Returns:
      "parameters", "AdamW moments", "gradient" and their "sum".
    """
    entries = _divided(decoder_parameters(config.model), config)
    width = jnp.dtype(config.model.param_dtype).itemsize
    parameters = entries * width
    plan = {"parameters": parameters, "AdamW moments": 2 * parameters, "gradient": parameters}
    return {**plan, "sum": sum(plan.values())}


def _divided(tree: Any, config: RunConfig) -> int:
    """Array entries per device under the sharding rules."""
    sizes = {"data": config.mesh.data, "fsdp": config.mesh.fsdp, "tensor": config.mesh.tensor}
    leaves = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, Parameter))
    return sum(
        math.prod(p.shape) // math.prod(sizes[m] for axis in p.axes for m in RULES[axis])
        for p in leaves
    )
