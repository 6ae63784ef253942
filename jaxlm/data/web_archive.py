"""Web pages: HTML files, and the archives of crawls (WARC, and WET with extracted text)."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from jaxlm.data.documents import Document
from jaxlm.data.encoding import declared_encoding, decode
from jaxlm.data.reading import Reading, SourceFile

_HTML = ("text/html", "application/xhtml+xml")
_TYPES = ("response", "conversion", "resource")
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

    Responses with HTML or plain text and a status of success, conversions and resources are
    documents; other records are counted as left out. An archive that is not compressed and ends
    exactly between two records is not known to be truncated.
    """
    from warcio.exceptions import ArchiveLoadFailed
    from warcio.recordloader import ArcWarcRecordLoader

    loader = ArcWarcRecordLoader(verify_http=False)
    lines = _Lines(stream)
    number = 0
    try:
        while status := lines.next_status():
            number += 1
            record = loader.parse_record_stream(
                lines, status, known_format="warc", no_record_parse=True
            )
            length = record.rec_headers.get_header("Content-Length") or ""
            if not record.rec_type or not length.strip().isdigit():
                raise EOFError("headers without a type or a length")
            block = b""
            if record.rec_type in _TYPES:
                block = record.raw_stream.read(reading.settings.max_bytes + _LINE)
            while record.raw_stream.read(1 << 16):
                pass
            if record.raw_stream.limit:
                raise EOFError(f"{record.raw_stream.limit} bytes are missing")
            if record.rec_type in _TYPES:
                yield from _page(record.rec_headers, block, number, file, reading)
            else:
                reading.left_out("record of another kind")
    except (EOFError, ArchiveLoadFailed, ValueError) as error:
        reading.problem(
            f"{file.path}, record {number}: truncated or damaged web archive ({error})",
            "fetch it again",
        )


def _page(
    headers: Any, block: bytes, number: int, file: SourceFile, reading: Reading
) -> Iterator[Document]:
    """The document of one record, unless it is counted instead."""
    where = f"{file.path}, record {number}"
    kind = headers.get_header("Content-Type") or ""
    data = block
    if kind.lower().startswith("application/http"):
        try:
            status, kind, data = _content(block, reading.settings.max_bytes)
        except (EOFError, ValueError, zlib.error) as error:
            reading.problem(f"{where}: damaged response ({error})", "fetch it again")
            return
        if not status.startswith("2"):
            reading.left_out("response without success")
            return
    content_type, _, parameters = kind.partition(";")
    content_type = content_type.strip().lower()
    content_type = content_type or headers.get_header("WARC-Identified-Payload-Type") or ""
    if content_type not in (*_HTML, "text/plain"):
        reading.left_out("neither HTML nor text")
        return
    if len(data) > reading.settings.max_bytes:
        reading.length_problem(where)
        return
    text, about = page_text(data, _charset(parameters), reading)
    if text is None:
        reading.binary_problem(where)
        return
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
    yield Document(text, file.source, identifier or str(number), metadata)


def _content(block: bytes, limit: int) -> tuple[str, str, bytes]:
    """Status, content type and content of a response, without the codings of its transfer.

    Raises:
      EOFError, ValueError, zlib.error: it is damaged, or in a coding that is not read.
    """
    from warcio.bufferedreaders import ChunkedDataReader
    from warcio.statusandheaders import StatusAndHeadersParser

    stream = io.BytesIO(block)
    headers = StatusAndHeadersParser(["HTTP/"], verify=False).parse(stream)
    kind = headers.get_header("Content-Type") or ""
    if (headers.get_header("Transfer-Encoding") or "").strip().lower() == "chunked":
        data = ChunkedDataReader(stream).read()
    else:
        data = stream.read()
    for coding in reversed((headers.get_header("Content-Encoding") or "").lower().split(",")):
        data = _uncoded(data, coding.strip(), limit)
    return headers.get_statuscode(), kind, data


def _uncoded(data: bytes, coding: str, limit: int) -> bytes:
    """The content without one coding; at most a byte more than `limit`."""
    if coding in ("", "identity", "none", "utf-8"):
        return data
    if coding in ("gzip", "x-gzip"):
        if not data.startswith(b"\x1f\x8b"):  # crawlers store it decoded, under the old header
            return data
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(data, limit + 1)
    if coding == "deflate":
        # Some servers send the bare form, although the name means that with a header.
        header = len(data) > 1 and data[0] & 15 == 8 and int.from_bytes(data[:2]) % 31 == 0
        bits = zlib.MAX_WBITS if header else -zlib.MAX_WBITS
        return zlib.decompressobj(bits).decompress(data, limit + 1)
    raise ValueError(f"content coding {coding!r} is not read")


def _charset(parameters: str) -> str:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'")
    return ""


class _Lines:
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
