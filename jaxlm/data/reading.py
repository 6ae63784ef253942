"""What all readers of documents share: their settings, their account, and how they report."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from jaxlm.errors import InputError
from jaxlm.files import printable

_PROBLEMS = 5  # messages that are kept


@dataclasses.dataclass(frozen=True)
class OptionNames:
    """How the caller's users set what a message advises; by default as arguments in Python."""

    corpus: str = "corpus"
    text_field: str = "text_field"
    encoding: str = "encoding"
    skip: str = 'with on_error="skip"'


@dataclasses.dataclass(frozen=True)
class ReadSettings:
    """How documents are read.

    Attributes:
      text_field: the field or column of JSON Lines, Parquet and named data sets with the text.
      encoding: of text, code and JSON Lines, or "auto" to find it out for each file. Web pages
        and XML say theirs themselves.
      on_error: "skip" leaves out what cannot be read and counts it; "stop" raises.
      max_bytes: of one record (a line of JSON, a page); longer ones are problems. Long text files
        are divided instead.
      tfds_data_dir: where named data sets are prepared; the default is that of the library
        (TFDS_DATA_DIR or ~/tensorflow_datasets).
      options: how messages call these settings.
    """

    text_field: str = "text"
    encoding: str = "utf-8"
    on_error: Literal["stop", "skip"] = "stop"
    max_bytes: int = 32 << 20
    tfds_data_dir: str | None = None
    options: OptionNames = OptionNames()

    def __post_init__(self) -> None:
        try:
            if self.encoding != "auto":
                "a".encode(self.encoding)
        except (LookupError, UnicodeError):
            raise InputError(
                f"{self.options.encoding} {self.encoding!r} is no encoding that Python knows; "
                "'auto' finds it out for each file"
            ) from None


@dataclasses.dataclass
class DocumentCounts:
    """What became of the documents; filled in while they are read."""

    files: int = 0
    ignored_files: int = 0  # in folders: hidden, special, or of an extension that is not read
    repeated_files: int = 0  # reached a second time, through a link or another argument
    read: int = 0
    empty: int = 0  # nothing but white space
    skipped: int = 0  # unreadable, with on_error="skip"
    duplicates: int = 0
    kept: int = 0
    # Records that are no documents ("redirect"), and encodings other than UTF-8, by name.
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)
    encodings: dict[str, int] = dataclasses.field(default_factory=dict)
    problems: list[str] = dataclasses.field(default_factory=list)  # the first five skipped


@dataclasses.dataclass(frozen=True)
class SourceFile:
    """A file to read, and the name of its documents' source."""

    path: Path
    source: str


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a reader is given: how to read, and where to report."""

    settings: ReadSettings
    counts: DocumentCounts

    def problem(self, message: str, way_out: str) -> None:
        """Raises `InputError`, or counts a file or record that is skipped, and returns."""
        if self.settings.on_error == "stop":
            raise InputError(
                f"{message}; {way_out}, or leave such files and records out "
                f"{self.settings.options.skip}"
            )
        self.counts.skipped += 1
        if len(self.counts.problems) < _PROBLEMS:
            self.counts.problems.append(printable(message))

    def left_out(self, reason: str) -> None:
        """Counts a record that is well-formed and no document."""
        self.counts.left_out[reason] = self.counts.left_out.get(reason, 0) + 1

    def decoded(self, encoding: str) -> None:
        """Counts a document that was not in UTF-8."""
        self.counts.encodings[encoding] = self.counts.encodings.get(encoding, 0) + 1

    def decoding_problem(self, where: object, error: UnicodeDecodeError, offset: int) -> None:
        """The problem of bytes that are not in the encoding of the settings."""
        name = self.settings.encoding
        self.problem(
            f"{where}: not {name} at byte {offset}",
            f"name its encoding, or auto, with {self.settings.options.encoding}",
        )

    def binary_problem(self, where: object) -> None:
        """The problem of NUL bytes."""
        self.problem(f"{where}: binary, it holds NUL bytes; only text is read", "remove it")

    def length_problem(self, where: object) -> None:
        """The problem of a record that is too long to be held in memory."""
        self.problem(f"{where}: longer than {self.settings.max_bytes:,} bytes", "divide it")
