"""Flax modules that declare parameters and call `jaxlm.functional`."""

from jaxlm.layers.attention import Attention
from jaxlm.layers.block import Block
from jaxlm.layers.declare import Parameter, count, declare, initialize, logical_axes, stack
from jaxlm.layers.embedding import Embedding
from jaxlm.layers.feed_forward import FeedForward
from jaxlm.layers.normalization import Norm

__all__ = [
    "Attention",
    "Block",
    "Embedding",
    "FeedForward",
    "Norm",
    "Parameter",
    "count",
    "declare",
    "initialize",
    "logical_axes",
    "stack",
]
