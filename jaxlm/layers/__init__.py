"""Flax modules that declare parameters and call `jaxlm.functional`."""

from jaxlm.layers.attention import Attention
from jaxlm.layers.block import Block, BlockOutput
from jaxlm.layers.declare import Parameter, count, declare, initialize, logical_axes, stack
from jaxlm.layers.embedding import Embedding
from jaxlm.layers.feed_forward import FeedForward
from jaxlm.layers.mixture_of_experts import MixtureOfExperts
from jaxlm.layers.normalization import Norm

__all__ = [
    "Attention",
    "Block",
    "BlockOutput",
    "Embedding",
    "FeedForward",
    "MixtureOfExperts",
    "Norm",
    "Parameter",
    "count",
    "declare",
    "initialize",
    "logical_axes",
    "stack",
]
