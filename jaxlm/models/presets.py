"""Named architectures: functions that return a `DecoderConfig`."""

from __future__ import annotations

from jaxlm.models.config import DecoderConfig


def tiny() -> DecoderConfig:
    """The quickstart on a CPU."""
    return DecoderConfig()


def small() -> DecoderConfig:
    """Prototyping."""
    return DecoderConfig(
        vocab_size=8192, context_length=512, layers=6, width=384, heads=6, kv_heads=6, hidden=1024
    )


def medium() -> DecoderConfig:
    """A custom model on one accelerator."""
    return DecoderConfig(
        vocab_size=32_768,
        context_length=1024,
        layers=12,
        width=768,
        heads=12,
        kv_heads=12,
        hidden=2048,
    )


def base() -> DecoderConfig:
    """The standard for several accelerators."""
    return DecoderConfig(
        vocab_size=50_304,
        context_length=2048,
        layers=24,
        width=2048,
        heads=16,
        kv_heads=8,
        head_dim=128,
        hidden=5504,
    )


def gpt2(
    *, layers: int = 12, width: int = 768, heads: int = 12, qkv_bias: bool = True, tied: bool = True
) -> DecoderConfig:
    """GPT-2 124M (Radford et al. 2019); the larger ones by their layers, width and heads."""
    return DecoderConfig(
        vocab_size=50_257,
        context_length=1024,
        layers=layers,
        width=width,
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        hidden=4 * width,
        norm="layer",
        positions="learned",
        feed_forward="gelu_tanh",
        qkv_bias=qkv_bias,
        bias=True,
        tied_embeddings=tied,
    )


def gpt2_medium() -> DecoderConfig:
    """GPT-2 355M."""
    return gpt2(layers=24, width=1024, heads=16)


def gpt2_large() -> DecoderConfig:
    """GPT-2 774M."""
    return gpt2(layers=36, width=1280, heads=20)


def gpt2_xl() -> DecoderConfig:
    """GPT-2 1.5B."""
    return gpt2(layers=48, width=1600, heads=25)


def llama2_7b() -> DecoderConfig:
    """Llama 2 7B (Touvron et al. 2023)."""
    return DecoderConfig(
        vocab_size=32_000,
        context_length=4096,
        layers=32,
        width=4096,
        heads=32,
        kv_heads=32,
        head_dim=128,
        hidden=11_008,
        tied_embeddings=False,
    )


def llama3_8b() -> DecoderConfig:
    """Llama 3 8B (Grattafiori et al. 2024)."""
    return DecoderConfig(
        vocab_size=128_256,
        context_length=8192,
        layers=32,
        width=4096,
        heads=32,
        kv_heads=8,
        head_dim=128,
        hidden=14_336,
        rotary_theta=500_000.0,
        tied_embeddings=False,
    )


def smollm2_135m() -> DecoderConfig:
    """SmolLM2 135M (Allal et al. 2025)."""
    return DecoderConfig(
        vocab_size=49_152,
        context_length=8192,
        layers=30,
        width=576,
        heads=9,
        kv_heads=3,
        hidden=1536,
        rotary_theta=100_000.0,
    )
