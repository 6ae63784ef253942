"""Named architectures: functions that return a `DecoderConfig`."""

from __future__ import annotations

import dataclasses
from typing import Any

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


def llama3_2_1b() -> DecoderConfig:
    """Llama 3.2 1B (Meta 2024)."""
    return _llama3_2(layers=16, width=2048, heads=32, head_dim=64, hidden=8192)


def llama3_2_3b() -> DecoderConfig:
    """Llama 3.2 3B (Meta 2024)."""
    return _llama3_2(layers=28, width=3072, heads=24, head_dim=128, hidden=8192)


def _llama3_2(**shape: Any) -> DecoderConfig:
    return DecoderConfig(
        vocab_size=128_256,
        context_length=131_072,
        kv_heads=8,
        rotary_theta=500_000.0,
        rotary_scaling="llama3",
        rotary_factor=32.0,
        rotary_original_length=8192,
        **shape,
    )


def mistral_7b() -> DecoderConfig:
    """Mistral 7B v0.1 (Jiang et al. 2023)."""
    return DecoderConfig(
        vocab_size=32_000,
        context_length=32_768,
        layers=32,
        width=4096,
        heads=32,
        kv_heads=8,
        head_dim=128,
        hidden=14_336,
        window=4096,
        tied_embeddings=False,
    )


def mixtral_8x7b() -> DecoderConfig:
    """Mixtral 8x7B (Jiang et al. 2024): 46.7 billion parameters, 12.9 billion used per token."""
    return dataclasses.replace(mistral_7b(), window=None, rotary_theta=1e6, experts=8)


def qwen3_0_6b() -> DecoderConfig:
    """Qwen3 0.6B (Yang et al. 2025)."""
    return DecoderConfig(
        vocab_size=151_936,
        context_length=40_960,
        layers=28,
        width=1024,
        heads=16,
        kv_heads=8,
        head_dim=128,
        hidden=3072,
        norm_epsilon=1e-6,
        rotary_theta=1e6,
        query_key_norm=True,
    )


def gemma2_2b() -> DecoderConfig:
    """Gemma 2 2B (Gemma Team 2024)."""
    return DecoderConfig(
        **_GEMMA,
        vocab_size=256_000,
        context_length=8192,
        layers=26,
        width=2304,
        heads=8,
        kv_heads=4,
        hidden=9216,
        window=4096,
        window_pattern="LG",
        attention_softcap=50.0,
        logit_softcap=30.0,
    )


def gemma3_270m() -> DecoderConfig:
    """Gemma 3 270M (Gemma Team 2025)."""
    return DecoderConfig(**_GEMMA3, layers=18, width=640, heads=4, kv_heads=1, hidden=2048)


def gemma3_1b() -> DecoderConfig:
    """Gemma 3 1B (Gemma Team 2025)."""
    return DecoderConfig(**_GEMMA3, layers=26, width=1152, heads=4, kv_heads=1, hidden=6912)


_GEMMA: dict[str, Any] = {
    "head_dim": 256,
    "norm_unit_offset": True,
    "norm_position": "sandwich",
    "norm_epsilon": 1e-6,
    "attention_scale": 256**-0.5,
    "feed_forward": "geglu_tanh",
    "scaled_embeddings": True,
}
_GEMMA3 = _GEMMA | {
    "vocab_size": 262_144,
    "context_length": 32_768,
    "rotary_theta": 1e6,
    "rotary_local_theta": 1e4,
    "window": 512,
    "window_pattern": "LLLLLG",
    "query_key_norm": True,
}


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


def smollm2_360m() -> DecoderConfig:
    """SmolLM2 360M (Allal et al. 2025)."""
    return dataclasses.replace(
        smollm2_135m(), layers=32, width=960, heads=15, kv_heads=5, hidden=2560
    )


def smollm2_1_7b() -> DecoderConfig:
    """SmolLM2 1.7B (Allal et al. 2025)."""
    return dataclasses.replace(
        smollm2_135m(),
        layers=24,
        width=2048,
        heads=32,
        kv_heads=32,
        hidden=8192,
        rotary_theta=130_000.0,
    )
