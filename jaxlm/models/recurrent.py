"""Recurrent language models: baselines under the decoder's signature."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxlm import functional
from jaxlm.functional.recurrent import (
    GATES,
    initial_state,
    read_state,
    recurrent,
    segment_starts,
    write_states,
)
from jaxlm.layers.declare import Parameter, declare, fan_in, zeros
from jaxlm.layers.embedding import Embedding, embedding_parameters, vocabulary_table
from jaxlm.models.config import padded_vocabulary
from jaxlm.models.decoder import DecoderOutput, check_at_run_time, compute_dtype
from jaxlm.sharding import constrain

RecurrentCache = tuple[tuple[jax.Array, ...], ...]
"""Per layer the states after the last tokens, [b, slots, f] each, slot = position mod slots."""


@dataclasses.dataclass(frozen=True)
class RecurrentConfig:
    """A stack of recurrent layers. Shape and arithmetic only."""

    vocab_size: int = 4096
    """Exact number of tokens; arrays are padded to a multiple of 128 in memory."""
    context_length: int = 256
    """Length of training rows and limit of generation; the model itself has none."""
    cell: Literal["rnn", "gru", "lstm"] = "lstm"
    layers: int = 2
    width: int = 256
    """Size of the token embedding."""
    hidden: int = 512
    """Units of every layer."""
    tied_embeddings: bool = True
    """The output layer is the token embedding transposed, after a map to `width` if that is not
    `hidden`."""
    dropout: float = 0.0
    """Between layers and at both ends, not in time (Zaremba et al. 2014); in training only."""
    param_dtype: Literal["float32", "float64", "bfloat16"] = "float32"
    compute_dtype: Literal["auto", "float32", "float64", "bfloat16"] = "auto"
    """auto: float32 on a CPU, bfloat16 elsewhere. States are in at least float32."""

    @property
    def padded_vocab_size(self) -> int:
        """Rows of the embedding in memory: the next multiple of 128."""
        return padded_vocabulary(self.vocab_size)

    @property
    def input_scale(self) -> float:
        """Of the embeddings, so that the cells start with inputs of unit variance.

        The family's tables start with deviation 0.02 or less; cells that are nearly linear for
        such inputs learn slowly.
        """
        return max(50.0, self.width**0.5 / 0.3)

    @property
    def output_map(self) -> bool:
        """Whether a map leads from `hidden` to `width` before the tied output layer."""
        return self.tied_embeddings and self.hidden != self.width

    @property
    def logit_softcap(self) -> None:
        """What the losses and the generator ask of every configuration: there is none."""
        return None

    def problems(self) -> list[str]:
        """Everything that is wrong with the fields, each as a message with the way out."""
        found = [
            f"--model.{name.replace('_', '-')} {getattr(self, name)}: must be at least 1"
            for name in ("vocab_size", "context_length", "layers", "width", "hidden")
            if getattr(self, name) < 1
        ]
        if self.cell not in GATES:
            found.append(f"--model.cell {self.cell}: must be one of {', '.join(GATES)}")
        if not 0.0 <= self.dropout < 1.0:
            found.append(f"--model.dropout {self.dropout}: must be in [0, 1)")
        return found


def layer_parameters(cell: str, inputs: int, hidden: int) -> dict[str, Parameter]:
    """Kernels "input" [d, g, f] and "recurrent" [f, g, f], "bias" [g, f], of one layer.

    A GRU also has "recurrent_bias" [f]. The forget gate of an LSTM starts with bias 1
    (Gers et al. 2000; Jozefowicz et al. 2015), so that gradients first flow through time.
    """
    gates = GATES[cell]

    def bias(key, shape, dtype):
        return jnp.zeros(shape, dtype).at[1].set(1) if cell == "lstm" else zeros(key, shape, dtype)

    axes = ("gates", "hidden")
    parameters = {
        "input": Parameter((inputs, gates, hidden), ("embed", *axes), fan_in(1)),
        "recurrent": Parameter((hidden, gates, hidden), ("state", *axes), fan_in(1)),
        "bias": Parameter((gates, hidden), axes, bias, decay=False),
    }
    if cell == "gru":
        parameters["recurrent_bias"] = Parameter((hidden,), ("hidden",), zeros, decay=False)
    return parameters


def recurrent_parameters(config: RecurrentConfig) -> dict[str, Any]:
    """The tree of `Parameter`: "embedding", "layer_0", ..., and "out", "unembedding" if any."""
    c = config
    tree: dict[str, Any] = {
        "embedding": embedding_parameters(
            c.vocab_size, c.padded_vocab_size, c.width, learned_positions=0
        )
    }
    for layer in range(c.layers):
        tree[f"layer_{layer}"] = layer_parameters(c.cell, c.hidden if layer else c.width, c.hidden)
    if c.output_map:
        tree["out"] = Parameter((c.hidden, c.width), ("hidden", "embed"), fan_in(1))
    if not c.tied_embeddings:
        tree["unembedding"] = vocabulary_table(c.vocab_size, c.padded_vocab_size, c.hidden)
    return tree


class RecurrentLayer(nn.Module):
    """`functional.recurrent` with its parameters."""

    cell: Literal["rnn", "gru", "lstm"]
    hidden: int
    param_dtype: Any = "float32"

    @nn.compact
    def __call__(self, x_btd, *, state=None, starts_bt=None):
        """[b, t, d] -> ([b, t, f], states after every token)."""
        parameters = layer_parameters(self.cell, x_btd.shape[-1], self.hidden)
        p = declare(self, parameters, self.param_dtype)
        return recurrent(p, x_btd, cell=self.cell, state=state, starts_bt=starts_bt)


class Recurrent(nn.Module):
    """A recurrent language model (Mikolov et al. 2010; Zaremba et al. 2014).

    Attributes:
      config: the architecture.
    """

    config: RecurrentConfig

    @nn.compact
    def __call__(
        self,
        tokens_bt,
        *,
        positions_bt=None,
        segment_ids_bt=None,
        cache: RecurrentCache | None = None,
        dropout_key=None,
    ) -> DecoderOutput:
        """Next-token logits for every position.

        Args:
          tokens_bt: int token ids.
          positions_bt: int, consecutive; read only with a cache, where they say which state the
            row goes on from (0: from none). By default 0, 1, 2, ...
          segment_ids_bt: int; the state is zero where a segment begins. Not with a cache.
          cache: from `init_cache`.
          dropout_key: a JAX key in training; None switches dropout off.

        Returns:
          `DecoderOutput(logits_btv, hidden_btd, cache)`; the hidden states are what the output
          layer multiplies.

        Raises:
          InputError: if the configuration cannot work.
          ValueError: if both a cache and segment ids are given.
        """
        c: Any = self.config
        check_at_run_time(c)
        if cache is not None and segment_ids_bt is not None:
            raise ValueError("Recurrent: a cache holds one segment per row; drop segment_ids")
        b, t = tokens_bt.shape
        if positions_bt is None:
            positions_bt = jnp.broadcast_to(jnp.arange(t, dtype=jnp.int32), (b, t))
        first_b = positions_bt[:, 0]
        starts_bt = None if segment_ids_bt is None else segment_starts(segment_ids_bt)
        keys = [None] * (c.layers + 1)
        if dropout_key is not None:
            keys = list(jax.random.split(dropout_key, c.layers + 1))

        x_btd, table_vd = Embedding(
            vocab_size=c.vocab_size,
            padded_vocab_size=c.padded_vocab_size,
            width=c.width,
            positions="none",
            context_length=c.context_length,
            dtype=compute_dtype(c),
            param_dtype=c.param_dtype,
            name="embedding",
        )(tokens_bt, positions_bt)
        x_btd = x_btd * c.input_scale

        updated = []
        for layer in range(c.layers):
            x_btd = functional.dropout(x_btd, c.dropout, keys[layer])
            run = RecurrentLayer(c.cell, c.hidden, c.param_dtype, name=f"layer_{layer}")
            before = None if cache is None else read_state(cache[layer], first_b)
            x_btd, states = run(x_btd, state=before, starts_bt=starts_bt)
            x_btd = constrain(x_btd, ("batch", "length", "features"))
            if cache is not None:
                updated.append(write_states(cache[layer], states, first_b))
        x_btd = functional.dropout(x_btd, c.dropout, keys[-1])

        own = {k: p for k, p in recurrent_parameters(c).items() if isinstance(p, Parameter)}
        p = declare(self, own, c.param_dtype)
        if "out" in p:
            x_btd = functional.dense(x_btd, p["out"])
        output_vd = table_vd
        if "unembedding" in p:
            output_vd = constrain(p["unembedding"], ("vocab", "features"))
        logits_btv = functional.unembed(x_btd, output_vd, vocab_size=c.vocab_size)
        new_cache: Any = None if cache is None else tuple(updated)
        return DecoderOutput(logits_btv, x_btd, new_cache)

    def init_cache(self, batch: int, length: int) -> RecurrentCache:
        """An empty cache that keeps the states after the last `length` tokens.

        One slot is enough to read a stream. Rows that are padded at the right need as many slots
        as the row has tokens, for the state before the padding to be there still.
        """
        c: Any = self.config
        wide = jnp.promote_types(compute_dtype(c), jnp.float32)
        state = initial_state(c.cell, batch, c.hidden, wide)
        ring = tuple(jnp.repeat(a[:, None], length, axis=1) for a in state)
        return (ring,) * c.layers
