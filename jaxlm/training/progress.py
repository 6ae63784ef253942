"""What a person sees while a model trains: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class TrainingProgress:
    """Shows step, loss, tokens/s, share of the matrix rate and time left.

    Args:
      console: where to write.
      start: steps taken before.
      steps: steps in all.
    """

    def __init__(self, console: Console, *, start: int, steps: int):
        self._console, self._steps = console, steps
        self._first: tuple[int, float] | None = None
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            expand=True,
        )
        self._task = self._bar.add_task("", total=steps, completed=start)

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(
        self,
        step: int,
        *,
        loss: float,
        tokens_per_second: float,
        share: float,
        seconds_per_step: float,
    ) -> None:
        """Shows the state after `step`."""
        now = time.perf_counter()
        if self._first is None:  # the time before it went into compiling
            self._first = step, now
            left = (self._steps - step) * seconds_per_step
        else:
            left = (now - self._first[1]) / (step - self._first[0]) * (self._steps - step)
        text = (
            f"loss {loss:6.3f}  {tokens_per_second:,.0f} tokens/s  "
            f"{share:4.0%} of matrix rate  {format_seconds(left)} left"
        )
        self._bar.update(self._task, completed=step, description=text)
        if not self._console.is_terminal:
            self._console.print(f"step {step:>6}/{self._steps}  {text}", highlight=False)

    def note(self, text: str) -> None:
        """Prints a line above the bar."""
        self._bar.console.print(text, highlight=False, markup=False)


def format_seconds(seconds: float) -> str:
    """1:02:03 or 2:03."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"
