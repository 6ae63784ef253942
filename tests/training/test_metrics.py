"""The record of a run: exact, valid JSON, cut on resume, and whole after a kill."""

import json
import math
import os
import signal
import struct
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm.errors import InputError
from jaxlm.training.metrics import MetricsWriter, read_metrics


def write(run_dir, steps, resume_step=0, **more):
    with MetricsWriter(run_dir, resume_step=resume_step) as writer:
        for step in steps:
            writer.write(step, {"train/loss": 1 / step, **more})


def scalars(run_dir):
    """The events as stored: ("purge", step) and (step, name, value)."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted((run_dir / "tensorboard").iterdir()):
        content, at = file.read_bytes(), 0
        while at < len(content):  # length, its checksum, the event, its checksum
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            at += 16 + length
            if event.HasField("session_log"):
                yield ("purge", event.step)
            for value in event.summary.value:
                yield (event.step, value.tag, value.simple_value)


def test_numbers_survive_exactly_whatever_their_type(tmp_path):
    with MetricsWriter(tmp_path / "new" / "run", resume_step=0) as writer:
        writer.write(1, {"a": 0.1, "b": 7, "c": np.float32(0.1), "d": jnp.float32(2.5)})
        writer.write(np.int64(2), {"a": 1e-300})
    assert read_metrics(tmp_path / "new" / "run") == [
        {"step": 1, "a": 0.1, "b": 7.0, "c": float(np.float32(0.1)), "d": 2.5},
        {"step": 2, "a": 1e-300},
    ]


def test_numbers_that_are_not_finite_are_valid_json_and_come_back(tmp_path):
    with MetricsWriter(tmp_path, resume_step=0) as writer:
        writer.write(1, {"a": math.nan, "b": math.inf, "c": jnp.array(-jnp.inf)})

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    line = (tmp_path / "metrics.jsonl").read_text()
    assert json.loads(line, parse_constant=refuse)["b"] == "inf"
    (record,) = read_metrics(tmp_path)
    assert math.isnan(record["a"])
    assert (record["b"], record["c"]) == (math.inf, -math.inf)
    assert not [event for event in scalars(tmp_path) if event[0] == 1]


def test_resume_cuts_later_records_and_a_half_line(tmp_path):
    write(tmp_path, range(1, 11))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 11, "train/lo')
    assert [r["step"] for r in read_metrics(tmp_path)] == list(range(1, 11))
    write(tmp_path, [7, 8], resume_step=6, again=1)
    records = read_metrics(tmp_path)
    assert [r["step"] for r in records] == list(range(1, 9))
    assert [r for r in records if "again" in r] == records[6:]
    events = list(scalars(tmp_path))
    assert ("purge", 7) in events
    assert (3, "train/loss", pytest.approx(1 / 3)) in events  # the first run's file is still there
    assert (7, "again", 1.0) in events


def test_a_run_from_its_beginning_has_no_old_records(tmp_path):
    write(tmp_path, [1, 2, 3])
    MetricsWriter(tmp_path, resume_step=0).close()
    assert read_metrics(tmp_path) == []


def test_misuse_is_refused(tmp_path):
    with MetricsWriter(tmp_path, resume_step=0) as writer:
        for metrics in ({"step": 1}, {"a": np.ones(3)}, {"a": None}, {"a": "x"}):
            with pytest.raises(ValueError, match=r"step|scalar|convert"):
                writer.write(1, metrics)
        writer.close()
        writer.close()
    assert read_metrics(tmp_path) == []


def test_a_run_that_wrote_nothing_yet(tmp_path):
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        b"a text\n",
        b"a text without a line end",
        b'{"loss": 1}\n',
        b'{"step": 1.5, "loss": 1}\n',
        b'{"step": true}\n',
        b'{"step": 1, "loss": [1]}\n',
        b'{"step": 1, "loss": "high"}\n',
        b'{"step": 1, "loss": false}\n',
        b"[1, 2]\n",
        b'\xff\xfe{"step": 1}\n',
        b'{"step": 1}\n\n',
        b"[" * 100_000 + b"\n",
    ],
)
def test_another_kind_of_file_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.jsonl, line"):
        read_metrics(tmp_path)
    with pytest.raises(InputError):
        MetricsWriter(tmp_path, resume_step=0)
    assert path.read_bytes() == content


def test_every_cut_of_the_last_record_is_readable(tmp_path):
    write(tmp_path, [1, 2])
    path = tmp_path / "metrics.jsonl"
    content = path.read_bytes()
    first, whole = read_metrics(tmp_path)
    start = content.index(b"\n") + 1
    for end in range(start, len(content) + 1):
        for zeros in (0, 5):
            path.write_bytes(content[:end] + b"\0" * zeros)
            expected = [first, whole] if end >= len(content) - (not zeros) else [first]
            assert read_metrics(tmp_path) == expected, (end, zeros)


def test_a_killed_run_loses_nothing_that_was_written(tmp_path):
    body = """
import os, signal, sys
from jaxlm.training.metrics import MetricsWriter
writer = MetricsWriter(sys.argv[1], resume_step=0)
for step in range(1, 26):
    writer.write(step, {"train/loss": 1 / step})
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", body, str(tmp_path)], check=False, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert read_metrics(tmp_path)[-1] == {"step": 25, "train/loss": 1 / 25}
