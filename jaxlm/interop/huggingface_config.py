"""config.json of the Hugging Face layout, as a `DecoderConfig`."""

from __future__ import annotations

import math
from typing import Any

from jaxlm.errors import InputError
from jaxlm.models import DecoderConfig

# Of the Llama line, what a missing key means, where it differs from one to the other.
LLAMA_LIKE: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": 4096},
    "mixtral": {"rope_theta": 1e6, "rms_norm_eps": 1e-5},
    "qwen2": {},
    "qwen3": {"head_dim": 128},
    "qwen3_moe": {"head_dim": 128},
    "gemma": {"head_dim": 256},
    "gemma2": {"head_dim": 256, "sliding_window": 4096},
    "gemma3_text": {"head_dim": 256, "rope_theta": 1e6, "sliding_window": 4096},
}
KNOWN = ("gpt2", *LLAMA_LIKE)
GATED = {"silu": "swiglu", "swish": "swiglu", "gelu": "geglu"}
TANH = ("gelu_new", "gelu_pytorch_tanh")
PLAIN = {"relu": "relu", "relu2": "relu2", "gelu": "gelu"} | dict.fromkeys(TANH, "gelu_tanh")
GATED |= dict.fromkeys(TANH, "geglu_tanh")


class _Keys:
    """A config.json with the problems found in it so far."""

    def __init__(self, raw: dict[str, Any], defaults: dict[str, Any]):
        self.raw, self.defaults = raw, defaults
        self.problems: list[str] = []

    def get(self, key: str, default: Any = None) -> Any:
        """The value; null and a missing key are the default."""
        value = self.raw.get(key)
        return self.defaults.get(key, default) if value is None else value

    def number(self, key: str, default: Any = None) -> Any:
        """The value, which must be a positive finite number; required without a default."""
        value = self.get(key, default)
        if type(value) not in (int, float) or not 0 < value < math.inf:
            self.problems.append(f"{key}: must be a positive number, is {value!r}")
            return 1
        return value

    def count(self, key: str, default: Any = None) -> int:
        """The same for a whole number."""
        value = self.number(key, default)
        if type(value) is not int:
            self.problems.append(f"{key}: must be a whole number, is {value!r}")
            return 1
        return value

    def one_of(self, key: str, default: Any, known: dict[str, Any]) -> Any:
        """What a word stands for."""
        value = self.get(key, default)
        if value not in known:
            self.problems.append(f"{key} {value!r}: is not supported; known are {', '.join(known)}")
            return next(iter(known.values()))
        return known[value]

    def refuse(self, key: str, harmless: Any) -> None:
        """Notes a key with any value but the harmless one as not supported."""
        if self.get(key, harmless) != harmless:
            self.problems.append(f"{key} {self.raw[key]!r}: is not supported")


def decoder_config(raw: Any, where: str) -> DecoderConfig:
    """The configuration of a decoder.

    Args:
      raw: the parsed config.json.
      where: its path, for messages.

    Raises:
      InputError: for an architecture or a setting that `DecoderConfig` does not have, all listed.
    """
    model_type = raw.get("model_type") if isinstance(raw, dict) else None
    if model_type not in KNOWN:
        raise InputError(
            f"{where}: model_type {model_type!r} is not supported; known are {', '.join(KNOWN)}"
        )
    keys = _Keys(raw, LLAMA_LIKE.get(model_type, {}))
    keys.refuse("quantization_config", None)
    keys.refuse("add_cross_attention", False)
    fields = _gpt2(keys) if model_type == "gpt2" else _llama_like(keys, model_type)
    config = DecoderConfig(**fields)
    if problems := keys.problems or config.problems():
        raise InputError([f"{where}: {problem}" for problem in problems])
    return config


