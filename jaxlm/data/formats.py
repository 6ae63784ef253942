"""One reader for each file format: plain text, JSON Lines, Parquet, compressed or not."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from jaxlm.data.compression import open_stream
from jaxlm.errors import InputError
from jaxlm.tokenizers.base import check_encodable

# Takes the message of a problem: raises it, or counts it and returns to go on without the record.
Problem = Callable[[str], None]
_BLOCK = 8_000_000  # bytes of a plain text file that are held at once
_SKIP = "or leave such files and records out with --data.on-error skip"


def read_file(
    path: Path, text_field: str, encoding: str, problem: Problem
) -> Iterator[tuple[str, str]]:
    """Yields (text, identifier) of every document of one file."""
    name = path.name.lower()
    reader = next(reader for extension, reader in READERS.items() if name.endswith(extension))
    try:
        if reader is _read_parquet:
            yield from _read_parquet(path, text_field, problem)
            return
        with open_stream(path) as stream:
            if reader is _read_text:
                yield from _read_text(stream, path, encoding, problem)
            else:
                yield from _read_json_lines(stream, path, text_field, encoding, problem)
    except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
        problem(f"{path}: truncated or damaged compressed file ({error}); fetch it again, {_SKIP}")
    except OSError as error:
        problem(f"{path}: cannot be read ({error.strerror or error}); {_SKIP}")


def _read_text(
    stream: BinaryIO, path: Path, encoding: str, problem: Problem
) -> Iterator[tuple[str, str]]:
    decoder = codecs.getincrementaldecoder(encoding)()
    rest, offset, number = "", 0, 0
    while True:
        block = stream.read(_BLOCK)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            problem(_decoding_problem(path, encoding, offset - pending + error.start, block))
            return
        if "\0" in text:
            problem(_binary_problem(path))
            return
        text = rest + (text.removeprefix("\ufeff") if offset == 0 else text)
        offset += len(block)
        if not block:
            if text or not number:
                yield text, f"#{number}" if number else ""
            return
        # A file that goes on is divided after its last paragraph, or else its last line.
        end = text.rfind("\n\n") + 2 if "\n\n" in text else text.rfind("\n") + 1
        if len(block) < _BLOCK or not end:
            rest = text
            continue
        yield text[:end], f"#{number}"
        rest, number = text[end:], number + 1


def _read_json_lines(
    stream: BinaryIO, path: Path, text_field: str, encoding: str, problem: Problem
) -> Iterator[tuple[str, str]]:
    offset = 0
    for number, line in enumerate(stream, 1):
        where = f"{path}, line {number}"
        start, offset = offset, offset + len(line)
        try:
            decoded = line.decode(encoding)
        except UnicodeDecodeError as error:
            problem(_decoding_problem(where, encoding, start + error.start, line))
            continue
        if number == 1:
            decoded = decoded.removeprefix("\ufeff")
        if not decoded.strip():
            continue
        if "\0" in decoded:
            problem(_binary_problem(where))
            continue
        try:
            record = json.loads(decoded)
        except (ValueError, RecursionError) as error:
            problem(f"{where} (byte {start}): invalid JSON ({error}); repair it, {_SKIP}")
            continue
        if not isinstance(record, dict) or text_field not in record:
            fields = ", ".join(map(str, record)) if isinstance(record, dict) else "no fields at all"
            problem(
                f"{where}: no field {text_field!r}, it has {fields}; set --data.text-field, {_SKIP}"
            )
            continue
        text = record[text_field]
        if not isinstance(text, str):
            problem(
                f"{where}: field {text_field!r} is no text but {type(text).__name__}; set "
                f"--data.text-field, {_SKIP}"
            )
            continue
        try:
            check_encodable(text)
        except InputError as error:
            problem(f"{where}: {error}; {_SKIP}")
            continue
        yield text, str(number)


def _read_parquet(path: Path, text_field: str, problem: Problem) -> Iterator[tuple[str, str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as file:
            schema = file.schema_arrow
            if text_field not in schema.names:
                problem(
                    f"{path}: no column {text_field!r}, it has {', '.join(schema.names)}; set "
                    f"--data.text-field, {_SKIP}"
                )
                return
            kind = schema.field(text_field).type
            if isinstance(kind, pyarrow.DictionaryType):
                kind = kind.value_type
            if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind)):
                problem(
                    f"{path}: column {text_field!r} is no text but {kind}; set "
                    f"--data.text-field, {_SKIP}"
                )
                return
            number = 0
            for batch in file.iter_batches(batch_size=256, columns=[text_field]):
                for value in batch.column(0):
                    yield value.as_py() or "", str(number)
                    number += 1
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        problem(f"{path}: damaged or no Parquet file ({error}); fetch it again, {_SKIP}")


def _decoding_problem(where: object, encoding: str, offset: int, data: bytes) -> str:
    if b"\0" in data:
        return _binary_problem(where)
    return (
        f"{where}: not {encoding} at byte {offset}; name its encoding with --data.encoding, {_SKIP}"
    )


def _binary_problem(where: object) -> str:
    return f"{where}: binary, it holds NUL bytes; only text is read: remove it, {_SKIP}"


READERS: dict[str, Callable] = {
    **{f"{kind}{packed}": _read_text for kind in (".txt", ".md") for packed in ("", ".gz", ".zst")},
    **{f".jsonl{packed}": _read_json_lines for packed in ("", ".gz", ".zst")},
    ".parquet": _read_parquet,
}
"""The reader of each file extension."""
