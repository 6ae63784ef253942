"""Token embedding, and learned or sinusoidal positions."""

from __future__ import annotations

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxlm import functional
from jaxlm.layers.declare import Parameter, declare, normal
from jaxlm.sharding import constrain


def vocabulary_table(vocab_size: int, padded_vocab_size: int, width: int) -> Parameter:
    """A table [v, d] of the vocabulary, input or output; rows from `vocab_size` on are padding."""
    return Parameter(
        (padded_vocab_size, width),
        ("vocab", "embed"),
        normal(_deviation(width), used=vocab_size),
        padding=(padded_vocab_size - vocab_size) * width,
    )


def embedding_parameters(
    vocab_size: int, padded_vocab_size: int, width: int, *, learned_positions: int
) -> dict[str, Parameter]:
    """The "token" table [v, d], padded from `vocab_size` on, and "position" [length, d]."""
    parameters = {"token": vocabulary_table(vocab_size, padded_vocab_size, width)}
    if learned_positions:
        parameters["position"] = Parameter(
            (learned_positions, width), ("position", "embed"), normal(_deviation(width))
        )
    return parameters


def _deviation(width: int) -> float:
    # The logits of a normalised hidden state then start with deviation 0.3 at most, so that the
    # first loss is ln V; narrow models get GPT-2's 0.02.
    return min(0.02, 0.3 * width**-0.5)


class Embedding(nn.Module):
    """Token ids and positions to vectors; also returns the token table for tied outputs.

    Attributes:
      vocab_size, padded_vocab_size: exact, and in memory.
      width: d.
      positions: "learned" and "sinusoidal" are added here; the others are not.
      context_length: rows of the learned positions.
      dtype: of the result.
      param_dtype: of the parameters.
      scaled: token vectors are multiplied by sqrt(width), positions are not.
    """

    vocab_size: int
    padded_vocab_size: int
    width: int
    positions: Literal["learned", "sinusoidal", "rotary", "alibi", "none"]
    context_length: int
    dtype: Any = jnp.float32
    param_dtype: Any = "float32"
    scaled: bool = False

    @nn.compact
    def __call__(self, tokens_bt, positions_bt):
        """int [b, t], int [b, t] -> ([b, t, d], table [v, d])."""
        parameters = embedding_parameters(
            self.vocab_size,
            self.padded_vocab_size,
            self.width,
            learned_positions=self.context_length if self.positions == "learned" else 0,
        )
        p = declare(self, parameters, self.param_dtype)
        # Gathered over fsdp before the look-up, or XLA rematerialises the table whole.
        table_vd = constrain(p["token"], ("vocab", "features")).astype(self.dtype)
        x_btd = table_vd[tokens_bt]
        if self.scaled:
            # Rounded to the compute dtype first, as the models trained so did.
            x_btd *= jnp.asarray(self.width**0.5, self.dtype)
        if self.positions == "learned":
            x_btd += constrain(p["position"], ("position", "features")).astype(self.dtype)[
                positions_bt
            ]
        elif self.positions == "sinusoidal":
            x_btd += functional.sinusoidal(positions_bt, self.width, dtype=self.dtype)
        return constrain(x_btd, ("batch", "length", "features")), table_vd
