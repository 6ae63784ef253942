"""From bytes of an unknown encoding to text."""

from __future__ import annotations

import codecs
import dataclasses
import functools
import re
from typing import Literal

STRAY = "utf-8 with stray bytes"
"""The name of UTF-8 in which some bytes are of windows-1252 instead."""

# Longer marks first: that of UTF-16 begins the one of UTF-32.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What labels on the web mean (https://encoding.spec.whatwg.org/#names-and-labels), where Python
# takes them literally; and the only encodings that a label may name.
_MEANT = {"ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "tis-620": "cp874",
          "iso8859-11": "cp874", "shift_jis": "cp932", "euc_kr": "cp949", "gb2312": "gb18030",
          "gbk": "gb18030", "big5": "big5hkscs", "utf-16": "utf-16-le"}  # fmt: skip
_SINGLE_BYTE = ["cp866", "cp874", *(f"cp{number}" for number in range(1250, 1259)), "koi8-r",
                "koi8-u", "mac-roman", *(f"iso8859-{i}" for i in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14,
                15, 16))]  # fmt: skip
_NOT_LATIN = frozenset(["cp866", "cp874", "cp1251", "cp1253", "cp1255", "cp1256", "koi8-r",
                        "koi8-u", *(f"iso8859-{i}" for i in (5, 6, 7, 8))])  # fmt: skip
_MULTI_BYTE = ["gb18030", "big5hkscs", "euc_jp", "cp932", "cp949", "iso2022_jp"]
_ALLOWED = frozenset([*_SINGLE_BYTE, *_MULTI_BYTE, "utf-8", "utf-16-le", "utf-16-be"])
_HIGH = re.compile(rb"[\x80-\xff]")
_STRAY = re.compile("[\udc80-\udcff]")
_DECLARED = re.compile(
    rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]+)"
    rb"|<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([\w.:-]+)",
    re.IGNORECASE,
)
_SAMPLE = 1 << 16


@dataclasses.dataclass(frozen=True)
class Decoded:
    """Text, the encoding it was in, and how many characters are a repair of what was not."""

    text: str
    encoding: str
    repaired: int


def decode(data: bytes, declared: str = "") -> Decoded:
    """The text of all bytes of a document, whatever its encoding.

    In order: a byte order mark; valid UTF-8; the declared encoding, if it fits; what
    chardet finds; windows-1252. Bytes that are mostly UTF-8 keep that reading, and
    their stray bytes are read as windows-1252.

    Args:
      data: the document.
      declared: an encoding as a header or the document names it.
    """
    decoder = StreamDecoder("auto", declared=declared)
    text = decoder.decode(data, final=True)
    return Decoded(text, decoder.encoding, decoder.repaired)


def declared_encoding(head: bytes) -> str:
    """The encoding that HTML or XML declares in its first bytes, or ""."""
    match = _DECLARED.search(head[:4096])
    return (match[1] or match[2]).decode("ascii", "replace") if match else ""


class StreamDecoder:
    """Decodes a document block by block; what "auto" means is decided by the first block.

    Args:
      encoding: a name that Python knows, whose errors are raised as `UnicodeDecodeError`; or
        "auto", which raises none.
      declared: an encoding named by the document, a hint for "auto".

    Attributes:
      encoding: the one used.
      repaired: characters that replace bytes which are not of that encoding.
    """

    def __init__(self, encoding: str, *, declared: str = ""):
        self.encoding = encoding
        self.repaired = 0
        self._automatic = encoding == "auto"
        self._declared = declared
        self._decoder: codecs.IncrementalDecoder | None = None
        self._given = 0

    def decode(self, block: bytes, *, final: bool = False) -> str:
        """The text of the next block; a byte order mark is left out.

        Raises:
          UnicodeDecodeError: of a named encoding; `start` counts from the first block's start.
        """
        if self._decoder is None:
            self._decoder = self._begin(block, final)
            first = True
        else:
            first = False
        pending = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(block, final)
        except UnicodeDecodeError as error:
            error.start += self._given - pending
            raise
        self._given += len(block)
        if first:
            text = text.removeprefix("\ufeff")
        if not self._automatic:
            return text
        if self._decoder.errors == "surrogateescape":
            text, stray = _STRAY.subn(_windows, text) if _has_stray(text) else (text, 0)
            if stray:
                self.encoding = STRAY
                self.repaired += stray
        else:
            self.repaired += text.count("\ufffd")
        return text

    def _begin(self, block: bytes, final: bool) -> codecs.IncrementalDecoder:
        if self._automatic:
            self.encoding = detect(block, self._declared, whole=final)
        errors: Literal["strict", "replace", "surrogateescape"] = "strict"
        if self._automatic:
            errors = "surrogateescape" if self.encoding in ("utf-8", STRAY) else "replace"
        name = "utf-8" if self.encoding == STRAY else self.encoding
        return codecs.getincrementaldecoder(name)(errors)


