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
from jaxlm.models.ngram import (
    NGram,
    kneser_ney,
    load_ngram,
    save_ngram,
)
from jaxlm.models.recurrent import Recurrent, RecurrentConfig, recurrent_parameters
from jaxlm.models.transformer_xl import (
    TransformerXL,
    TransformerXLConfig,
    transformer_xl_parameters,
)

__all__ = [
    "Decoder",
    "DecoderConfig",
    "DecoderOutput",
    "NGram",
    "Recurrent",
    "RecurrentConfig",
    "TransformerXL",
    "TransformerXLConfig",
    "decoder_parameters",
    "init_cache",
    "kneser_ney",
    "load_ngram",
    "parameter_count",
    "recurrent_parameters",
    "save_ngram",
    "transformer_xl_parameters",
    "unembedding",
    "unstack",
]
