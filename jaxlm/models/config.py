"""The configuration of the decoder family, from GPT-2 to Llama, by plain fields."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """A decoder-only transformer. Shape and arithmetic only: nothing about training or devices."""

    vocab_size: int = 4096
    """Exact number of tokens; arrays are padded to a multiple of 128 in memory."""
    context_length: int = 256
    """Longest sequence, in tokens."""
    layers: int = 4
    width: int = 256
    """Size of the residual stream (d_model)."""
    heads: int = 4
    """Query heads."""
    kv_heads: int = 4
    """Key and value heads; fewer than query heads is grouped-query attention."""
    head_dim: int = 64
    hidden: int = 704
    """Hidden units of the feed-forward network."""
    norm: Literal["layer", "rms"] = "rms"
    norm_position: Literal["pre", "post"] = "pre"
    norm_epsilon: float = 1e-5
    positions: Literal["learned", "sinusoidal", "rotary", "none"] = "rotary"
    rotary_theta: float = 10_000.0
    feed_forward: Literal["relu", "gelu", "gelu_tanh", "swiglu", "geglu"] = "swiglu"
    qkv_bias: bool = False
    """Biases of the query, key and value maps."""
    bias: bool = False
    """Biases of all other maps and of LayerNorm."""
    tied_embeddings: bool = True
    """The output layer is the token embedding transposed."""
    dropout: float = 0.0
    """Of embeddings, attention weights and residual branches, in training only."""
    param_dtype: Literal["float32", "float64", "bfloat16"] = "float32"
    compute_dtype: Literal["auto", "float32", "float64", "bfloat16"] = "auto"
    """auto: float32 on a CPU, bfloat16 elsewhere. Reductions are in at least float32."""

    @property
    def padded_vocab_size(self) -> int:
        """Rows of the embedding in memory: the next multiple of 128."""
        return 128 * math.ceil(self.vocab_size / 128)

    @property
    def residual_scale(self) -> float:
        """Initial scale of maps into the residual stream: 1 / sqrt(2 layers), as in GPT-2."""
        return (2 * self.layers) ** -0.5

    def problems(self) -> list[str]:
        """Everything that is wrong with the fields, each as a message with the way out."""
        found = [
            f"--model.{name.replace('_', '-')} {getattr(self, name)}: must be at least 1"
            for name in (
                "vocab_size", "context_length", "layers", "width", "heads", "kv_heads",
                "head_dim", "hidden",
            )
            if getattr(self, name) < 1
        ]  # fmt: skip
        if found:
            return found
        if self.heads % self.kv_heads:
            found.append(
                f"--model.kv-heads {self.kv_heads}: must divide --model.heads {self.heads}"
            )
        if self.positions == "rotary" and self.head_dim % 2:
            found.append(f"--model.head-dim {self.head_dim}: rotary positions need an even number")
        if self.positions == "sinusoidal" and self.width % 2:
            found.append(f"--model.width {self.width}: sinusoidal positions need an even number")
        if not 0.0 <= self.dropout < 1.0:
            found.append(f"--model.dropout {self.dropout}: must be in [0, 1)")
        if not self.norm_epsilon > 0.0:
            found.append(f"--model.norm-epsilon {self.norm_epsilon}: must be positive")
        if not self.rotary_theta > 0.0:
            found.append(f"--model.rotary-theta {self.rotary_theta}: must be positive")
        return found
