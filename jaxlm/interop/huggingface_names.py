"""The tensors of decoders in the Hugging Face layout: names, and where they lie in ours."""

from __future__ import annotations

from jaxlm.functional import is_gated
from jaxlm.interop.layout import Path, Piece, Tensor
from jaxlm.models import DecoderConfig

# Buffers that older versions stored beside the parameters.
BUFFERS = (".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq")


def decoder_tensors(config: DecoderConfig, model_type: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name; together they cover the parameter tree."""
    c = config
    tensors = _gpt2(c) if model_type == "gpt2" else _llama_like(c, model_type)
    if not c.tied_embeddings:
        tensors["lm_head.weight"] = _table(c, ("unembedding",))
    return tensors


def _gpt2(c: DecoderConfig) -> dict[str, Tensor]:
    n = c.heads * c.head_dim
    tensors = {
        "transformer.wte.weight": _table(c, ("embedding", "token")),
        "transformer.wpe.weight": _plain(
            ("embedding", "position"), (), (c.context_length, c.width)
        ),
    }
    for i in range(c.layers):
        at = f"transformer.h.{i}."

        def whole(*path, shape, i=i):
            return _plain(("blocks", *path), (i,), shape)

        def three(suffix, shape, i=i):
            names = ("query", "key", "value")
            paths = [("blocks", "attention", name + suffix) for name in names]
            pieces = tuple(Piece(path, (i,), shape) for path in paths)
            return Tensor(pieces, axis=len(shape) - 1)

        tensors |= {
            at + "attn.c_attn.weight": three("", (c.width, n)),
            at + "attn.c_attn.bias": three("_bias", (n,)),
            at + "attn.c_proj.weight": whole("attention", "out", shape=(n, c.width)),
            at + "attn.c_proj.bias": whole("attention", "out_bias", shape=(c.width,)),
            at + "mlp.c_fc.weight": whole("feed_forward", "up", shape=(c.width, c.hidden)),
            at + "mlp.c_fc.bias": whole("feed_forward", "up_bias", shape=(c.hidden,)),
            at + "mlp.c_proj.weight": whole("feed_forward", "down", shape=(c.hidden, c.width)),
            at + "mlp.c_proj.bias": whole("feed_forward", "down_bias", shape=(c.width,)),
        }
        for theirs, ours in (("ln_1", "attention_norm"), ("ln_2", "feed_forward_norm")):
            tensors[f"{at}{theirs}.weight"] = whole(ours, "scale", shape=(c.width,))
            tensors[f"{at}{theirs}.bias"] = whole(ours, "bias", shape=(c.width,))
    tensors["transformer.ln_f.weight"] = _plain(("final_norm", "scale"), (), (c.width,))
    tensors["transformer.ln_f.bias"] = _plain(("final_norm", "bias"), (), (c.width,))
    return tensors


def _llama_like(c: DecoderConfig, model_type: str) -> dict[str, Tensor]:
    tensors = {"model.embed_tokens.weight": _table(c, ("embedding", "token"))}
    n, k = c.heads * c.head_dim, c.kv_heads * c.head_dim
    out_bias = c.bias if c.out_bias is None else c.out_bias
    norms = {"input_layernorm": "attention_norm", "post_attention_layernorm": "feed_forward_norm"}
    if c.norm_position == "sandwich":
        norms = {
            "input_layernorm": "attention_norm",
            "post_attention_layernorm": "attention_out_norm",
            "pre_feedforward_layernorm": "feed_forward_norm",
            "post_feedforward_layernorm": "feed_forward_out_norm",
        }
    path: Path
    for i in range(c.layers):
        at = f"model.layers.{i}."
        for short, name, inputs, outputs, bias in (
            ("q", "query", c.width, n, c.qkv_bias),
            ("k", "key", c.width, k, c.qkv_bias),
            ("v", "value", c.width, k, c.qkv_bias),
            ("o", "out", n, c.width, out_bias),
        ):
            path = ("blocks", "attention", name)
            tensors[f"{at}self_attn.{short}_proj.weight"] = _linear(path, (i,), inputs, outputs)
            if bias:
                path = ("blocks", "attention", f"{name}_bias")
                tensors[f"{at}self_attn.{short}_proj.bias"] = _plain(path, (i,), (outputs,))
        if c.query_key_norm:
            for short, name in (("q", "query_norm"), ("k", "key_norm")):
                path = ("blocks", "attention", name, "scale")
                tensors[f"{at}self_attn.{short}_norm.weight"] = _plain(path, (i,), (c.head_dim,))
        for theirs, ours in norms.items():
            path = ("blocks", ours, "scale")
            tensors[f"{at}{theirs}.weight"] = _plain(path, (i,), (c.width,))
        tensors |= _experts(c, model_type, i) if c.experts else _feed_forward(c, i)
    tensors["model.norm.weight"] = _plain(("final_norm", "scale"), (), (c.width,))
    return tensors


def _matrices(c: DecoderConfig) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of the feed-forward network's maps."""
    gate = {"gate": (c.width, c.hidden)} if is_gated(c.feed_forward) else {}
    return {**gate, "up": (c.width, c.hidden), "down": (c.hidden, c.width)}


def _feed_forward(c: DecoderConfig, layer: int) -> dict[str, Tensor]:
    tensors = {}
    for name, (inputs, outputs) in _matrices(c).items():
        at, path = f"model.layers.{layer}.mlp.{name}_proj.", ("blocks", "feed_forward", name)
        tensors[f"{at}weight"] = _linear(path, (layer,), inputs, outputs)
        if c.bias:
            path = ("blocks", "feed_forward", f"{name}_bias")
            tensors[f"{at}bias"] = _plain(path, (layer,), (outputs,))
    return tensors


def _experts(c: DecoderConfig, model_type: str, layer: int) -> dict[str, Tensor]:
    at, names = f"model.layers.{layer}.mlp.", {n: f"{n}_proj" for n in ("gate", "up", "down")}
    if model_type == "mixtral":
        at = f"model.layers.{layer}.block_sparse_moe."
        names = {"gate": "w1", "up": "w3", "down": "w2"}
    router = _linear(("blocks", "experts", "router"), (layer,), c.width, c.experts)
    tensors = {f"{at}gate.weight": router}
    for expert in range(c.experts):
        for name, (inputs, outputs) in _matrices(c).items():
            tensors[f"{at}experts.{expert}.{names[name]}.weight"] = _linear(
                ("blocks", "experts", name), (layer, expert), inputs, outputs
            )
    return tensors


def _table(c: DecoderConfig, path: Path) -> Tensor:
    rows = (slice(0, c.vocab_size),)
    return Tensor((Piece(path, rows, (c.vocab_size, c.width)),))


def _plain(path: Path, index: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
    return Tensor((Piece(path, index, shape),))


def _linear(path: Path, index: tuple[int, ...], inputs: int, outputs: int) -> Tensor:
    return Tensor((Piece(path, index, (inputs, outputs), transposed=True),))