def _gpt2(keys: _Keys) -> dict[str, Any]:
    keys.refuse("scale_attn_by_inverse_layer_idx", False)
    width, heads = keys.count("n_embd"), keys.count("n_head")
    return {
        "vocab_size": keys.count("vocab_size"),
        "context_length": keys.count("n_positions", keys.get("n_ctx")),
        "layers": keys.count("n_layer"),
        "width": width,
        "heads": heads,
        "kv_heads": heads,
        "head_dim": _head_dim(keys, "n_embd", width, "n_head", heads),
        "hidden": keys.count("n_inner", 4 * width),
        "norm": "layer",
        "norm_epsilon": keys.number("layer_norm_epsilon", 1e-5),
        "positions": "learned",
        "attention_scale": None if keys.get("scale_attn_weights", True) else 1.0,
        "feed_forward": keys.one_of("activation_function", "gelu_new", PLAIN),
        "qkv_bias": True,
        "bias": True,
        "tied_embeddings": keys.get("tie_word_embeddings", True),
    }


def _llama_like(keys: _Keys, model_type: str) -> dict[str, Any]:
    gemma = model_type.startswith("gemma")
    keys.refuse("pretraining_tp", 1)
    keys.refuse("use_bidirectional_attention", False)
    width, heads = keys.count("hidden_size"), keys.count("num_attention_heads")
    fields = {
        "vocab_size": keys.count("vocab_size"),
        "context_length": keys.count("max_position_embeddings"),
        "layers": keys.count("num_hidden_layers"),
        "width": width,
        "heads": heads,
        "kv_heads": keys.count("num_key_value_heads", heads),
        "head_dim": keys.count("head_dim")
        if keys.get("head_dim") is not None
        else _head_dim(keys, "hidden_size", width, "num_attention_heads", heads),
        "hidden": 1 if model_type == "qwen3_moe" else keys.count("intermediate_size"),
        "norm_epsilon": keys.number("rms_norm_eps", 1e-6),
        "qkv_bias": keys.get("attention_bias", False) or model_type == "qwen2",
        "out_bias": keys.get("attention_bias", False) and model_type != "qwen2",
        "bias": keys.get("mlp_bias", False),
        "tied_embeddings": keys.get("tie_word_embeddings", gemma),
    }
    if gemma:
        name = "hidden_activation" if keys.get("hidden_activation") else "hidden_act"
        activation = keys.one_of(name, "gelu_pytorch_tanh", GATED)
        if model_type == "gemma":  # its first configurations said "gelu" and meant the other
            activation = "geglu_tanh"
        fields |= {"feed_forward": activation, "norm_unit_offset": True, "scaled_embeddings": True}
    else:
        fields["feed_forward"] = keys.one_of("hidden_act", "silu", GATED)
    if model_type in ("gemma2", "gemma3_text"):
        fields |= {
            "norm_position": "sandwich",
            "attention_scale": keys.number("query_pre_attn_scalar", 256) ** -0.5,
        }
        for ours, theirs in (
            ("attention_softcap", "attn_logit_softcapping"),
            ("logit_softcap", "final_logit_softcapping"),
        ):
            if keys.get(theirs) is not None:
                fields[ours] = float(keys.number(theirs))
    fields["query_key_norm"] = model_type in ("qwen3", "qwen3_moe", "gemma3_text")
    if model_type == "mixtral":
        fields["experts"] = keys.count("num_local_experts", 8)
        fields["expert_choices"] = keys.count("num_experts_per_tok", 2)
    if model_type == "qwen3_moe":
        keys.refuse("decoder_sparse_step", 1)
        keys.refuse("mlp_only_layers", [])
        fields["hidden"] = keys.count("moe_intermediate_size")
        fields["experts"] = keys.count("num_experts", keys.get("num_local_experts", 128))
        fields["expert_choices"] = keys.count("num_experts_per_tok", 8)
        fields["normalize_expert_weights"] = keys.get("norm_topk_prob", False)
    fields |= _windows(keys, model_type, fields["layers"])
    return fields | _rotary(keys, fields)


