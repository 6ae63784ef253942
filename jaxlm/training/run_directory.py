"""The run directory: the unit of work that a command starts, continues and reports on."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxlm.errors import InputError, JaxlmError
from jaxlm.files import try_lock, write_atomic
from jaxlm.training.config import RunConfig
from jaxlm.training.config_file import differences, from_dict, read_yaml, to_dict, to_yaml
from jaxlm.training.metrics import FILE_NAME, read_metrics

CONFIG = "config.yaml"

# What makes a run the run that it is; every other field may change when it continues.
_IDENTITY = ("corpus", "seed", "data", "model", "optimizer")
# Tokenizers with exactly the vocabulary that is asked for; that of others comes from the text, and
# what was asked is compared where the data are prepared.
_AS_ASKED = ("bpe", "unigram", "byte_bpe")
_ENTRIES = {
    CONFIG, "data", "tokenizer", "checkpoints", "metrics.jsonl", "tensorboard", "samples",
    "report.html", "environment.json", "summary.json",
}  # fmt: skip


class RunDirectory:
    """Paths and files of one run.

    Attributes:
      path: the directory.
      data, tokenizer, checkpoints, samples: directories in it.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.data = self.path / "data"
        self.tokenizer = self.path / "tokenizer"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"

    @property
    def exists(self) -> bool:
        """Whether a run has been started here."""
        return (self.path / CONFIG).is_file()

    def problems(self) -> list[str]:
        """Why nothing can be written here, if so."""
        if self.path.exists() and not self.path.is_dir():
            return [f"--run {self.path}: is a file; choose another directory"]
        if self.path.is_dir():
            foreign = sorted(
                p.name
                for p in self.path.iterdir()
                if p.name not in _ENTRIES and not p.name.startswith(".")
            )
            if foreign and not self.exists:
                return [
                    f"--run {self.path}: is not a run directory (it holds {foreign[0]}); choose "
                    "another, or an empty one"
                ]
        nearest = next(p for p in (self.path, *self.path.absolute().parents) if p.exists())
        if not os.access(nearest, os.W_OK | os.X_OK):
            return [f"--run {self.path}: {nearest} is read-only; choose a directory you may write"]
        return []

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training in the same directory; ends with the process.

        Raises:
          JaxlmError: if another process does.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("w") as file:
            if not try_lock(file):
                raise JaxlmError(
                    f"--run {self.path}: another process is training there; wait for it, stop it, "
                    "or choose another directory"
                )
            try:
                yield
            finally:
                if [path.name for path in self.path.iterdir()] == [".lock"]:
                    (self.path / ".lock").unlink()  # nothing came of it: leave no trace
                    self.path.rmdir()

    def continued(self, asked: RunConfig) -> RunConfig:
        """The configuration to go on with: identity as saved, all else as asked for.

        Raises:
          InputError: if an identity field differs, with every difference.
        """
        saved, problems = from_dict(
            read_yaml(self.path / CONFIG), RunConfig(), where=str(self.path / CONFIG)
        )
        if problems:
            raise InputError(problems)
        if asked.optimizer.decay_steps is None:
            asked = _replaced(asked, "optimizer", decay_steps=saved.optimizer.decay_steps)
        compared = asked
        if asked.data.prepared or asked.data.tokenizer not in _AS_ASKED:
            compared = _replaced(asked, "model", vocab_size=saved.model.vocab_size)
        different = differences(_identity(saved), _identity(compared))
        if different:
            raise InputError(
                [
                    f"{self.path} holds a run of another configuration; use another --run, or "
                    "change these back:",
                    *[f"  {line}" for line in different],
                ]
            )
        return asked

    def write_config(self, config: RunConfig) -> None:
        """Saves the resolved configuration."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path / CONFIG, to_yaml(config))

    def write_json(self, name: str, content: Any) -> None:
        """Writes `content` as a JSON file of the run."""
        write_atomic(self.path / name, json.dumps(content, indent=2) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON file of the run; empty if it is missing or damaged."""
        try:
            content = json.loads((self.path / name).read_bytes())
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def recorded(self, step: int) -> set[str]:
        """Which of "evaluate" and "sample" were done at a step."""
        found = set()
        if (self.path / FILE_NAME).is_file():
            for record in read_metrics(self.path):
                if record["step"] == step and any(k.startswith("heldout/") for k in record):
                    found.add("evaluate")
        if self._sample(step).is_file():
            found.add("sample")
        return found

    def _sample(self, step: int) -> Path:
        return self.samples / f"step_{step:08d}.txt"

    def write_sample(self, step: int, text: str) -> None:
        """Writes the samples of a step."""
        self.samples.mkdir(exist_ok=True)
        write_atomic(self._sample(step), text)

    def remove_samples_after(self, step: int) -> None:
        """Removes what a resumed run will write again."""
        for path in self.samples.glob("step_*.txt"):
            digits = path.stem.removeprefix("step_")
            if digits.isdigit() and int(digits) > step:
                path.unlink()


def _identity(config: RunConfig) -> dict[str, Any]:
    fields = {name: value for name, value in to_dict(config).items() if name in _IDENTITY}
    del fields["optimizer"]["decay_steps"]  # with the number of steps
    return {**fields, "training.batch_size": config.training.batch_size}


def _replaced(config: RunConfig, section: str, **changes: Any) -> RunConfig:
    part = dataclasses.replace(getattr(config, section), **changes)
    return dataclasses.replace(config, **{section: part})
