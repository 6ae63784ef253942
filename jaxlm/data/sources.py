"""Documents from files, folders, globs and named data sets, one at a time."""

from __future__ import annotations

import codecs
import dataclasses
import glob
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from jaxlm.data.documents import Document
from jaxlm.data.formats import READERS, read_file
from jaxlm.errors import InputError


@dataclasses.dataclass
class DocumentCounts:
    """What became of the documents; filled in while they are read."""

    files: int = 0
    ignored_files: int = 0  # in folders: hidden, or of an extension that is not read
    repeated_files: int = 0  # reached a second time, through a link or another argument
    read: int = 0
    empty: int = 0  # nothing but white space
    skipped: int = 0  # unreadable, with on_error="skip"
    duplicates: int = 0
    kept: int = 0


# name, name/config, name:version, with a split in brackets; `tfds:` before it forces this reading.
_NAMED = re.compile(r"(?P<name>[A-Za-z]\w*(/[\w.\-]+)?(:[\w.*]+)?)(\[(?P<split>.+)\])?")
_EXTENSIONS = ", ".join(READERS)


def read_documents(
    corpus: Sequence[str],
    *,
    text_field: str = "text",
    encoding: str = "utf-8",
    on_error: Literal["stop", "skip"] = "stop",
    counts: DocumentCounts | None = None,
    tfds_data_dir: str | Path | None = None,
) -> Iterator[Document]:
    """The documents of `corpus`, streamed in a fixed order.

    Args:
      corpus: files, folders (read recursively), globs, or tensorflow-datasets names such as
        `name/config:version[train]` that are prepared on this machine; `tfds:` before a name says
        that it is no path. A plain text file is one document (of at most 8 million characters,
        a larger one is several); JSON Lines and Parquet hold one in each record.
      text_field: the field or column that holds the text.
      encoding: of text files and JSON Lines. A byte order mark is removed.
      on_error: "skip" leaves out what cannot be read and counts it.
      counts: is filled in while reading.
      tfds_data_dir: where named data sets are prepared; the default is that of the library
        (TFDS_DATA_DIR or ~/tensorflow_datasets).

    Raises:
      InputError: at the call for everything wrong with `corpus` itself; while reading for what a
        file holds, and at the end if there was no text at all.
    """
    counts = DocumentCounts() if counts is None else counts
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise InputError(f"--data.encoding {encoding!r} is no encoding that Python knows") from None
    problems: list[str] = [] if corpus else ["the corpus is empty: give --corpus files or folders"]
    seen: set[str] = set()
    readings: list[Callable[[Callable[[str], None]], Iterator[tuple[str, str, str]]]] = []
    for entry in corpus:
        try:
            if entry.startswith("tfds:") or not _matches(entry):
                readings.append(_named(entry, text_field, tfds_data_dir))
                continue
            for path, source in _files(entry, seen, counts):
                counts.files += 1
                readings.append(_reading(path, source, text_field, encoding))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return _documents(readings, on_error, counts, corpus)


def _documents(readings, on_error, counts, corpus) -> Iterator[Document]:
    def problem(message: str) -> None:
        if on_error == "stop":
            raise InputError(message)
        counts.skipped += 1

    for reading in readings:
        for text, source, identifier in reading(problem):
            counts.read += 1
            if text and not text.isspace():
                yield Document(text, source, identifier)
            else:
                counts.empty += 1
    if counts.read == counts.empty:
        raise InputError(
            f"no text in {', '.join(corpus)}: {counts.files} files, {counts.read} documents, all "
            f"of them empty, {counts.skipped} skipped; give other files with --corpus"
        )


def _reading(path: Path, source: str, text_field: str, encoding: str):
    def reading(problem):
        for text, identifier in read_file(path, text_field, encoding, problem):
            yield text, source, identifier

    return reading


def _files(entry: str, seen: set[str], counts: DocumentCounts) -> Iterator[tuple[Path, str]]:
    """The files that one argument names, each with the name of its source, in sorted order."""
    roots = _matches(entry)
    found = 0
    for root in roots:
        if root.is_dir():
            base = root.resolve().name
            paths = [(p, f"{base}/{p.relative_to(root).as_posix()}") for p in _walk(root, counts)]
        elif _is_read(root):
            paths = [(root, root.name)]
        else:
            raise InputError(
                f"{root}: the extension {root.suffix or '(none)'} is not read, only {_EXTENSIONS}"
            )
        found += len(paths)
        for path, source in paths:
            real = os.path.realpath(path)
            if real in seen:
                counts.repeated_files += 1
            else:
                seen.add(real)
                yield path, source
    if not found:
        raise InputError(
            f"{entry}: no file to read in this folder ({counts.ignored_files} of other kinds); "
            f"the extensions {_EXTENSIONS} are"
        )


def _matches(entry: str) -> list[Path]:
    """The path `entry`, or, where there is none, what it matches as a pattern."""
    if Path(entry).exists():
        return [Path(entry)]
    # Path.glob takes no absolute pattern.
    return [Path(match) for match in sorted(glob.glob(entry, recursive=True))]  # noqa: PTH207


def _walk(root: Path, counts: DocumentCounts) -> Iterator[Path]:
    entered = set()
    for directory, names, files in os.walk(root, followlinks=True):
        real = os.path.realpath(directory)
        if real in entered:  # a link back to where we have been
            names.clear()
            continue
        entered.add(real)
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and _is_read(Path(name)):
                yield Path(directory, name)
            else:
                counts.ignored_files += 1


def _is_read(path: Path) -> bool:
    return path.name.lower().endswith(tuple(READERS))


def _named(entry: str, text_field: str, data_dir: str | Path | None):
    """A reading of a prepared data set, or `InputError` if `entry` is neither that nor a path."""
    match = _NAMED.fullmatch(entry.removeprefix("tfds:"))
    if match is None:
        reason = "is no name of a data set" if entry.startswith("tfds:") else "no such file"
        raise InputError(f"{entry}: {reason}, folder or glob; check --corpus")
    from jaxlm.data.named import read_named  # slow to import, and rarely needed

    return read_named(entry, match["name"], match["split"] or "train", text_field, data_dir)
