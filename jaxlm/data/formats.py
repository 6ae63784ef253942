"""The reader of each format of files, by the extension."""

from __future__ import annotations

import functools
import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import zstandard

from jaxlm.data.compression import PACKED, open_stream
from jaxlm.data.documents import Document
from jaxlm.data.plain_text import LANGUAGES, read_code, read_text
from jaxlm.data.reading import Reading, SourceFile
from jaxlm.data.records import read_json_lines, read_parquet
from jaxlm.data.web_archive import read_html, read_web_archive
from jaxlm.data.wiki import read_wiki

Reader = Callable[[BinaryIO, SourceFile, Reading], Iterator[Document]]
"""Yields the documents of an open file."""

_FORMATS: dict[str, Reader] = {
    ".txt": read_text,
    ".md": read_text,
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".warc": read_web_archive,
    ".wet": read_web_archive,
    ".xml": read_wiki,
    **{e: functools.partial(read_code, language=name) for e, name in LANGUAGES.items()},
}
READERS: dict[str, Reader] = {
    extension + packed: reader for extension, reader in _FORMATS.items() for packed in PACKED
} | {f".json{packed}": read_json_lines for packed in PACKED if packed}
"""The reader of each extension; Parquet, which is no stream, has its own."""
EXTENSIONS = (
    ".txt, .md, .html, .htm, .xhtml, .jsonl, .ndjson, .warc, .wet, .xml (MediaWiki) and source "
    "code such as .py or .c, each also with .gz, .zst or .bz2; .json.gz, .parquet"
)
"""What is read, in words."""


def is_read(name: str) -> bool:
    """Whether files of this name are read."""
    return _extension(name) != ""


def read_file(file: SourceFile, reading: Reading) -> Iterator[Document]:
    """Every document of one file; what is wrong with it is reported to `reading`."""
    extension = _extension(file.path.name)
    try:
        if extension == ".parquet":
            yield from read_parquet(file, reading)
            return
        with open_stream(file.path) as stream:
            yield from READERS[extension](stream, file, reading)
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        _damaged(file, error, reading)
    except OSError as error:
        if error.errno is None:  # of bz2
            _damaged(file, error, reading)
        else:
            reading.problem(
                f"{file.path}: cannot be read ({error.strerror or error})",
                "check it and its rights",
            )


def _damaged(file: SourceFile, error: Exception, reading: Reading) -> None:
    reading.problem(
        f"{file.path}: truncated or damaged compressed file ({error})", "fetch it again"
    )


def _extension(name: str) -> str:
    """The extension that has a reader, or ""."""
    name = name.lower()
    if name.endswith(".parquet"):
        return ".parquet"
    parts = name.split(".")
    for count in (2, 1):
        extension = "." + ".".join(parts[-count:])
        if len(parts) > count and extension in READERS:
            return extension
    return ""
