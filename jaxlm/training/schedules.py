"""Learning-rate schedules: pure functions of the number of updates made so far."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp


def warmup_cosine(
    peak: float, *, warmup_steps: int, decay_steps: int, final_fraction: float
) -> Callable[[jax.Array], jax.Array]:
    """Linear warm-up to `peak`, then a cosine to `final_fraction` of it, then constant.

    The first update already has the rate peak / warmup_steps: starting from zero would waste it.

    Args:
      peak: the highest rate.
      warmup_steps: updates until the peak; 0 starts there.
      decay_steps: updates until the end of the cosine, warm-up included.
      final_fraction: of the peak, at the end.

    Returns:
      A function from the count of earlier updates (int) to the rate.
    """

    def schedule(count):
        warm = peak * (count + 1) / max(warmup_steps, 1)
        span = max(decay_steps - warmup_steps, 1)
        progress = jnp.clip((count - warmup_steps) / span, 0.0, 1.0)
        cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
        return jnp.where(
            count < warmup_steps, warm, peak * (final_fraction + (1 - final_fraction) * cosine)
        )

    return schedule
