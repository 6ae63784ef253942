"""Transformer-XL: segment recurrence and relative positions, under the decoder's signature."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import functional
from jaxlm.functional.recurrent import write_states
from jaxlm.functional.relative_positions import EMPTY
from jaxlm.layers.declare import declare, initialize, stack
from jaxlm.layers.embedding import Embedding, embedding_parameters, vocabulary_table
from jaxlm.layers.feed_forward import FeedForward, feed_forward_parameters
from jaxlm.layers.normalization import Norm, norm_parameters
from jaxlm.layers.relative_attention import RelativeAttention, relative_attention_parameters
from jaxlm.models.config import padded_vocabulary
from jaxlm.models.decoder import (
    DecoderOutput,
    check_at_run_time,
    compute_dtype,
    split_layers,
)
from jaxlm.sharding import constrain

Memory = tuple[jax.Array, ...]
"""The inputs of every layer for the last tokens, [b, slots, d] each, slot = position mod slots."""

Activation = Literal["relu", "gelu", "gelu_tanh", "swiglu", "geglu"]


@dataclasses.dataclass(frozen=True)
class TransformerXLConfig:
    """A Transformer-XL. Shape and arithmetic only."""

    vocab_size: int = 4096
    """Exact number of tokens; arrays are padded to a multiple of 128 in memory."""
    context_length: int = 256
    """Length of training rows and limit of generation; the model itself has none."""
    segment_length: int = 64
    """A row is cut into segments of so many tokens; gradients stay within a segment."""
    memory_length: int = 192
    """Tokens before a segment that its queries also see."""
    same_length: bool = True
    """Every query sees the `memory_length` tokens before it and no others, wherever its segment
    begins, so that the logits do not depend on the cuts. False as in the paper: it sees the
    memory and the segment so far."""
    layers: int = 4
    width: int = 256
    """Size of the residual stream (d_model)."""
    heads: int = 4
    head_dim: int = 64
    hidden: int = 1024
    """Hidden units of the feed-forward network."""
    norm_position: Literal["pre", "post"] = "post"
    feed_forward: Activation = "relu"
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
        """Initial scale of maps into the residual stream: 1 / sqrt(2 layers)."""
        return (2 * self.layers) ** -0.5

    @property
    def logit_softcap(self) -> None:
        """What the losses and the generator ask of every configuration: there is none."""
        return None

    def problems(self) -> list[str]:
        """Everything that is wrong with the fields, each as a message with the way out."""
        found = [
            f"--model.{name.replace('_', '-')} {getattr(self, name)}: must be at least 1"
            for name in (
                "vocab_size", "context_length", "segment_length", "memory_length", "layers",
                "width", "heads", "head_dim", "hidden",
            )
            if getattr(self, name) < 1
        ]  # fmt: skip
        if self.width % 2:
            found.append(f"--model.width {self.width}: sinusoidal positions need an even number")
        if self.feed_forward not in get_args(Activation):
            known = ", ".join(get_args(Activation))
            found.append(f"--model.feed-forward {self.feed_forward}: must be one of {known}")
        if not 0.0 <= self.dropout < 1.0:
            found.append(f"--model.dropout {self.dropout}: must be in [0, 1)")
        return found


def block_parameters(config: TransformerXLConfig) -> dict[str, Any]:
    """The tree of `Parameter` of one block."""
    c = config
    norm = norm_parameters(c.width, kind="layer", bias=True)
    return {
        "attention_norm": norm,
        "attention": relative_attention_parameters(
            c.width, c.heads, c.head_dim, out_scale=c.residual_scale
        ),
        "feed_forward_norm": norm,
        "feed_forward": feed_forward_parameters(
            c.width, c.hidden, activation=c.feed_forward, bias=True, out_scale=c.residual_scale
        ),
    }


def transformer_xl_parameters(config: TransformerXLConfig) -> dict[str, Any]:
    """The tree of `Parameter`, with the names of the decoder's."""
    c = config
    tree: dict[str, Any] = {
        "embedding": embedding_parameters(
            c.vocab_size, c.padded_vocab_size, c.width, learned_positions=0
        ),
        "blocks": stack(block_parameters(c), c.layers),
    }
    if c.norm_position == "pre":
        tree["final_norm"] = norm_parameters(c.width, kind="layer", bias=True)
    if not c.tied_embeddings:
        tree["unembedding"] = vocabulary_table(c.vocab_size, c.padded_vocab_size, c.width)
    return tree


class Block(nn.Module):
    """Pre-norm: x + f(norm(x)), the memory normalised alike. Post-norm: norm(x + f(x))."""

    config: Any

    @nn.compact
    def __call__(self, x_btd, *, memory_bmd, segment_ids_bt, memory_ids_bm, dropout_key=None):
        """[b, t, d], its memory, ... -> [b, t, d]."""
        c = self.config
        pre = c.norm_position == "pre"
        keys = [None] * 3 if dropout_key is None else jax.random.split(dropout_key, 3)

        def norm(name):
            return Norm(kind="layer", bias=True, param_dtype=c.param_dtype, name=name)

        attention_norm, feed_forward_norm = norm("attention_norm"), norm("feed_forward_norm")
        attend = RelativeAttention(
            heads=c.heads,
            head_dim=c.head_dim,
            segment_length=c.segment_length,
            window=c.memory_length + 1 if c.same_length else None,
            dropout=c.dropout,
            out_scale=c.residual_scale,
            param_dtype=c.param_dtype,
            name="attention",
        )
        y_btd = attend(
            attention_norm(x_btd) if pre else x_btd,
            memory_bmd=attention_norm(memory_bmd) if pre else memory_bmd,
            segment_ids_bt=segment_ids_bt,
            memory_ids_bm=memory_ids_bm,
            dropout_key=keys[0],
        )
        x_btd = x_btd + functional.dropout(y_btd, c.dropout, keys[1])
        x_btd = x_btd if pre else attention_norm(x_btd)
        y_btd = FeedForward(
            hidden=c.hidden,
            activation=c.feed_forward,
            bias=True,
            out_scale=c.residual_scale,
            param_dtype=c.param_dtype,
            name="feed_forward",
        )(feed_forward_norm(x_btd) if pre else x_btd)
        x_btd = x_btd + functional.dropout(y_btd, c.dropout, keys[2])
        x_btd = x_btd if pre else feed_forward_norm(x_btd)
        return constrain(x_btd, ("batch", "length", "features"))


