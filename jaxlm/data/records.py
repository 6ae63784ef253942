"""JSON Lines and Parquet: a document in each record, its other fields as metadata."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from jaxlm.data.documents import Document
from jaxlm.data.encoding import decode
from jaxlm.data.reading import Reading, SourceFile
from jaxlm.errors import InputError
from jaxlm.tokenizers.base import check_encodable

_CHUNK = 1 << 16
_LEVELS = 64  # of lists and objects in each other; Python's own limit depends on who calls


def record_document(
    record: Mapping[str, Any], text_field: str, file: SourceFile, number: int
) -> Document:
    """The document of a record whose text field holds valid text.

    In the layout of Dolma (https://github.com/allenai/dolma/blob/main/docs/data-format.md), which
    has `id` and `source` beside `text`, these name the document, and `metadata` is taken over.
    Otherwise the file and the number of the record name it. Other fields with one value are
    metadata.
    """
    identifier, source, given = record.get("id"), record.get("source"), record.get("metadata", {})
    taken = {text_field}
    if isinstance(identifier, str) and isinstance(source, str) and isinstance(given, dict):
        taken |= {"id", "source", "metadata"}
        metadata = {name: _encodable(value) for name, value in given.items()}
    else:
        identifier, source, metadata = str(number), file.source, {}
    for name, value in record.items():
        if name not in taken and isinstance(value, str | int | float) and name not in metadata:
            metadata[name] = _encodable(value)
    return Document(
        record[text_field],
        _encodable(source),
        _encodable(identifier),
        {_encodable(name): value for name, value in metadata.items()},
    )


def read_json_lines(stream: BinaryIO, file: SourceFile, reading: Reading) -> Iterator[Document]:
    """A document from each line."""
    field = reading.settings.text_field
    set_field = f"name the field of the text with {reading.settings.options.text_field}"
    for number, start, line in _lines(stream, reading.settings.max_bytes):
        where = f"{file.path}, line {number}"
        if line is None:
            reading.length_problem(where)
            continue
        if number == 1 and line.startswith((b"\xff\xfe", b"\xfe\xff")):
            reading.problem(f"{where}: in UTF-16, which JSON Lines are not", "write it as UTF-8")
            return
        decoded, encoding = _decoded(line, where, start, reading)
        if decoded is None or not decoded.strip():
            continue
        if "\0" in decoded:
            reading.binary_problem(where)
            continue
        try:
            record = json.loads(decoded)
        except (ValueError, RecursionError) as error:
            reading.problem(f"{where} (byte {start}): invalid JSON ({error})", "repair it")
            continue
        if not isinstance(record, dict) or field not in record:
            fields = _names(record) if isinstance(record, dict) else "no fields at all"
            reading.problem(f"{where}: no field {field!r}, it has {fields}", set_field)
            continue
        text = record[field]
        if not isinstance(text, str):
            kind = type(text).__name__
            reading.problem(f"{where}: field {field!r} is no text but {kind}", set_field)
            continue
        try:
            check_encodable(text)
            document = record_document(record, field, file, number)
        except InputError as error:
            reading.problem(f"{where}: {error}", "repair it")
            continue
        if encoding:
            reading.decoded(encoding)
            document = document.replace(metadata={**document.metadata, "encoding": encoding})
        yield document


def read_parquet(file: SourceFile, reading: Reading) -> Iterator[Document]:
    """A document from each row; holds a part of one row group of the file.

    A changed byte is found where the file's writer stored checksums of pages, or where what the
    byte belongs to cannot be decoded any more.
    """
    import pyarrow
    from pyarrow import parquet

    path, field = file.path, reading.settings.text_field
    set_field = f"name the column of the text with {reading.settings.options.text_field}"
    try:
        with parquet.ParquetFile(path, page_checksum_verification=True) as opened:
            schema = opened.schema_arrow
            if field not in schema.names:
                found = _names(schema.names)
                reading.problem(f"{path}: no column {field!r}, it has {found}", set_field)
                return
            if not _is_text(schema.field(field).type):
                kind = schema.field(field).type
                reading.problem(f"{path}: column {field!r} is no text but {kind}", set_field)
                return
            columns = [one.name for one in schema if not _is_left_out(one.type)]
            number = 0
            for batch in opened.iter_batches(batch_size=64, columns=columns):
                for row in _rows(batch):
                    if isinstance(row, UnicodeDecodeError):
                        reading.problem(
                            f"{path}, row {number}: damaged text ({row})", "fetch the file again"
                        )
                    else:
                        values = {name: _plain(value) for name, value in row.items()}
                        values[field] = row[field] or ""
                        yield record_document(values, field, file, number)
                    number += 1
    except (pyarrow.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reading.problem(f"{path}: damaged or no Parquet file ({error})", "fetch it again")


def _rows(batch: Any) -> list[dict[str, Any] | UnicodeDecodeError]:
    """The rows of a batch, with the error in place of one that is not UTF-8."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            return [error]
    return [row for i in range(batch.num_rows) for row in _rows(batch.slice(i, 1))]


def _plain(value: Any) -> Any:
    """A value of Parquet as a JSON value."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | datetime.timedelta):
        return str(value)
    return value


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    if types.is_dictionary(kind):
        kind = kind.value_type
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_left_out(kind: Any) -> bool:
    from pyarrow import types

    return not (_is_text(kind) or (types.is_primitive(kind) and not types.is_duration(kind)))


def _lines(stream: BinaryIO, limit: int) -> Iterator[tuple[int, int, bytes | None]]:
    """Number, offset and bytes of each line; None for the bytes of a line beyond `limit`."""
    number = offset = 0
    while line := stream.readline(limit + 1):
        number += 1
        size = len(line)
        if size > limit and not line.endswith(b"\n"):
            while not line.endswith(b"\n") and (line := stream.readline(_CHUNK)):
                size += len(line)
            yield number, offset, None
        else:
            yield number, offset, line
        offset += size


def _decoded(line: bytes, where: str, start: int, reading: Reading) -> tuple[str | None, str]:
    """The text of a line, or None after a problem; and its encoding if that is no UTF-8."""
    name = reading.settings.encoding
    try:
        return line.decode("utf-8-sig" if name in ("auto", "utf-8") else name), ""
    except UnicodeDecodeError as error:
        if name == "auto":
            found = decode(line)
            return found.text, found.encoding
        if b"\0" in line:
            reading.binary_problem(where)
        else:
            reading.decoding_problem(where, error, start + error.start)
        return None, ""


def _encodable(value: Any, levels: int = _LEVELS) -> Any:
    """A value of metadata that can be stored: no lone surrogates, no infinite numbers."""
    if not levels:
        raise InputError(f"metadata of more than {_LEVELS} levels")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_encodable(one, levels - 1) for one in value]
    if isinstance(value, dict):
        return {_encodable(name): _encodable(one, levels - 1) for name, one in value.items()}
    return value


def _names(names: Any) -> str:
    shown = [str(name)[:80] for name in names]
    return ", ".join(shown[:20]) + (", ..." if len(shown) > 20 else "")
