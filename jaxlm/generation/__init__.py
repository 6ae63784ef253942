"""Generation with a cache, the whole loop inside jit."""

from jaxlm.generation.decode import Decoding, SamplingOptions, decode, make_generator
from jaxlm.generation.text import generate_text, stream_text

__all__ = [
    "Decoding",
    "SamplingOptions",
    "decode",
    "generate_text",
    "make_generator",
    "stream_text",
]