class TransformerXL(nn.Module):
    """Transformer-XL (Dai et al. 2019).

    A row is cut into segments of `config.segment_length`; each also attends to the tokens before
    it, whose states are constants to the gradient. So one row trains the recurrence, and a step
    still depends on nothing but its batch. With a cache the recurrence goes on across calls.

    Attributes:
      config: the architecture.
    """

    config: TransformerXLConfig

    @nn.compact
    def __call__(
        self,
        tokens_bt,
        *,
        positions_bt=None,
        segment_ids_bt=None,
        cache: Memory | None = None,
        dropout_key=None,
    ) -> DecoderOutput:
        """Next-token logits for every position.

        Args:
          tokens_bt: int token ids.
          positions_bt: int, consecutive; read only with a cache, where they say which tokens of
            it stand before the row (0: none). By default 0, 1, 2, ...
          segment_ids_bt: int; tokens see only their own document. Not with a cache.
          cache: from `init_cache`.
          dropout_key: a JAX key in training; None switches dropout off.

        Returns:
          `DecoderOutput(logits_btv, hidden_btd, cache)`.

        Raises:
          InputError: if the configuration cannot work.
          ValueError: if both a cache and segment ids are given.
        """
        c: Any = self.config
        check_at_run_time(c)
        if cache is not None and segment_ids_bt is not None:
            raise ValueError("TransformerXL: a cache holds one segment per row; drop segment_ids")
        b, t = tokens_bt.shape
        if positions_bt is None:
            positions_bt = jnp.broadcast_to(jnp.arange(t, dtype=jnp.int32), (b, t))
        if segment_ids_bt is None:
            segment_ids_bt = jnp.zeros((b, t), jnp.int32)
        first_b = positions_bt[:, 0]
        n = c.layers + 1
        keys = [None] * n if dropout_key is None else jax.random.split(dropout_key, n)

        x_btd, table_vd = Embedding(
            vocab_size=c.vocab_size,
            padded_vocab_size=c.padded_vocab_size,
            width=c.width,
            positions="none",
            context_length=c.context_length,
            dtype=compute_dtype(c),
            param_dtype=c.param_dtype,
            scaled=True,
            name="embedding",
        )(tokens_bt, positions_bt)
        x_btd = functional.dropout(x_btd, c.dropout, keys[-1])

        blocks: Any
        if self.has_variable("params", "blocks"):
            blocks = self.get_variable("params", "blocks")
        else:
            blocks = self.param("blocks", self._init_blocks)
        memory_ids_bm, places_bm = _memory(first_b, cache, c.memory_length)
        updated = []
        for layer, p in enumerate(split_layers(blocks, c.layers)):
            if cache is None:
                memory_bmd = jnp.zeros((b, c.memory_length, c.width), x_btd.dtype)
            else:
                memory_bmd = jnp.take_along_axis(cache[layer], places_bm[..., None], axis=1)
                updated.append(write_states(cache[layer], x_btd, first_b))
            x_btd = Block(c, parent=None).apply(
                {"params": p},
                x_btd,
                memory_bmd=memory_bmd,
                segment_ids_bt=segment_ids_bt,
                memory_ids_bm=memory_ids_bm,
                dropout_key=keys[layer],
            )

        if c.norm_position == "pre":
            x_btd = Norm("layer", True, param_dtype=c.param_dtype, name="final_norm")(x_btd)
        output_vd = table_vd
        if not c.tied_embeddings:
            own = {"unembedding": transformer_xl_parameters(c)["unembedding"]}
            output_vd = declare(self, own, c.param_dtype)["unembedding"]
            output_vd = constrain(output_vd, ("vocab", "features"))
        logits_btv = functional.unembed(x_btd, output_vd, vocab_size=c.vocab_size)
        new_cache: Any = None if cache is None else tuple(updated)
        return DecoderOutput(logits_btv, x_btd, new_cache)

    def init_cache(self, batch: int, length: int) -> Memory:
        """An empty memory that keeps the last `length` tokens.

        `memory_length` slots are enough to read a stream. Rows that are padded at the right need
        as many more as there is padding.
        """
        c: Any = self.config
        ring = jnp.zeros((batch, length, c.width), compute_dtype(c))
        return (ring,) * c.layers

    def _init_blocks(self, key):
        c = self.config
        return initialize(stack(block_parameters(c), c.layers), key, c.param_dtype)


def _memory(first_b, cache, length):
    """Ids and slots [b, m] of the `length` tokens before each row; no slots without a cache."""
    before_bm = first_b[:, None] - length + jnp.arange(length)
    if cache is None:
        return jnp.full(before_bm.shape, EMPTY, jnp.int32), None
    slots = cache[0].shape[1]
    held_bm = (before_bm >= 0) & (before_bm >= first_b[:, None] - slots)
    return jnp.where(held_bm, 0, EMPTY).astype(jnp.int32), before_bm % slots