def detect(data: bytes, declared: str = "", *, whole: bool = True) -> str:
    """The encoding of a document's first bytes, as `decode` describes it.

    Args:
      data: the first bytes, or all.
      declared: an encoding named by the document.
      whole: these are all bytes, so that they end with a character.
    """
    for mark, name in _MARKS:
        if data.startswith(mark):
            return name
    if b"\0" in data[:4096] and (name := _two_bytes(data[:4096])):
        return name
    declared = _meaning(declared)
    # Of seven bits, and so also valid UTF-8.
    if declared == "iso2022_jp" and b"\x1b" in data:
        return declared
    if _is_utf8(data, whole):
        return "utf-8"
    high = _HIGH.search(data)
    first = high.start() if high else 0
    escaped = data[first : first + 16 * _SAMPLE].decode("utf-8", "surrogateescape")
    stray = len(_STRAY.findall(escaped))
    if stray:
        other = len(re.findall("[^\x00-\x7f]", escaped)) - stray
        if other > stray:
            return STRAY
    if declared and declared != "utf-8" and _fits(data[:_SAMPLE], declared):
        return declared
    return _guess(data[max(0, first - 500) : first + 16 * _SAMPLE]) or "cp1252"


def _is_utf8(data: bytes, whole: bool) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, whole)
    except UnicodeDecodeError:
        return False
    return True


def _two_bytes(head: bytes) -> str:
    """UTF-16 without a mark: nearly every second byte of text in Latin letters is zero."""
    pairs = len(head) // 2
    even, odd = head[::2].count(0) / max(pairs, 1), head[1::2].count(0) / max(pairs, 1)
    if max(even, odd) < 0.4 or min(even, odd) > 0.05:
        return ""
    letters = head[::2] if odd > even else head[1::2]
    if sum(byte < 32 and byte not in b"\t\n\f\r" for byte in letters) > len(letters) // 20:
        return ""  # no text
    return "utf-16-le" if odd > even else "utf-16-be"


def _meaning(label: str) -> str:
    """The name in Python of an encoding that the web may declare, or ""."""
    try:
        name = codecs.lookup(label.strip()).name
    except (LookupError, ValueError):
        return ""
    name = _MEANT.get(name, name)
    return name if name in _ALLOWED else ""


def _fits(sample: bytes, encoding: str) -> bool:
    """Whether at most one of a thousand characters cannot be decoded."""
    text = sample.decode(encoding, "replace")
    return text.count("\ufffd") * 1000 <= len(text)


def _guess(data: bytes) -> str:
    """What chardet says of the lines that are not ASCII, or "" if that does not fit."""
    pieces, size, position = [], 0, 0
    while size < _SAMPLE and (match := _HIGH.search(data, position)):
        start = max(position, match.start() - 500)
        start = max(start, data.rfind(b"\n", start, match.start()) + 1)
        position = data.find(b"\n", match.start(), match.start() + 500) + 1
        position = position or match.start() + 500
        pieces.append(data[start:position])
        size += position - start
    import chardet  # here, since few files need it

    sample = b"".join(pieces)
    name = _meaning(chardet.detect(sample)["encoding"] or "")
    if not name or not _fits(sample, name):
        return ""
    # Words of another alphabet are runs of such bytes; single ones are accents and quotes.
    runs = re.findall(rb"[\x80-\xff]+", sample)
    return "" if name in _NOT_LATIN and sum(map(len, runs)) < 2 * len(runs) else name


def _has_stray(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _windows(match: re.Match[str]) -> str:
    return _table()[ord(match[0]) - 0xDC80]


@functools.cache
def _table() -> str:
    """The characters of windows-1252 from 128 on; unused bytes are the controls of that number."""
    return "".join(
        bytes([i]).decode("cp1252") if i not in b"\x81\x8d\x8f\x90\x9d" else chr(i)
        for i in range(128, 256)
    )
