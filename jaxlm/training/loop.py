"""The training loop: dispatch a step, read the one before, pause for what is due."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Callable, Container
from typing import Any

import jax

from jaxlm.errors import NonFiniteError
from jaxlm.training.config import TrainingConfig
from jaxlm.training.metrics import MetricsWriter
from jaxlm.training.progress import TrainingProgress
from jaxlm.training.signals import StopSignals
from jaxlm.training.state import TrainState


@dataclasses.dataclass
class LoopResult:
    """What the loop leaves behind.

    Attributes:
      state: after the last step.
      tokens_per_second: over all measured steps, pauses not counted.
      matrix_rate_share: of that rate.
      compile_seconds: tracing and compiling the step.
      stopped: the signal that ended the loop before its time, or None.
    """

    state: TrainState
    tokens_per_second: float = 0.0
    matrix_rate_share: float = 0.0
    compile_seconds: float = 0.0
    stopped: signal.Signals | None = None


def run_loop(
    state: TrainState,
    *,
    train_step: Callable[[TrainState, Any], tuple[TrainState, dict[str, jax.Array]]],
    batch_at: Callable[[int], Any],
    config: TrainingConfig,
    writer: MetricsWriter,
    progress: TrainingProgress,
    stop: StopSignals,
    share_per_token: float,
    save: Callable[[TrainState], None],
    evaluate: Callable[[TrainState], dict[str, float]],
    sample: Callable[[TrainState], None],
    recorded: Container[str] = (),
) -> LoopResult:
    """Trains until `config.steps`, or until a signal asks to stop.

    Args:
      state: donated step by step.
      train_step: from `make_train_step`.
      batch_at: rows consumed so far -> the next batch, on the devices.
      config: numbers of steps, and how often to log, evaluate, sample and save.
      writer, progress: where metrics go.
      stop: asked after every step.
      share_per_token: share of the devices' matrix rate that one token per second takes.
      save: starts a checkpoint.
      evaluate: held-out metrics, written under the names it gives.
      sample: writes samples.
      recorded: "evaluate" and "sample" where they were done at the step that `state` is at; what
        a stop has prevented there is made up for.

    Raises:
      NonFiniteError: after `config.max_nonfinite` non-finite steps in a row; nothing is saved.
    """
    result = LoopResult(state)
    step, rows = int(state.step), int(state.rows_consumed)
    measured_tokens, measured_seconds = 0.0, 0.0
    window_tokens, window_start = 0.0, time.perf_counter()
    pending: tuple[int, dict[str, jax.Array]] | None = None
    skipped_in_a_row = 0.0

    def is_due(every: int) -> bool:
        return step % every == 0 or step == config.steps

    def look(due_evaluation: bool, due_sample: bool) -> None:
        if due_evaluation:
            writer.write(step, evaluate(state))
        if due_sample:
            sample(state)
        writer.flush()

    def read(entry: tuple[int, dict[str, jax.Array]]) -> None:
        nonlocal window_tokens, window_start, measured_tokens, measured_seconds, skipped_in_a_row
        number, on_device = entry
        values = {name: float(value) for name, value in jax.device_get(on_device).items()}
        window_tokens += values["tokens"]
        skipped_in_a_row = values["skipped_in_a_row"]
        if values["skipped_in_a_row"] >= config.max_nonfinite:
            writer.write(number, {f"train/{name}": value for name, value in values.items()})
            raise NonFiniteError(
                f"the loss or its gradient was not finite in {config.max_nonfinite} steps in a "
                f"row, the last at step {number}; the last checkpoint is intact. Start another "
                "--run with a lower --optimizer.learning-rate, or --model.compute-dtype float32"
            )
        if number % config.log_every and number != config.steps:
            return
        now = time.perf_counter()
        rate = window_tokens / max(now - window_start, 1e-9)
        measured_tokens += window_tokens
        measured_seconds += now - window_start
        window_tokens, window_start = 0.0, now
        values |= {"tokens_per_second": rate, "matrix_rate_share": rate * share_per_token}
        writer.write(number, {f"train/{name}": value for name, value in values.items()})
        progress.update(
            number,
            loss=values["loss"],
            tokens_per_second=rate,
            share=rate * share_per_token,
            seconds_per_step=values["tokens"] / max(rate, 1e-9),
        )

    if step > 0:
        look(
            is_due(config.evaluate_every) and "evaluate" not in recorded,
            is_due(config.sample_every) and "sample" not in recorded,
        )
    while step < config.steps:
        batch = batch_at(rows)
        began = time.perf_counter()
        state, metrics = train_step(state, batch)
        if pending is None and result.compile_seconds == 0.0:
            result.compile_seconds = time.perf_counter() - began
            window_start = time.perf_counter()
        step, rows = step + 1, rows + config.batch_size
        if pending is not None:
            read(pending)
        pending = (step, metrics)

        due_save, due_evaluation, due_sample = map(
            is_due, (config.checkpoint_every, config.evaluate_every, config.sample_every)
        )
        if not (due_save or due_evaluation or due_sample or stop.received):
            continue
        read(pending)
        pending = None
        paused = time.perf_counter()
        # Not in a row of bad steps: the last good checkpoint shall be from before it.
        if (due_save or stop.received) and not skipped_in_a_row:
            save(state)
        if stop.received and step < config.steps:
            result.stopped = stop.received
            break
        look(due_evaluation, due_sample)
        window_start += time.perf_counter() - paused

    result.state = state
    result.tokens_per_second = measured_tokens / max(measured_seconds, 1e-9)
    result.matrix_rate_share = result.tokens_per_second * share_per_token
    return result
