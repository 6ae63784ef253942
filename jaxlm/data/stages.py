"""A stage of the data line: the same function over many units of work, each finished or absent.

A stage writes one directory. Every unit gets a folder in it, which appears whole (temporary name,
fsync, rename) with a `unit.json` that holds the digests of its files; `manifest.json` is written
when all units are there. A stage that was killed goes on with the units that are missing, on any
number of processes and machines: nothing is lost and nothing is done twice.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from jaxlm.errors import DamageError, InputError, JaxlmError
from jaxlm.files import directory_atomic, try_lock, write_atomic

MANIFEST = "manifest.json"
UNIT = "unit.json"
_STAGE = "stage.json"
_FORMAT = 1
_EXAMPLES = 5

Unit = Mapping[str, Any]
"""What one call works on, as JSON values: which files or which shard of the stage before.

`documents`, the path of such a shard, does not belong to its identity: its size and digest do.
"""
Work = Callable[[Unit, Path], dict[str, Any]]
"""Writes the files of one unit into a directory and returns its statistics (JSON values).

A function of a module (or a `functools.partial` of one), so that other processes can call it; its
result depends on the unit and the bound arguments alone.
"""
Task = tuple[int, Unit, str]
"""The number of a unit, the unit, and the digest of its identity."""
Engine = Callable[[Callable[[Task], Any], Sequence[Task]], Iterable[Any]]
"""Calls a function for every task, somewhere and in any order, and yields what it returns."""
Progress = Callable[[str, int, int | None], None]
"""Called with the name of the stage, what is done of it, and of how much (if it is known)."""


def in_process(function: Callable[[Task], Any], tasks: Sequence[Task]) -> Iterator[Any]:
    """The engine that does one unit after the other, here."""
    return map(function, tasks)


def processes(workers: int) -> Engine:
    """An engine of `workers` processes on this machine (1: in this process).

    Raises:
      InputError: fewer than one worker.
    """
    if workers < 1:
        raise InputError(f"--workers {workers}: at least 1 is needed")
    return in_process if workers == 1 else functools.partial(_pool, workers)


def run_stage(
    directory: str | Path,
    units: Sequence[Unit],
    work: Work,
    *,
    stage: str,
    settings: Mapping[str, Any],
    engine: Engine = in_process,
    part: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
    extra: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
) -> dict[str, Any] | None:
    """Does all units that are not done yet and writes the manifest when none is missing.

    Args:
      directory: of the results; unit i goes to the folder `00000` + i.
      units: the work, in the order of the result.
      work: does one unit.
      stage: its name, for the manifest.
      settings: JSON values that, with the units, determine the result.
      engine: where units are done.
      part: (i, n) does only every n-th unit from the i-th on; the part that finds every unit
        finished writes the manifest.
      progress: told the number of finished units.
      extra: more entries of the manifest, from the merged statistics.

    Returns:
      The manifest: "stage", "settings", "statistics" (merged), "shards" (name, files with size and
      digest, statistics); None while other parts are not finished.

    Raises:
      InputError: no units, an impossible part, or a directory of another stage or settings.
      JaxlmError: another process is at work on the directory, or it cannot be written.
    """
    directory = Path(directory)
    index, count = part
    if not 0 <= index < count:
        raise InputError(f"--shard {index}/{count}: give i/n with 0 <= i < n")
    if not units:
        raise InputError(f"nothing to {stage}: no input was found")
    units, settings = json.loads(json.dumps([list(units), dict(settings)]))
    identity = {"format": _FORMAT, "stage": stage, "settings": settings}
    claim(directory, {**identity, "units": len(units)})
    with _locked(directory, shared=count > 1):
        return _run(directory, units, identity, work, engine, part, progress, extra)


def _run(
    directory: Path,
    units: Sequence[Unit],
    identity: Mapping[str, Any],
    work: Work,
    engine: Engine,
    part: tuple[int, int],
    progress: Progress | None,
    extra: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None,
) -> dict[str, Any] | None:
    stage, (index, count) = identity["stage"], part
    keys = [_key(identity, unit) for unit in units]
    one = functools.partial(_do_unit, directory, work)
    mine = range(index, len(units), count)
    missing = [
        (number, units[number], keys[number])
        for number in mine
        if _finished(directory, number, keys[number]) is None
    ]
    report = progress or (lambda stage, done, total: None)
    done = len(mine) - len(missing)
    report(stage, done, len(mine))
    for _ in engine(one, missing):
        done += 1
        report(stage, done, len(mine))
    shards = []
    for number, key in enumerate(keys):
        finished = _finished(directory, number, key)
        if finished is None:
            return None
        shards.append({"name": unit_name(number), **finished})
    statistics = merge(shard["statistics"] for shard in shards)
    manifest = {**identity, "statistics": statistics, "shards": shards}
    if extra is not None:
        manifest |= extra(statistics)
    write_atomic(directory / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")
    return manifest


def claim(directory: Path, identity: Mapping[str, Any]) -> None:
    """Makes `directory` one of this identity, so that no other settings are ever mixed in.

    Raises:
      InputError: it was begun with another identity, or holds other things.
    """
    path = directory / _STAGE
    content = json.dumps(identity, indent=1, ensure_ascii=False) + "\n"
    # Before the file is sought: another part may write it now.
    taken = directory.exists() and (
        not directory.is_dir()
        or any(not p.name.startswith(f".{_STAGE}") for p in directory.iterdir())
    )
    if path.is_file():
        found = path.read_text(encoding="utf-8")
        if found != content:
            raise InputError(
                f"{directory} was begun with {_difference(found, content)}; choose another "
                "directory, or delete it"
            )
        return
    if taken:
        raise InputError(f"{directory} exists and holds other things; choose another directory")
    directory.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)


def unit_name(number: int) -> str:
    """The folder of a unit."""
    return f"{number:05d}"


def read_manifest(directory: str | Path, *, verify: bool = False) -> dict[str, Any]:
    """The manifest of a finished stage; sizes are always checked, digests if `verify`.

    Raises:
      InputError: there is no finished stage.
      DamageError: a file is missing or differs from what was written.
    """
    directory = Path(directory)
    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{directory} is no finished stage of the data line (no {MANIFEST}); give the command "
            "that writes it again, it goes on where it stopped"
        )
    try:
        manifest = json.loads(path.read_bytes())
        if "train" in manifest and "stage" not in manifest:
            raise InputError(
                f"{directory} is no stage of the data line but prepared data, whose tokens are the "
                f"stage {directory / 'tokens'}"
            )
        shards = [(s["name"], dict(s["files"])) for s in manifest["shards"]]
        known = manifest["format"] == _FORMAT and isinstance(manifest["statistics"], dict)
    except (ValueError, KeyError, TypeError):
        raise DamageError(f"{path} cannot be read; delete {directory} and make it again") from None
    if not known:
        raise InputError(f"{path}: format {manifest['format']!r} is not {_FORMAT}; make it again")
    for name, files in shards:
        for file, about in files.items():
            check_file(directory / name / file, about, verify=verify)
    return manifest


def check_file(path: Path, about: Mapping[str, Any], *, verify: bool) -> None:
    """Raises `DamageError` unless `path` has the "size" and, if `verify`, the "blake2b" given."""
    found = path.stat().st_size if path.is_file() else None
    if found != about["size"]:
        raise DamageError(
            f"{path} is damaged: {'missing' if found is None else f'{found} bytes'} instead of "
            f"{about['size']} bytes; delete its folder and give the command again"
        )
    if verify and file_digest(path) != about["blake2b"]:
        raise DamageError(
            f"{path} is damaged: its checksum differs; delete its folder and give the command again"
        )


def merge(statistics: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Adds up statistics: numbers are added, dictionaries merged, lists of examples joined.

    Of a list at most five entries are kept; of anything else the first value.
    """
    result: dict[str, Any] = {}
    for one in statistics:
        for name, value in one.items():
            if name not in result:
                result[name] = merge([value]) if isinstance(value, Mapping) else value
            elif isinstance(value, Mapping):
                result[name] = merge([result[name], value])
            elif isinstance(value, list):
                result[name] = [*result[name], *value][:_EXAMPLES]
            elif isinstance(value, int | float) and not isinstance(value, bool):
                result[name] += value
    return result


