"""Where every tensor goes, and what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from files import CONFIG, llama, write

from jaxlm.errors import InputError
from jaxlm.interop import read_huggingface
from jaxlm.interop.huggingface_config import KNOWN, decoder_config
from jaxlm.interop.huggingface_names import decoder_tensors
from jaxlm.layers import count
from jaxlm.models import DecoderConfig, decoder_parameters
from jaxlm.sharding import MeshConfig, make_mesh


def problems(folder):
    with pytest.raises(InputError) as error:
        read_huggingface(folder)
    return error.value.problems


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float16", jnp.bfloat16])
def test_every_tensor_in_its_place(tmp_path, shards, dtype):
    stored = llama(dtype)
    config, params = read_huggingface(write(tmp_path, stored, shards=shards))
    assert (config.head_dim, config.kv_heads, config.tied_embeddings) == (4, 1, False)
    w = {name: np.asarray(a, np.float32) for name, a in stored.items()}
    attention, feed = params["blocks"]["attention"], params["blocks"]["feed_forward"]
    for i in range(2):
        at = f"model.layers.{i}."
        q, o = w[at + "self_attn.q_proj.weight"], w[at + "self_attn.o_proj.weight"]
        for head in range(2):
            rows = slice(4 * head, 4 * head + 4)
            np.testing.assert_array_equal(attention["query"][i, :, head], q[rows].T)
            np.testing.assert_array_equal(attention["out"][i, head], o[:, rows].T)
        np.testing.assert_array_equal(
            attention["value"][i, :, 0], w[at + "self_attn.v_proj.weight"].T
        )
        np.testing.assert_array_equal(feed["down"][i], w[at + "mlp.down_proj.weight"].T)
    token = params["embedding"]["token"]
    assert token.dtype == jnp.float32
    np.testing.assert_array_equal(token[:10], w["model.embed_tokens.weight"])
    assert (token[10:] == 0).all()  # padding of the vocabulary
    np.testing.assert_array_equal(params["unembedding"][:10], w["lm_head.weight"])
    total = sum(a.size for a in stored.values())
    assert count(decoder_parameters(config)) == total


def test_dtypes_and_devices(tmp_path):
    folder = write(tmp_path, llama(jnp.bfloat16))
    config, params = read_huggingface(folder, param_dtype="bfloat16")
    assert config.param_dtype == "bfloat16"
    assert {a.dtype.name for a in jax.tree.leaves(params)} == {"bfloat16"}
    mesh = make_mesh(MeshConfig(fsdp=4))
    _, divided = read_huggingface(folder, mesh=mesh)
    up = divided["blocks"]["feed_forward"]["up"]
    assert up.sharding.shard_shape(up.shape) == (2, 2, 12)
    with pytest.raises(InputError) as error:  # one key head
        read_huggingface(folder, mesh=make_mesh(MeshConfig(tensor=2)))
    assert len(error.value.problems) == 2
    assert "blocks/attention/key [2, 8, 1, 4]" in error.value.problems[0]
    jax.tree.map(np.testing.assert_array_equal, divided, read_huggingface(folder)[1])


def test_all_tensors_that_do_not_fit_are_listed(tmp_path):
    stored = llama()
    stored["model.layers.0.self_attn.qq_proj.weight"] = stored.pop(
        "model.layers.0.self_attn.q_proj.weight"
    )
    stored["model.norm.weight"] = np.zeros(9, np.float32)
    stored["model.layers.1.mlp.up_proj.weight"] = np.zeros((12, 8), np.int8)
    stored["vision.patches"] = np.zeros(3, np.float32)
    found = [p.removeprefix(f"{tmp_path}: ") for p in problems(write(tmp_path, stored))]
    assert found == [
        "model.layers.0.self_attn.q_proj.weight [8, 8]: missing; the nearest is "
        "model.layers.0.self_attn.qq_proj.weight",
        "model.layers.0.self_attn.qq_proj.weight [8, 8]: not part of this model; the nearest is "
        "model.layers.0.self_attn.q_proj.weight",
        "vision.patches [3]: not part of this model",
        "model.layers.1.mlp.up_proj.weight: int8 is quantised; only floats are read",
        "model.norm.weight: has shape [9], config.json asks for [8]",
    ]


def test_names_without_the_prefix_and_old_buffers(tmp_path):
    stored = {name.removeprefix("model."): a for name, a in llama().items()}
    stored["layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(2, np.float32)
    _, params = read_huggingface(write(tmp_path, stored))
    np.testing.assert_array_equal(params["final_norm"]["scale"], stored["norm.weight"])


def test_a_stored_copy_of_the_tied_table(tmp_path):
    stored = llama()
    tied = {"tie_word_embeddings": True}
    assert "lm_head.weight differs" in problems(write(tmp_path, stored, tied))[0]
    stored["lm_head.weight"] = stored["model.embed_tokens.weight"].copy()
    config, params = read_huggingface(write(tmp_path, stored, tied))
    assert config.tied_embeddings
    assert "unembedding" not in params


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba' is not supported; known are gpt2, llama"),
        ({"model_type": None}, "model_type None is not supported"),
        ({"hidden_size": None}, "hidden_size: must be a positive number, is None"),
        ({"vocab_size": 10.5}, "vocab_size: must be a whole number, is 10.5"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: must be a positive number, is 0"),
        ({"num_attention_heads": 3}, "num_attention_heads 3: must divide hidden_size 8"),
        ({"hidden_act": "mish"}, "hidden_act 'mish': is not supported; known are silu"),
        ({"quantization_config": {"bits": 4}}, "quantization_config {'bits': 4}: is not supported"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type 'dynamic'"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "low_freq_factor: must be"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5: is not supported"),
        ({"model_type": "gemma2", "layer_types": ["full_attention"]}, "layer_types: must be 2"),
        ({"num_key_value_heads": 4, "num_attention_heads": 2}, "--model.kv-heads 4: must divide"),
    ],
)
def test_configurations_that_are_refused(tmp_path, change, message):
    found = problems(write(tmp_path, config=change))
    assert any(message in problem for problem in found), found
    assert all(problem.startswith(f"{tmp_path / 'config.json'}: ") for problem in found)


def test_a_directory_without_a_configuration(tmp_path):
    assert "cannot be read" in problems(tmp_path)[0]
    (tmp_path / "config.json").write_text("{")
    assert "is no JSON" in problems(tmp_path)[0]
    (tmp_path / "config.json").write_text("[]")
    assert "model_type None is not supported" in problems(tmp_path)[0]


GEMMA3 = {
    "model_type": "gemma3_text", "head_dim": 4, "query_pre_attn_scalar": 9, "sliding_window": 4,
    "num_hidden_layers": 7, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({}, {"rotary_theta": 1e4, "bias": False, "norm_epsilon": 1e-6}),
        ({"rope_theta": 5e5}, {"rotary_theta": 5e5, "rotary_scaling": "none"}),
        ({"attention_bias": True}, {"qkv_bias": True, "out_bias": True, "bias": False}),
        ({"mlp_bias": True}, {"qkv_bias": False, "out_bias": False, "bias": True}),
        (
            {"rope_scaling": {"type": "linear", "factor": 2}},
            {"rotary_scaling": "linear", "rotary_factor": 2.0, "rotary_original_length": 16},
        ),
        (
            {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6,
                                 "original_max_position_embeddings": 4}},
            {"rotary_scaling": "yarn", "rotary_theta": 1e6, "rotary_high_rotations": 32.0,
             "rotary_original_length": 4, "rotary_magnitude": 1.138629436111989},
        ),
        ({"model_type": "mistral"}, {"window": 4096, "window_pattern": "L"}),
        ({"model_type": "mistral", "sliding_window": None}, {"window": None}),
        ({"model_type": "qwen2", "sliding_window": 4}, {"window": None, "qkv_bias": True,
                                                       "out_bias": False}),
        (
            {"model_type": "qwen2", "sliding_window": 4, "use_sliding_window": True,
             "max_window_layers": 1, "num_hidden_layers": 3},
            {"window": 4, "window_pattern": "GLL"},
        ),
        (
            {"model_type": "gemma2", "head_dim": 4},
            {"window": 4096, "window_pattern": "LG", "attention_scale": 1 / 16,
             "norm_position": "sandwich", "feed_forward": "geglu_tanh", "logit_softcap": None},
        ),
        (
            GEMMA3,
            {"window": 4, "window_pattern": "LLLLLG", "rotary_theta": 1e6,
             "rotary_local_theta": 1e4, "query_key_norm": True, "attention_scale": 1 / 3},
        ),
        (
            GEMMA3 | {"num_hidden_layers": 2, "layer_types": ["full_attention"] * 2},
            {"window": None, "rotary_local_theta": None},
        ),
        ({"model_type": "mixtral"}, {"experts": 8, "expert_choices": 2, "rotary_theta": 1e6}),
    ],
)  # fmt: skip
def test_configurations(change, fields):
    config = decoder_config(CONFIG | change, "config.json")
    assert {name: getattr(config, name) for name in fields} == pytest.approx(fields)


@pytest.mark.parametrize("model_type", KNOWN)
def test_the_tensors_cover_the_tree_once(model_type):
    raw = CONFIG | {
        "head_dim": 4,
        "moe_intermediate_size": 6,
        "num_experts": 3,
        "num_experts_per_tok": 2,
    }
    if model_type == "gpt2":
        raw = {"vocab_size": 10, "n_positions": 16, "n_embd": 8, "n_head": 2, "n_layer": 2}
    config = decoder_config(raw | {"model_type": model_type}, "config.json")
    parameters = decoder_parameters(config)
    leaves = jax.tree_util.tree_leaves_with_path(
        parameters, is_leaf=lambda node: hasattr(node, "axes")
    )
    seen = {tuple(k.key for k in path): np.zeros(p.shape, int) for path, p in leaves}
    for tensor in decoder_tensors(config, model_type).values():
        for piece in tensor.pieces:
            view = piece.view(seen[piece.path])
            view += 1
    for path, array in seen.items():
        rows = config.vocab_size if path[-1] in ("token", "unembedding") else None
        assert (array[:rows] == 1).all(), path
        assert rows is None or (array[rows:] == 0).all()


def test_the_configuration_is_json_of_this_machine_only(tmp_path):
    """Nothing of the directory is executed or imported."""
    write(tmp_path, config={"auto_map": {"AutoModel": "evil.Model"}})
    (tmp_path / "evil.py").write_text("raise SystemExit('executed')")
    assert isinstance(read_huggingface(tmp_path)[0], DecoderConfig)
    assert json.loads((tmp_path / "config.json").read_text())["auto_map"]
