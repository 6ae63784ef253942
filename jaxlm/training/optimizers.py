"""The optimiser of a run, from Optax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

from jaxlm.training.config import OptimizerConfig, TrainingConfig
from jaxlm.training.schedules import warmup_cosine


def make_schedule(
    config: OptimizerConfig, training: TrainingConfig
) -> Callable[[jax.Array], jax.Array]:
    """The learning rate as a function of the number of updates."""
    return warmup_cosine(
        config.learning_rate,
        warmup_steps=config.warmup_steps,
        decay_steps=config.decay_steps or training.steps,
        final_fraction=config.final_fraction,
    )


def make_optimizer(
    config: OptimizerConfig, schedule: Callable[[jax.Array], jax.Array], decay_mask: Any
) -> optax.GradientTransformation:
    """Clipping by global norm, then AdamW with decoupled weight decay where `decay_mask` says."""
    return optax.chain(
        optax.clip_by_global_norm(config.clip_norm),
        optax.adamw(
            schedule,
            b1=config.beta1,
            b2=config.beta2,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            mask=decay_mask,
        ),
    )