def _head_dim(keys: _Keys, width_key: str, width: int, heads_key: str, heads: int) -> int:
    if width % heads:
        keys.problems.append(f"{heads_key} {heads}: must divide {width_key} {width}")
    return max(width // heads, 1)


def _windows(keys: _Keys, model_type: str, layers: int) -> dict[str, Any]:
    kinds = keys.get("layer_types")
    if kinds is not None:
        letters = {"sliding_attention": "L", "full_attention": "G"}
        if not isinstance(kinds, list) or len(kinds) != layers or set(kinds) - set(letters):
            known = " or ".join(letters)
            keys.problems.append(f"layer_types: must be {layers} times {known}, is {kinds!r}")
            return {}
        pattern = "".join(letters[kind] for kind in kinds)
    elif model_type.startswith("qwen"):
        first = keys.get("max_window_layers", 28)
        pattern = "".join("L" if layer >= first else "G" for layer in range(layers))
        if not keys.get("use_sliding_window", False):
            pattern = "G"
    elif model_type == "gemma2":
        pattern = "LG"
    elif model_type == "gemma3_text":
        pattern = "L" * (keys.count("sliding_window_pattern", 6) - 1) + "G"
    elif model_type in ("mistral", "mixtral"):
        pattern = "L"
    else:
        pattern = "G"
    # null says that there is no window; a key that is not there says nothing.
    given = "sliding_window" in keys.raw and keys.raw["sliding_window"] is None
    if "L" not in pattern or given or keys.get("sliding_window") is None:
        return {}
    periods = (n for n in range(1, len(pattern) + 1) if pattern[n:] == pattern[:-n])
    return {"window": keys.count("sliding_window"), "window_pattern": pattern[: next(periods)]}


def _rotary(keys: _Keys, fields: dict[str, Any]) -> dict[str, Any]:
    """Both forms: rope_theta and rope_scaling, and rope_parameters that replaced them."""
    given = keys.get("rope_parameters")
    found: dict[str, Any] = {}
    if given is None:
        given = {"rope_theta": keys.get("rope_theta", 1e4)} | (keys.get("rope_scaling") or {})
        if keys.raw["model_type"] == "gemma3_text":
            found["rotary_local_theta"] = keys.number("rope_local_base_freq", 1e4)
    elif "full_attention" in given:
        local = _Keys(given.get("sliding_attention") or {}, {})
        found["rotary_local_theta"] = float(local.number("rope_theta", 1e4))
        if local.get("rope_type", "default") != "default":
            local.problems.append(f"rope_type {local.get('rope_type')!r} of sliding_attention")
        keys.problems += [f"rope_parameters: {problem}" for problem in local.problems]
        given = given["full_attention"]
    rope = _Keys(given, keys.defaults)
    found["rotary_theta"] = float(rope.number("rope_theta", 1e4))
    rope.refuse("partial_rotary_factor", 1.0)
    keys.refuse("partial_rotary_factor", 1.0)
    kind = rope.one_of(
        "rope_type",
        rope.get("type", "default"),
        {"default": "none", "linear": "linear", "llama3": "llama3", "yarn": "yarn"},
    )
    if kind != "none":
        original = rope.get("original_max_position_embeddings", fields["context_length"])
        factor = rope.number("factor", fields["context_length"] / original)
        found |= {
            "rotary_scaling": kind,
            "rotary_factor": float(factor),
            "rotary_original_length": original,
        }
    if kind == "llama3":
        found["rotary_low_rotations"] = float(rope.number("low_freq_factor"))
        found["rotary_high_rotations"] = float(rope.number("high_freq_factor"))
    if kind == "yarn":
        rope.refuse("truncate", True)
        found["rotary_low_rotations"] = float(rope.number("beta_slow", 1.0))
        found["rotary_high_rotations"] = float(rope.number("beta_fast", 32.0))
        magnitude = _yarn_magnitude(factor, 1.0)
        if rope.get("mscale") and rope.get("mscale_all_dim"):
            magnitude = _yarn_magnitude(factor, rope.get("mscale"))
            magnitude /= _yarn_magnitude(factor, rope.get("mscale_all_dim"))
        found["rotary_magnitude"] = float(rope.number("attention_factor", magnitude))
    if "window" not in fields:
        found.pop("rotary_local_theta", None)
    keys.problems += [f"rotary positions: {problem}" for problem in rope.problems]
    return found


def _yarn_magnitude(factor: float, scale: float) -> float:
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0
