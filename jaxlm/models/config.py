"""The configuration of the decoder family, from GPT-2 to Llama, by plain fields."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Literal

from jaxlm.functional import RotaryScaling


def padded_vocabulary(vocab_size: int) -> int:
    """Rows of an embedding in memory: the next multiple of 128."""
    return 128 * math.ceil(vocab_size / 128)


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
    """Hidden units of the feed-forward network, of each expert where there are experts."""
    norm: Literal["layer", "rms"] = "rms"
    norm_unit_offset: bool = False
    """RMSNorm multiplies by 1 + scale."""
    norm_position: Literal["pre", "post", "sandwich"] = "pre"
    """sandwich: before and after each sublayer, inside the residual connection."""
    norm_epsilon: float = 1e-5
    parallel: bool = False
    """Attention and feed-forward read one norm and are added together (GPT-J, PaLM)."""
    positions: Literal["learned", "sinusoidal", "rotary", "alibi", "none"] = "rotary"
    rotary_theta: float = 10_000.0
    rotary_local_theta: float | None = None
    """Of layers with a window, which then are not scaled; None: as the others."""
    rotary_scaling: Literal["none", "linear", "llama3", "yarn"] = "none"
    """How the frequencies are stretched to a longer context; see `functional.RotaryScaling`."""
    rotary_factor: float = 1.0
    rotary_original_length: int | None = None
    """Context before the stretching; None: `context_length` / `rotary_factor`."""
    rotary_low_rotations: float = 1.0
    rotary_high_rotations: float = 4.0
    """llama3: 4; yarn: 32."""
    rotary_magnitude: float = 1.0
    """yarn: 0.1 ln(factor) + 1."""
    window: int | None = None
    """Local layers see this many tokens, themselves included; None: all layers see everything."""
    window_pattern: str = "L"
    """L for a local and G for a global layer, repeated over the layers: LG, LLLLLG."""
    query_key_norm: bool = False
    """An RMSNorm of every query and key, per head."""
    attention_scale: float | None = None
    """Of the attention logits; None: 1 / sqrt(head_dim)."""
    attention_softcap: float | None = None
    """Attention logits become cap * tanh(logits / cap)."""
    logit_softcap: float | None = None
    """The same for the output logits."""
    feed_forward: Literal["relu", "relu2", "gelu", "gelu_tanh", "swiglu", "geglu", "geglu_tanh"] = (
        "swiglu"
    )
    experts: int = 0
    """Feed-forward networks per layer, among which a router chooses; 0: one network, no router."""
    expert_choices: int = 2
    """Experts per token."""
    normalize_expert_weights: bool = True
    """The weights of a token's experts sum to 1."""
    qkv_bias: bool = False
    """Biases of the query, key and value maps."""
    bias: bool = False
    """Biases of all other maps and of LayerNorm."""
    out_bias: bool | None = None
    """Bias of the attention's output map; None: as `bias`."""
    scaled_embeddings: bool = False
    """Token embeddings are multiplied by sqrt(width)."""
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
        return padded_vocabulary(self.vocab_size)

    @property
    def residual_scale(self) -> float:
        """Initial scale of maps into the residual stream: 1 / sqrt(2 layers), as in GPT-2."""
        return (2 * self.layers) ** -0.5

    def is_local(self, layer: int) -> bool:
        """Whether a layer attends within the window only."""
        pattern = self.window_pattern
        return self.window is not None and pattern[layer % len(pattern)] == "L"

    @property
    def group(self) -> int:
        """Layers in the repeating group: layer i + group is like layer i."""
        local = [self.is_local(layer) for layer in range(self.layers)]
        return next(g for g in range(1, self.layers + 1) if local[g:] == local[:-g])

    def rotary(self, local: bool) -> tuple[float | None, RotaryScaling | None]:
        """Base and scaling of the rotary frequencies of a local or a global layer."""
        if self.positions != "rotary":
            return None, None
        if local and self.rotary_local_theta is not None:
            return self.rotary_local_theta, None
        if self.rotary_scaling == "none":
            return self.rotary_theta, None
        return self.rotary_theta, RotaryScaling(
            kind=self.rotary_scaling,
            factor=self.rotary_factor,
            original_length=self.rotary_original_length
            or round(self.context_length / self.rotary_factor),
            low_rotations=self.rotary_low_rotations,
            high_rotations=self.rotary_high_rotations,
            magnitude=self.rotary_magnitude,
        )

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
        for name, hint in typing.get_type_hints(DecoderConfig).items():
            if typing.get_origin(hint) is Literal and getattr(self, name) not in hint.__args__:
                known = ", ".join(hint.__args__)
                found.append(
                    f"--model.{name.replace('_', '-')} {getattr(self, name)}: "
                    f"must be one of {known}"
                )
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
        for name in (
            "norm_epsilon", "rotary_theta", "rotary_local_theta", "rotary_original_length",
            "rotary_magnitude", "window", "attention_scale", "attention_softcap", "logit_softcap",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not value > 0:
                found.append(f"--model.{name.replace('_', '-')} {value}: must be positive")
        return found + self._rotary_problems() + self._combination_problems()

    def _rotary_problems(self) -> list[str]:
        found = []
        if self.rotary_scaling != "none":
            flag = f"--model.rotary-scaling {self.rotary_scaling}"
            if self.positions != "rotary":
                found.append(f"{flag}: needs --model.positions rotary")
            if not self.rotary_factor >= 1.0:
                found.append(f"--model.rotary-factor {self.rotary_factor}: must be at least 1")
            low, high = self.rotary_low_rotations, self.rotary_high_rotations
            if self.rotary_scaling != "linear" and not 0.0 < low < high:
                found.append(
                    f"{flag}: needs 0 < --model.rotary-low-rotations {low} "
                    f"< --model.rotary-high-rotations {high}"
                )
        if self.rotary_local_theta is not None and self.window is None:
            found.append(
                f"--model.rotary-local-theta {self.rotary_local_theta}: is that of layers with a "
                "window; give --model.window"
            )
        return found

    def _combination_problems(self) -> list[str]:
        found = []
        pattern = self.window_pattern
        if not pattern or set(pattern) - {"L", "G"}:
            found.append(
                f"--model.window-pattern {pattern!r}: must be letters L (local) and G (global), "
                "such as LLLG"
            )
        if self.window is not None and self.positions == "none":
            found.append(
                f"--model.window {self.window}: needs positions, not --model.positions none"
            )
        if self.norm_unit_offset and self.norm != "rms":
            found.append("--model.norm-unit-offset: needs --model.norm rms")
        if self.parallel and self.norm_position != "pre":
            found.append("--model.parallel: needs --model.norm-position pre")
        if self.experts < 0:
            found.append(f"--model.experts {self.experts}: must not be negative")
        if self.experts > 0 and not 1 <= self.expert_choices <= self.experts:
            found.append(
                f"--model.expert-choices {self.expert_choices}: must be from 1 to "
                f"--model.experts {self.experts}"
            )
        if self.experts > 0 and self.bias:
            found.append(
                "--model.bias: experts have no biases; those of attention are --model.qkv-bias "
                "and --model.out-bias"
            )
        return found
