"""Held-out loss, perplexity and bits per byte, with the baselines on the same documents."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np


class Score(NamedTuple):
    """A text's negative log-likelihood and its size.

    Attributes:
      nats: summed over the predicted tokens.
      tokens: how many were predicted.
      utf8_bytes: of the text.
    """

    nats: float
    tokens: int
    utf8_bytes: int

    def metrics(self) -> dict[str, float]:
        """loss (nats per token), perplexity and bits_per_byte."""
        loss = self.nats / self.tokens
        return {
            "loss": loss,
            "perplexity": math.exp(min(loss, 700.0)),
            "bits_per_byte": self.nats / (self.utf8_bytes * math.log(2.0)),
        }


def evaluate(
    loss_step: Callable[[Any, Any], tuple[jax.Array, jax.Array]],
    params: Any,
    batches: Iterable[Any],
    *,
    utf8_bytes: int,
) -> Score:
    """Scores held-out batches.

    Args:
      loss_step: (params, batch) -> (sum in nats, count).
      params: of the model.
      batches: together every token of the held-out documents once.
      utf8_bytes: length of those documents.
    """
    sums = [loss_step(params, batch) for batch in batches]  # dispatched before any is read
    nats = math.fsum(float(total) for total, _ in sums)
    return Score(nats, round(sum(float(count) for _, count in sums)), utf8_bytes)


def uniform_baseline(score: Score, vocab_size: int) -> Score:
    """Every token equally likely: ln V per token."""
    return score._replace(nats=score.tokens * math.log(vocab_size))


def unigram_baseline(
    score: Score, train_counts_v: np.ndarray, heldout_counts_v: np.ndarray
) -> Score:
    """Tokens drawn independently by their frequency in training, with one added to each count.

    Args:
      score: of the model, for the sizes.
      train_counts_v: how often each token occurs in the training documents.
      heldout_counts_v: how often each token is predicted in the held-out documents.

    Raises:
      ValueError: if the counts do not cover the same tokens as `score`.
    """
    if int(heldout_counts_v.sum()) != score.tokens:
        raise ValueError(
            f"unigram_baseline: {int(heldout_counts_v.sum())} counted tokens against "
            f"{score.tokens} scored ones"
        )
    smoothed_v = train_counts_v.astype(np.float64) + 1.0
    log_probabilities_v = np.log(smoothed_v / smoothed_v.sum())
    return score._replace(nats=float(-(heldout_counts_v * log_probabilities_v).sum()))
