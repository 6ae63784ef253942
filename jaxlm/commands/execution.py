"""How the stages of the data line are carried out: processes, parts, engine; and their progress."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
from collections.abc import Iterator
from typing import Literal

from rich.console import Console
from rich.progress import Progress as Bars
from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

from jaxlm.data.beam import beam
from jaxlm.data.stages import Engine, Progress, processes
from jaxlm.errors import InputError


@dataclasses.dataclass(frozen=True)
class Execution:
    """Where the work is done; none of it changes a byte of the result."""

    workers: int | None = None
    """Processes on this machine; as many as it has cores by default."""
    shard: str = "0/1"
    """i/n does the i-th (from 0) of n parts; give it again until the stage is finished."""
    engine: Literal["processes", "beam"] = "processes"
    """beam runs each stage as an Apache Beam pipeline (needs the extra `beam`)."""
    beam_options: str = ""
    """Options of the Beam pipeline, such as --beam-options="--runner=FlinkRunner"."""

    def start(self) -> Engine:
        """The engine.

        Raises:
          InputError: impossible options, or an engine that is not installed.
        """
        if self.engine == "beam":
            return beam(shlex.split(self.beam_options))
        if self.beam_options:
            raise InputError("--beam-options: is of --engine beam alone")
        return processes(available_cores() if self.workers is None else self.workers)

    @property
    def part(self) -> tuple[int, int]:
        """(i, n) of `shard`."""
        match = re.fullmatch(r"(\d+)/(\d+)", self.shard)
        if match is None:
            raise InputError(f"--shard {self.shard}: give i/n, such as 0/4, 1/4, 2/4 and 3/4")
        return int(match[1]), int(match[2])


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def stage_progress(console: Console) -> Iterator[Progress]:
    """A live line that shows the stage and how much of it is done; nothing without a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("")

        def progress(stage: str, done: int, total: int | None) -> None:
            of = "" if total is None else f" of {total:,}"
            bars.update(task, description=f"{stage}: {done:,}{of}")

        yield progress
