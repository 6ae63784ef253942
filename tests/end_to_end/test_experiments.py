"""The experiments come to the results that they state."""

import subprocess
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parent.parent.parent / "experiments"


def run(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_tinyshakespeare_reaches_the_published_loss(shared):
    text = shared / "data" / "corpora" / "tinyshakespeare" / "input.txt"
    result = run(EXPERIMENTS / "tinyshakespeare.py", text, "--seeds", "0")
    assert result.returncode == 0, result.stderr
    loss = float(result.stdout.split("mean of 1 seeds: ")[1].split()[0])
    assert 1.70 < loss < 1.85  # nanoGPT publishes 1.88; seeds 0, 1, 2 gave 1.769 to 1.788


@pytest.mark.parametrize("name", ["missing.txt", "short.txt"])
def test_tinyshakespeare_refuses_what_it_cannot_use(tmp_path, name):
    (tmp_path / "short.txt").write_text("to be")
    result = run(EXPERIMENTS / "tinyshakespeare.py", tmp_path / name)
    assert result.returncode == 2
    assert name in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_minimal_trains_and_writes():
    result = run(EXPERIMENTS / "minimal.py", "--steps", "60")
    assert result.returncode == 0, result.stderr
    assert "held-out loss" in result.stdout
