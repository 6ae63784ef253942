"""Logits of tiny GPT-2 and Llama models equal those of an independent implementation."""

import json
import math

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from family import applied, make

from jaxlm.models import DecoderConfig


def read_safetensors(path):
    """name -> array: a length, a JSON header, raw bytes."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(
            data, {"F32": np.float32, "I64": np.int64}[entry["dtype"]],
            count=math.prod(entry["shape"]), offset=8 + size + entry["data_offsets"][0],
        ).reshape(entry["shape"])
        for name, entry in header.items()
    }  # fmt: skip


def pad_vocabulary(table, config):
    return np.pad(table, ((0, config.padded_vocab_size - config.vocab_size), (0, 0)))


def gpt2(w, hf):
    c = DecoderConfig(
        vocab_size=hf["vocab_size"], context_length=hf["n_positions"], layers=hf["n_layer"],
        width=hf["n_embd"], heads=hf["n_head"], kv_heads=hf["n_head"],
        head_dim=hf["n_embd"] // hf["n_head"], hidden=hf["n_inner"] or 4 * hf["n_embd"],
        norm="layer", norm_epsilon=hf["layer_norm_epsilon"], positions="learned",
        feed_forward={"gelu_new": "gelu_tanh"}[hf["activation_function"]], qkv_bias=True,
        bias=True, compute_dtype="float32",
    )  # fmt: skip
    w = {name.removeprefix("transformer."): value for name, value in w.items()}
    d, n, h = c.width, c.heads, c.head_dim

    def block(i):
        at = f"h.{i}."
        attention = {
            "out": w[at + "attn.c_proj.weight"].reshape(n, h, d),
            "out_bias": w[at + "attn.c_proj.bias"],
        }
        kernels = np.split(w[at + "attn.c_attn.weight"], 3, axis=1)
        biases = np.split(w[at + "attn.c_attn.bias"], 3)
        for name, kernel, bias in zip(("query", "key", "value"), kernels, biases, strict=True):
            attention[name] = kernel.reshape(d, n, h)
            attention[f"{name}_bias"] = bias.reshape(n, h)
        return {
            "attention": attention,
            "attention_norm": {"scale": w[at + "ln_1.weight"], "bias": w[at + "ln_1.bias"]},
            "feed_forward_norm": {"scale": w[at + "ln_2.weight"], "bias": w[at + "ln_2.bias"]},
            "feed_forward": {
                "up": w[at + "mlp.c_fc.weight"], "up_bias": w[at + "mlp.c_fc.bias"],
                "down": w[at + "mlp.c_proj.weight"], "down_bias": w[at + "mlp.c_proj.bias"],
            },
        }  # fmt: skip

    return c, {
        "embedding": {"token": pad_vocabulary(w["wte.weight"], c), "position": w["wpe.weight"]},
        "blocks": jax.tree.map(lambda *a: np.stack(a), *[block(i) for i in range(c.layers)]),
        "final_norm": {"scale": w["ln_f.weight"], "bias": w["ln_f.bias"]},
    }


def llama(w, hf):
    c = DecoderConfig(
        vocab_size=hf["vocab_size"], context_length=hf["max_position_embeddings"],
        layers=hf["num_hidden_layers"], width=hf["hidden_size"], heads=hf["num_attention_heads"],
        kv_heads=hf["num_key_value_heads"], head_dim=hf["head_dim"],
        hidden=hf["intermediate_size"], norm_epsilon=hf["rms_norm_eps"],
        rotary_theta=hf["rope_parameters"]["rope_theta"],
        feed_forward={"silu": "swiglu"}[hf["hidden_act"]],
        tied_embeddings=hf["tie_word_embeddings"], compute_dtype="float32",
    )  # fmt: skip

    def block(i):
        at = f"model.layers.{i}."
        attention = {
            name: w[f"{at}self_attn.{short}_proj.weight"].T.reshape(c.width, -1, c.head_dim)
            for name, short in (("query", "q"), ("key", "k"), ("value", "v"))
        }
        out = w[at + "self_attn.o_proj.weight"].T
        attention["out"] = out.reshape(c.heads, c.head_dim, c.width)
        return {
            "attention": attention,
            "attention_norm": {"scale": w[at + "input_layernorm.weight"]},
            "feed_forward_norm": {"scale": w[at + "post_attention_layernorm.weight"]},
            "feed_forward": {
                name: w[f"{at}mlp.{name}_proj.weight"].T for name in ("gate", "up", "down")
            },
        }

    return c, {
        "embedding": {"token": pad_vocabulary(w["model.embed_tokens.weight"], c)},
        "blocks": jax.tree.map(lambda *a: np.stack(a), *[block(i) for i in range(c.layers)]),
        "final_norm": {"scale": w["model.norm.weight"]},
        "unembedding": pad_vocabulary(w["lm_head.weight"], c),
    }


@pytest.mark.parametrize("convert", [gpt2, llama], ids=["gpt2", "llama"])
def test_logits(shared, convert):
    folder = shared / "data" / "hf_tiny" / convert.__name__
    hf = json.loads((folder / "config.json").read_text())
    config, params = convert(read_safetensors(folder / "model.safetensors"), hf)
    model, initial = make(config)
    chex.assert_trees_all_equal_shapes(params, initial)
    reference = np.load(folder / "reference.npz")
    tokens = jnp.asarray(reference["input_ids"], jnp.int32)
    logits = applied(model)(params, tokens).logits_btv[..., : config.vocab_size]
    # float32 in both; logits are of order 1
    np.testing.assert_allclose(logits, reference["logits"], atol=1e-4)