def file_digest(path: Path) -> str:
    """The BLAKE2b of a file, 16 bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@contextlib.contextmanager
def _locked(directory: Path, *, shared: bool) -> Iterator[None]:
    """Keeps a second process out, which would replace files while they are read."""
    with (directory / _STAGE).open("rb") as file:
        free = True
        with contextlib.suppress(OSError):  # a file system without locks
            free = try_lock(file, shared=shared)
        if not free:
            raise JaxlmError(
                f"another process is at work on {directory}; wait until it is finished, or divide "
                "the work between both with --shard"
            )
        yield


def _difference(found: str, content: str) -> str:
    try:
        before, now = _flat(json.loads(found)), _flat(json.loads(content))
    except ValueError:
        return "a stage.json that cannot be read"
    names = [n for n in sorted(before.keys() | now.keys()) if before.get(n) != now.get(n)]
    if "stage" in names:
        names = ["stage"]
    return "; ".join(
        f"{name.removeprefix('settings.')} {before.get(name)!r}, not {now.get(name)!r}"
        for name in names[:5]
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            result |= _flat(value, f"{prefix}{name}.")
        else:
            result[prefix + name] = value
    return result


def _key(identity: Mapping[str, Any], unit: Unit) -> str:
    own = {name: value for name, value in unit.items() if name != "documents"}
    return hashlib.blake2b(json.dumps([identity, own]).encode(), digest_size=16).hexdigest()


def _finished(directory: Path, number: int, key: str) -> dict[str, Any] | None:
    """The files and statistics of a unit, or None if it is not finished."""
    path = directory / unit_name(number) / UNIT
    try:
        about = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        raise DamageError(
            f"{path} cannot be read; delete its folder and give the command again"
        ) from None
    if about.get("key") != key:
        raise InputError(
            f"{path.parent} was made from other input than it would be now; restore the input, or "
            f"delete {directory} and start again"
        )
    for name, file in about["files"].items():
        check_file(path.parent / name, file, verify=False)
    return {"files": about["files"], "statistics": about["statistics"]}


def _do_unit(directory: Path, work: Work, task: Task) -> int:
    number, unit, key = task
    folder = directory / unit_name(number)
    try:
        with directory_atomic(folder) as temporary:
            statistics = work(unit, temporary)
            files = {
                path.relative_to(temporary).as_posix(): {
                    "size": path.stat().st_size,
                    "blake2b": file_digest(path),
                }
                for path in sorted(temporary.rglob("*"))
                if path.is_file()
            }
            about = {"key": key, "files": files, "statistics": statistics}
            (temporary / UNIT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise JaxlmError(
            f"{folder} cannot be written ({error.strerror or error}); what is finished is kept: "
            "make room, then give the same command again to continue"
        ) from None
    return number


def _pool(workers: int, function: Callable[[Task], Any], tasks: Sequence[Task]) -> Iterator[Any]:
    if not tasks:
        return
    # Never fork: this process may run JAX, whose threads do not survive it.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(
        min(workers, len(tasks)), context, initializer=_worker, initargs=(os.getpid(),)
    )
    try:
        pending = {pool.submit(function, task) for task in tasks}
        while pending:
            finished, pending = wait(pending, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool:
        raise JaxlmError(
            "a worker process died (out of memory?); what is finished is kept: give the same "
            "command again to continue, with fewer --workers"
        ) from None
    finally:
        for process in (pool._processes or {}).values():
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _worker(parent: int) -> None:
    """Workers are stopped by their parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
