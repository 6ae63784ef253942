"""The numbers of a run over time: `metrics.jsonl`, one JSON object a line, and TensorBoard events.

`metrics.jsonl` is the record; the TensorBoard events in `tensorboard/` are a view of it. A number
that is not finite is written as the string "nan", "inf" or "-inf", since JSON has no such
numbers and null would not tell them apart; `read_metrics` gives the floats back.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from jaxlm.errors import InputError
from jaxlm.files import write_atomic

FILE_NAME = "metrics.jsonl"
_NON_FINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_RECORD_START = b'{"step": '


class MetricsWriter:
    """Appends records to a run directory; one process of a run has one.

    Every record is handed to the operating system as it is written, so a killed process loses
    none but one being written; `flush` also makes them survive a loss of power.

    Args:
      run_dir: the run directory; made when it does not exist.
      resume_step: the step that the restored state had. Records of later steps are cut, since
        they will be written again. 0 is a run from its beginning: all old records are cut.

    Raises:
      InputError: `metrics.jsonl` exists and is not such a file.
    """

    def __init__(self, run_dir: str | Path, *, resume_step: int):
        path = Path(run_dir) / FILE_NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            records = read_metrics(run_dir)
            kept = [r for r in records if 0 < resume_step >= r["step"]]
            write_atomic(path, "".join(_line(record) for record in kept))
        self._file = path.open("ab")

        self._events = _EventFile(path.parent / "tensorboard", resume_step)

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends one record.

        Args:
          step: the number of steps done.
          metrics: scalars (Python, NumPy or JAX) by name, such as {"train/loss": 3.2}.

        Raises:
          ValueError: a metric is called "step", or is not a scalar.
        """
        if "step" in metrics:
            raise ValueError('"step" is an argument of its own, not a metric')
        step, values = int(step), {name: _scalar(name, value) for name, value in metrics.items()}
        self._file.write(_line({"step": step, **values}).encode())
        self._file.flush()
        self._events.write(step, values)

    def flush(self) -> None:
        """Makes all records durable on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._events.flush()

    def close(self) -> None:
        """Flushes and closes; closing twice is allowed."""
        if not self._file.closed:
            with contextlib.ExitStack() as stack:  # each, even if the disk is full
                stack.callback(self._events.close)
                stack.callback(self._file.close)
                self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _EventFile:
    """TensorBoard events, written in this thread: a full disk is an error of ours to report."""

    def __init__(self, directory: Path, resume_step: int):
        # Slow to import, and readers of metrics need it not.
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.record_writer import RecordWriter

        self._event = Event
        directory.mkdir(exist_ok=True)
        # The name tells two starts in one second apart.
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{resume_step:08d}"
        self._records = RecordWriter(str(directory / name))
        self._write(Event(file_version="brain.Event:2"))
        if resume_step:  # hides events from this step on in older files
            log = SessionLog(status=SessionLog.START)
            self._write(Event(step=resume_step + 1, session_log=log))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        event = self._event(step=step)
        for name, value in values.items():
            if math.isfinite(value):
                event.summary.value.add(tag=name, simple_value=value)
        self._write(event)

    def flush(self) -> None:
        self._records.flush()

    def close(self) -> None:
        self._records.close()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())


def read_metrics(run_dir: str | Path) -> list[dict[str, float]]:
    """Reads `metrics.jsonl` of a run directory.

    Returns:
      The records in the order written, each with "step" (an int) and floats. A half-written last
      line is left out. Without the file, an empty list: a run that has not come so far.

    Raises:
      InputError: the file is something else; names the line.
    """
    path = Path(run_dir) / FILE_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    *lines, tail = content.split(b"\n")
    records = [_parse(path, number, line) for number, line in enumerate(lines, 1)]
    if tail:
        try:
            records.append(_parse(path, len(lines) + 1, tail))
        except InputError:
            # Zeros are what some file systems leave of a last line when the power is lost.
            start = tail[: len(_RECORD_START)].rstrip(b"\0")
            if not _RECORD_START.startswith(start):
                raise
    return records


def _line(record: Mapping[str, float]) -> str:
    values = {k: v if math.isfinite(v) else str(v) for k, v in record.items()}
    return json.dumps(values, allow_nan=False) + "\n"


def _scalar(name: str, value: Any) -> float:
    try:
        return float(value)
    except TypeError as error:
        raise ValueError(f"metric {name!r} is not a scalar: {value!r}") from error


def _parse(path: Path, number: int, line: bytes) -> dict[str, float]:
    try:
        record = json.loads(line)
        step = record.pop("step")
        if type(step) is not int:
            raise TypeError
        return {"step": step, **{name: _number(value) for name, value in record.items()}}
    except (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError):
        raise InputError(
            f"{path}, line {number}: not a record of metrics: {line[:60]!r}. Each line is a JSON "
            'object with an integer "step" and numbers; remove the line or move the file away.'
        ) from None


def _number(value: object) -> float:
    if isinstance(value, str):
        return _NON_FINITE[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)
