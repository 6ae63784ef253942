"""Stopping at any moment and giving the same command again gives the same bits."""

import os
import signal
import subprocess
import sys
import time

import pytest

from jaxlm import cli
from jaxlm.training.checkpoint import load_meta
from jaxlm.training.metrics import read_metrics
from jaxlm.training.progress import TrainingProgress

STEPS = 300


def start(path, arguments):
    """The command in a process of its own, a group of its own."""
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_NUM_CPU_DEVICES": "1"}
    return subprocess.Popen(
        [
            *[sys.executable, "-m", "jaxlm.cli", "train", "--run", str(path), *arguments],
            *["--training.steps", str(STEPS), "--training.checkpoint-every", "25"],
            *["--training.evaluate-every", "100", "--training.sample-every", "100"],
            *["--model.dropout", "0.1"],
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def finish(process):
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in out + err, err
    return process.returncode, out, err


def losses(path):
    return {r["step"]: r["train/loss"] for r in read_metrics(path) if "train/loss" in r}


def heldout(path):
    return {r["step"]: r["heldout/loss"] for r in read_metrics(path) if "heldout/loss" in r}


def wait_for_step(process, path, step):
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if (path / "metrics.jsonl").exists() and max(losses(path), default=0) >= step:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    pytest.fail("the run did not get that far")


@pytest.fixture(scope="module")
def uninterrupted(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("uninterrupted") / "run"
    status, _, err = finish(start(path, small))
    assert status == 0, err
    return path


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_a_stopped_run_continues_bit_for_bit(uninterrupted, small, tmp_path, number, status):
    path = tmp_path / "run"
    process = start(path, small)
    wait_for_step(process, path, 80)  # the first checkpoints are complete by then
    process.send_signal(number)
    returned, _, err = finish(process)
    assert returned == status
    if number != signal.SIGKILL:
        assert "the same command continues" in err
    reached = max(losses(path))
    assert 80 <= reached < STEPS, "the signal came too late to test anything"

    returned, out, err = finish(start(path, small))
    assert returned == 0, err
    assert "continuing after step" in out
    assert losses(path) == losses(uninterrupted)
    assert heldout(path) == heldout(uninterrupted)
    found, expected = (load_meta(p / "checkpoints" / str(STEPS)) for p in (path, uninterrupted))
    assert found["digest"] == expected["digest"]
    for name in ("step_00000100.txt", "step_00000300.txt"):
        assert (path / "samples" / name).read_text() == (
            uninterrupted / "samples" / name
        ).read_text()


def test_an_evaluation_that_a_stop_prevented_is_made_up_for(small, tmp_path, monkeypatch):
    run = tmp_path / "run"
    arguments = ["train", "--run", str(run), *small, "--training.steps", "8"]
    arguments += ["--training.evaluate-every", "4", "--training.sample-every", "4"]
    real = TrainingProgress.update

    def stop_at_four(self, step, **values):
        real(self, step, **values)
        if step == 4:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(TrainingProgress, "update", stop_at_four)
    assert cli.main(arguments) == 75
    assert heldout(run) == {}
    monkeypatch.setattr(TrainingProgress, "update", real)
    # The end of the schedule may change.
    assert cli.main([*arguments, "--optimizer.decay-steps", "9"]) == 0
    assert sorted(heldout(run)) == [4, 8]
    assert len(list((run / "samples").iterdir())) == 2
