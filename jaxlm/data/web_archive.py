"""Web pages: HTML files, and the archives of crawls (WARC, and WET with extracted text)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from jaxlm.data.documents import Document
from jaxlm.data.encoding import declared_encoding, decode
from jaxlm.data.reading import Reading, SourceFile

_HTML = ("text/html", "application/xhtml+xml")
_LINE = 1 << 16  # bytes of a line of headers
# Bytes that are zero in a page with a few stray ones, which browsers leave out.
_STRAY_ZEROS = 0.001


def read_html(stream: BinaryIO, file: SourceFile, reading: Reading) -> Iterator[Document]:
    """A page as it is, marked with `format: html`."""
    limit = reading.settings.max_bytes
    data = stream.read(limit + 1)
    if len(data) > limit:
        reading.length_problem(file.path)
        return
    text, about = page_text(data, "", reading)
    if text is None:
        reading.binary_problem(file.path)
        return
    yield Document(text, file.source, "", {"format": "html", **about})


def page_text(data: bytes, charset: str, reading: Reading) -> tuple[str | None, dict[str, Any]]:
    """The text of a page (None if it is binary), and its "encoding" if that is not UTF-8.

    Args:
      data: the bytes of the page.
      charset: as a header of HTTP names it, or "".
      reading: is told of other encodings and of bytes that were left out.
    """
    found = decode(data, charset or declared_encoding(data))
    text = found.text
    if "\0" in text:
        if text.count("\0") > _STRAY_ZEROS * len(text) + 1:
            return None, {}
        reading.decoded("with NUL")
        text = text.replace("\0", "")
    if found.encoding == "utf-8":
        return text, {}
    reading.decoded(found.encoding)
    return text, {"encoding": found.encoding}


def read_web_archive(stream: BinaryIO, file: SourceFile, reading: Reading) -> Iterator[Document]:
    """The pages of a WARC or WET file (ISO 28500), with "url", "date" and "content_type".

    Responses with HTML or plain text and a status of success, and conversions, are documents;
    other records are counted as left out. An archive that is not compressed and ends exactly
    between two records is not known to be truncated.
    """
    from warcio.exceptions import ArchiveLoadFailed
    from warcio.recordloader import ArcWarcRecordLoader

    loader = ArcWarcRecordLoader(verify_http=False)
    lines = _BoundedLines(stream)
    number = 0
    try:
        while status := lines.next_status():
            number += 1
            record = loader.parse_record_stream(
                lines, status, known_format="warc", no_record_parse=True
            )
            if (
                not record.rec_type
                or not (record.rec_headers.get_header("Content-Length") or "").strip().isdigit()
            ):
                raise EOFError("headers without a type or a length")
            document = _document(record, f"{file.path}, record {number}", number, file, reading)
            while record.raw_stream.read(1 << 16):
                pass
            if record.raw_stream.limit:
                raise EOFError(f"{record.raw_stream.limit} bytes are missing")
            if document is not None:
                yield document
    except (EOFError, ArchiveLoadFailed, ValueError) as error:
        if isinstance(error, EOFError) and number == 0:
            raise  # of the compression
        reading.problem(
            f"{file.path}, record {number}: truncated or damaged web archive ({error})",
            "fetch it again",
        )


def _document(
    record: Any, where: str, number: int, file: SourceFile, reading: Reading
) -> Document | None:
    """The document of one record, or None after it was counted."""
    from warcio.statusandheaders import StatusAndHeadersParser

    headers = record.rec_headers
    kind = headers.get_header("Content-Type") or ""
    if record.rec_type == "response" and kind.lower().startswith("application/http"):
        record.http_headers = StatusAndHeadersParser(["HTTP/"], verify=False).parse(
            record.raw_stream
        )
        if record.http_headers.get_statuscode()[:1] != "2":
            reading.left_out("response without success")
            return None
        kind = record.http_headers.get_header("Content-Type") or ""
        kind = kind or headers.get_header("WARC-Identified-Payload-Type") or ""
    elif record.rec_type != "conversion" and record.rec_type != "resource":
        reading.left_out("record of another kind")
        return None
    content_type, _, parameters = kind.partition(";")
    content_type = content_type.strip().lower()
    if content_type not in (*_HTML, "text/plain"):
        reading.left_out("neither HTML nor text")
        return None
    data = _payload(record, reading.settings.max_bytes)
    if data is None:
        reading.length_problem(where)
        return None
    text, about = page_text(data, _charset(parameters), reading)
    if text is None:
        reading.binary_problem(where)
        return None
    identifier = (headers.get_header("WARC-Record-ID") or "").strip("<>").removeprefix("urn:uuid:")
    metadata = {
        "url": headers.get_header("WARC-Target-URI"),
        "date": headers.get_header("WARC-Date"),
        "content_type": content_type,
        "format": "html" if content_type in _HTML else None,
        "truncated": headers.get_header("WARC-Truncated"),
        **about,
    }
    metadata = {name: value for name, value in metadata.items() if value}
    return Document(text, file.source, identifier or str(number), metadata)


def _payload(record: Any, limit: int) -> bytes | None:
    """The content of a record without the codings of its transfer, or None if it is too long."""
    content = record.content_stream()
    pieces, size = [], 0
    while piece := content.read(min(1 << 16, limit + 1 - size)):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            return None
    return b"".join(pieces)


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'")
    return ""


class _BoundedLines:
    """A stream whose lines must be short, as those of headers are."""

    def __init__(self, stream: BinaryIO):
        self._stream = stream

    def read(self, size: int) -> bytes:
        return self._stream.read(size)

    def readline(self, size: int | None = None) -> bytes:
        line = self._stream.readline(_LINE if size is None else min(size, _LINE))
        if len(line) == _LINE:
            raise ValueError(f"a header of more than {_LINE:,} bytes")
        if not line.endswith(b"\n") and (size is None or len(line) < size):
            raise EOFError("it ends inside of headers")
        return line

    def next_status(self) -> bytes:
        """The first line of the next record, or nothing at the end."""
        while line := self._stream.readline(_LINE):
            if line.strip():
                return line
        return b""
