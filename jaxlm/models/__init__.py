"""Models: configurations, modules and presets."""

from jaxlm.models.config import DecoderConfig
from jaxlm.models.decoder import (
    Decoder,
    DecoderOutput,
    decoder_parameters,
    init_cache,
    parameter_count,
    unembedding,
    unstack,
)

__all__ = [
    "Decoder",
    "DecoderConfig",
    "DecoderOutput",
    "decoder_parameters",
    "init_cache",
    "parameter_count",
    "unembedding",
    "unstack",
]
