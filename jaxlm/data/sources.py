"""Documents from files, folders, globs, named data sets and the embedded corpus, one at a time."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jaxlm.data.corpus import embedded_documents
from jaxlm.data.documents import Document
from jaxlm.data.formats import EXTENSIONS, is_read, read_file
from jaxlm.data.named import open_named
from jaxlm.data.reading import DocumentCounts, OptionNames, Reading, ReadSettings, SourceFile
from jaxlm.errors import InputError
from jaxlm.files import printable

__all__ = ["DocumentCounts", "OptionNames", "find_inputs", "read_documents", "read_inputs"]

EMBEDDED = "embedded"
"""The name of the corpus that comes with Python."""
Input = Mapping[str, Any]
"""What can be read, as JSON values: a file (`path`, `source`, `size`), `named`, or `embedded`."""


def read_documents(
    corpus: Sequence[str],
    *,
    text_field: str = "text",
    encoding: str = "utf-8",
    on_error: Literal["stop", "skip"] = "stop",
    counts: DocumentCounts | None = None,
    tfds_data_dir: str | Path | None = None,
    options: OptionNames | None = None,
) -> Iterator[Document]:
    """The documents of `corpus`, streamed in a fixed order.

    A text file is one document (of about 8 million bytes at most, a larger one is several), as is
    a web page (unchanged, marked "format": "html") or a file of source code; JSON Lines, Parquet,
    web archives and dumps of MediaWiki hold many. Memory grows with the number of files only.

    Args:
      corpus: files, folders (read recursively), globs, "embedded" for the text that comes with
        Python, or tensorflow-datasets names such as `name/config:version[train]` that are prepared
        on this machine; `tfds:` before a name says that it is no path.
      text_field: the field or column that holds the text.
      encoding: of text, code and JSON Lines, or "auto". A byte order mark is removed.
      on_error: "skip" leaves out what cannot be read and counts it.
      counts: is filled in while reading.
      tfds_data_dir: where named data sets are prepared; the default is that of the library
        (TFDS_DATA_DIR or ~/tensorflow_datasets).
      options: how messages call these arguments.

    Raises:
      InputError: at the call for everything wrong with `corpus` itself; while reading for what a
        file holds, and at the end if there was no text at all.
    """
    settings = ReadSettings(
        text_field=text_field,
        encoding=encoding,
        on_error=on_error,
        tfds_data_dir=None if tfds_data_dir is None else str(tfds_data_dir),
        options=options or OptionNames(),
    )
    reading = Reading(settings, DocumentCounts() if counts is None else counts)
    inputs = find_inputs(corpus, reading)
    return _documents(inputs, reading, corpus)


def find_inputs(corpus: Sequence[str], reading: Reading) -> list[Input]:
    """What `corpus` names, in a fixed order, each file once.

    Raises:
      InputError: for everything that is wrong with it, all at once.
    """
    name = reading.settings.options.corpus
    problems = [] if corpus else [f"the corpus is empty: give {name} files or folders"]
    seen: set[str] = set()
    inputs: list[Input] = []
    for entry in corpus:
        try:
            if not entry:
                raise InputError(f"{name}: one entry is empty; name a file or a folder, such as .")
            if not entry.startswith("tfds:") and (roots := _matches(entry)):
                inputs += _files(entry, roots, seen, reading)
            elif entry == EMBEDDED:
                embedded_documents()
                inputs.append({"embedded": True})
            else:
                open_named(entry, reading.settings)
                inputs.append({"named": entry})
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return inputs


def read_inputs(inputs: Iterable[Input], reading: Reading) -> Iterator[Document]:
    """The documents of `inputs` that hold more than white space; `reading.counts` is filled in."""
    counts = reading.counts
    for one in inputs:
        for document in _read(one, reading):
            counts.read += 1
            if document.text and not document.text.isspace():
                yield document
            else:
                counts.empty += 1


def _read(one: Input, reading: Reading) -> Iterator[Document]:
    if "embedded" in one:
        return embedded_documents()
    if "named" in one:
        return open_named(one["named"], reading.settings)(reading)
    reading.counts.files += 1
    return read_file(SourceFile(Path(one["path"]), one["source"]), reading)


def _documents(
    inputs: Sequence[Input], reading: Reading, corpus: Sequence[str]
) -> Iterator[Document]:
    yield from read_inputs(inputs, reading)
    counts = reading.counts
    if counts.read == counts.empty:
        raise no_text(corpus, counts, reading.settings.options)


def no_text(corpus: Sequence[str], counts: DocumentCounts, options: OptionNames) -> InputError:
    """The error of a corpus without any text."""
    return InputError(
        f"no text in {', '.join(corpus)}: {counts.files} files, {counts.read} documents, all of "
        f"them empty, {counts.skipped} skipped; give other files with {options.corpus}"
    )


def _files(entry: str, roots: list[Path], seen: set[str], reading: Reading) -> list[Input]:
    """The files of one argument, in sorted order; those seen before are counted."""
    counts = reading.counts
    found = 0
    inputs: list[Input] = []
    for root in roots:
        if root.is_dir():
            base = root.resolve().name
            paths = [(p, f"{base}/{p.relative_to(root).as_posix()}") for p in _walk(root, reading)]
        elif not is_read(root.name):
            raise InputError(
                f"{root}: the extension {root.suffix or '(none)'} is not read, only {EXTENSIONS}"
            )
        elif not root.is_file():
            raise InputError(f"{root}: no regular file; give a file or a folder")
        else:
            paths = [(root, root.name)]
        found += len(paths)
        for path, source in paths:
            real = os.path.realpath(path)
            if real in seen:
                counts.repeated_files += 1
                continue
            seen.add(real)
            try:
                size = path.stat().st_size
            except OSError:  # reading it will tell
                size = 0
            inputs.append({"path": str(path), "source": printable(source), "size": size})
    if not found:
        raise InputError(
            f"{entry}: no file to read in this folder ({counts.ignored_files} of other kinds); "
            f"what is read: {EXTENSIONS}"
        )
    return inputs


def _matches(entry: str) -> list[Path]:
    """The path `entry`, or, where there is none, what it matches as a pattern."""
    if Path(entry).exists():
        return [Path(entry)]
    # Path.glob takes no absolute pattern.
    return [Path(match) for match in sorted(glob.glob(entry, recursive=True))]  # noqa: PTH207


def _walk(root: Path, reading: Reading) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        reading.problem(
            f"{error.filename}: this folder cannot be read ({error.strerror})", "check its rights"
        )

    entered = set()
    for directory, names, files in os.walk(root, followlinks=True, onerror=unreadable):
        real = os.path.realpath(directory)
        if real in entered:  # a link back to where we have been
            names.clear()
            continue
        entered.add(real)
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            path = Path(directory, name)
            if not name.startswith(".") and is_read(name) and not _is_special(path):
                yield path
            else:
                reading.counts.ignored_files += 1


def _is_special(path: Path) -> bool:
    """Whether this is a pipe, a socket or a device, which could be waited for without end."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False  # a link to nothing: reading it will tell
