"""A checkpoint in the Hugging Face layout, written by hand."""

import json

import numpy as np

CONFIG = {
    "model_type": "llama", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12,
    "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "max_position_embeddings": 16, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
}  # fmt: skip
KINDS = {"float32": "F32", "float16": "F16", "float64": "F64", "bfloat16": "BF16", "int8": "I8"}


def safetensors(tensors):
    """The bytes of a file."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        raw = array.tobytes()
        header[name] = {
            "dtype": KINDS[array.dtype.name], "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }  # fmt: skip
        data += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def llama(dtype="float32", seed=0):
    """Random tensors for `CONFIG`, each different."""
    random = np.random.default_rng(seed)
    shapes = {"model.embed_tokens.weight": (10, 8), "lm_head.weight": (10, 8),
              "model.norm.weight": (8,)}  # fmt: skip
    for i in range(2):
        at = f"model.layers.{i}."
        shapes |= {
            at + "self_attn.q_proj.weight": (8, 8), at + "self_attn.k_proj.weight": (4, 8),
            at + "self_attn.v_proj.weight": (4, 8), at + "self_attn.o_proj.weight": (8, 8),
            at + "mlp.gate_proj.weight": (12, 8), at + "mlp.up_proj.weight": (12, 8),
            at + "mlp.down_proj.weight": (8, 12), at + "input_layernorm.weight": (8,),
            at + "post_attention_layernorm.weight": (8,),
        }  # fmt: skip
    return {name: random.normal(size=shape).astype(dtype) for name, shape in shapes.items()}


def write(folder, tensors=None, config=None, shards=1):
    """A directory with `CONFIG` (changed by `config`) and the tensors."""
    tensors = llama() if tensors is None else tensors
    (folder / "config.json").write_text(json.dumps(CONFIG | (config or {})))
    if shards == 1:
        (folder / "model.safetensors").write_bytes(safetensors(tensors))
        return folder
    places = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in list(tensors)[shard::shards]}
        (folder / file).write_bytes(safetensors(part))
        places |= dict.fromkeys(part, file)
    write_index(folder, places)
    return folder


def write_index(folder, places):
    text = json.dumps({"metadata": {}, "weight_map": places})
    (folder / "model.safetensors.index.json").write_text(text)
