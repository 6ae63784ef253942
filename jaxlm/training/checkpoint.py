"""Checkpoints through Orbax: asynchronous, atomic, retained by number, verified on reading.

A checkpoint directory holds three items: `params`, `rest` (all other state) and `meta` (the
configuration, the tokenizer's files and a digest of every array), so that it loads with no other
file. This is the only module that knows Orbax.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxlm.errors import DamageError, InputError, JaxlmError
from jaxlm.training.state import TrainState, digest

_ITEMS = ("params", "rest", "meta")


class Checkpointer:
    """Saves and restores `TrainState` under a directory, one subdirectory per step.

    A context manager: a process must not end while a save is under way.

    Args:
      directory: made if missing.
      keep: how many of the newest checkpoints are retained.
      meta: JSON-compatible; stored in every checkpoint. "data" in it identifies the rows.
    """

    def __init__(self, directory: Path, *, keep: int, meta: dict[str, Any]):
        _quiet()
        self._directory = directory.absolute()
        self._meta = meta
        self._digest = jax.jit(digest)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep, create=True, enable_async_checkpointing=True
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options, item_names=_ITEMS)

    def save(self, state: TrainState) -> None:
        """Starts saving; returns when the arrays are copied. Errors surface here or in `wait`."""
        step = int(state.step)
        if step in self._manager.all_steps():
            return
        words = [int(word) for word in np.asarray(self._digest(state))]
        with self._writing():
            self._manager.check_for_errors()
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    params=ocp.args.StandardSave(state.params),
                    rest=ocp.args.StandardSave(_rest(state)),
                    meta=ocp.args.JsonSave({**self._meta, "digest": words}),
                ),
            )

    def restore(self, abstract: TrainState, *, note: Callable[[str], None]) -> TrainState | None:
        """The newest state that verifies, or None if nothing was saved.

        Args:
          abstract: shapes, dtypes and shardings.
          note: is told of every checkpoint that is damaged; those are moved aside.

        Raises:
          DamageError: if there are checkpoints and none of them verifies.
          InputError: if the checkpoint was trained on other data.
        """
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                meta = self._restore(step, meta=ocp.args.JsonRestore())["meta"]
                other = [name for name in ("data", "config") if not self._is_same(name, meta)]
                if not other:
                    restored = self._restore(
                        step,
                        params=ocp.args.StandardRestore(abstract.params),
                        rest=ocp.args.StandardRestore(_rest(abstract)),
                    )
                    state = TrainState(params=restored["params"], **restored["rest"])
                    _verify(self._digest(state), meta["digest"])
                    return state
            except Exception as error:
                reason = _first_line(error)
                note(f"checkpoint {step} is damaged ({reason}); trying the one before")
                self._set_aside(step)
                continue
            raise InputError(
                f"{self._directory.parent}: checkpoint {step} was trained with another "
                f"{other[0]} than {'the rows in data/' if other[0] == 'data' else 'the model'} "
                "now; restore what was there, or start a new run with another --run"
            )
        steps = steps or [path.name for path in self._directory.glob("*.damaged")]
        if steps:
            raise DamageError(
                f"{self._directory}: none of the checkpoints {steps} can be restored; they are "
                "kept as *.damaged. Start a new run with another --run"
            )
        return None

    def wait(self) -> None:
        """Returns when everything is on disk; raises what went wrong with a save."""
        with self._writing():
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    def __enter__(self) -> Checkpointer:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        """Waits and releases Orbax's threads; after an error, without one more."""
        with contextlib.suppress(*([] if error is None else [Exception])), self._writing():
            self._manager.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """Storage errors reach us as many types; all mean that a checkpoint is missing."""
        try:
            yield
        except Exception as error:
            raise JaxlmError(
                f"{self._directory}: a checkpoint could not be written ({_first_line(error)}); "
                "make room or check the permissions, then give the same command again: it "
                "continues from the last complete checkpoint"
            ) from error

    def _is_same(self, name: str, meta: dict[str, Any]) -> bool:
        old, new = meta[name], self._meta[name]
        return old["model"] == new["model"] if name == "config" else old == new

    def _restore(self, step: int, **items: Any) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**items))

    def _set_aside(self, step: int) -> None:
        path = self._directory / str(step)
        aside = self._directory / f"{step}.damaged"
        shutil.rmtree(aside, ignore_errors=True)
        path.rename(aside)
        self._manager.reload()


def encode_files(files: dict[str, bytes]) -> dict[str, str]:
    """File contents as JSON-compatible text."""
    return {name: base64.b64encode(content).decode() for name, content in files.items()}


def decode_files(files: dict[str, str]) -> dict[str, bytes]:
    """The inverse of `encode_files`."""
    return {name: base64.b64decode(content) for name, content in files.items()}


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint that a path means: itself, or the newest of a run or checkpoint directory.

    Raises:
      InputError: if there is none.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"{path}: no such directory; give a run directory or a checkpoint in it")
    if (path / "meta").is_dir() and (path / "params").is_dir():
        return path
    parent = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    steps = [
        int(p.name)
        for p in parent.iterdir()
        if re.fullmatch(r"\d+", p.name) and (p / "meta").is_dir()
    ]
    if not steps:
        raise InputError(
            f"{path}: holds no checkpoint; give a run directory (the --run of jaxlm train) after "
            "its first checkpoint"
        )
    return parent / str(max(steps))


def load_meta(checkpoint: Path) -> dict[str, Any]:
    """The `meta` item of a checkpoint.

    Raises:
      DamageError: if it cannot be read.
    """
    _quiet()
    try:
        return ocp.Checkpointer(ocp.JsonCheckpointHandler()).restore(checkpoint.absolute() / "meta")
    except Exception as error:
        raise DamageError(f"{checkpoint}: cannot read meta: {_first_line(error)}") from error


def load_params(checkpoint: Path, abstract: Any, words: list[int]) -> Any:
    """The parameters of a checkpoint, verified against its digest.

    Args:
      checkpoint: from `find_checkpoint`.
      abstract: tree of `jax.ShapeDtypeStruct` with shardings.
      words: the "digest" of its `meta`.

    Raises:
      DamageError: if they cannot be read or differ from what was written.
    """
    _quiet()
    try:
        params = ocp.StandardCheckpointer().restore(checkpoint.absolute() / "params", abstract)
        first = TrainState._fields.index("params")  # after as many scalars
        _verify(jax.jit(digest)(params), words[first : first + len(jax.tree.leaves(params))])
    except Exception as error:
        raise DamageError(
            f"{checkpoint}: the parameters are damaged ({_first_line(error)}); an older "
            "checkpoint lies beside it"
        ) from error
    return params


def _rest(state: TrainState) -> dict[str, Any]:
    rest = state._asdict()
    del rest["params"]
    return rest


def _verify(found: jax.Array, expected: list[int]) -> None:
    if [int(word) for word in np.asarray(found)] != list(expected):
        raise DamageError("stored arrays differ from what was written")


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def _quiet() -> None:
    """Orbax logs every file it touches, and errors that we report ourselves, with tracebacks."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
