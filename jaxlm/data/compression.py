"""Files that may be compressed, and that must not end too early."""

from __future__ import annotations

import bz2
import gzip
import io
from pathlib import Path
from typing import BinaryIO

import zstandard

PACKED = ("", ".gz", ".zst", ".bz2")
"""What may follow the extension of a file; all are decompressed while they are read."""
# Zstandard packs zeros 32,000 times smaller: so little input cannot become more than 64 MB.
_SLICE = 2048


def open_stream(path: Path) -> BinaryIO:
    """The bytes of a file, decompressed if it ends in .gz, .zst or .bz2.

    Reading raises `EOFError` if a compressed file ends too early, and `gzip.BadGzipFile`,
    `zlib.error`, `zstandard.ZstdError` or an `OSError` without a number if it is damaged.
    """
    name = path.name.lower()
    if name.endswith(".gz"):
        return gzip.open(path)  # type: ignore[return-value]
    if name.endswith(".bz2"):
        return bz2.open(path)  # type: ignore[return-value]
    if name.endswith(".zst"):
        return io.BufferedReader(_ZstdFile(path), 1 << 20)
    return path.open("rb")


class _ZstdFile(io.RawIOBase):
    """Decompresses every frame, and raises `EOFError` where the library's own reader just ends."""

    def __init__(self, path: Path):
        self._file = path.open("rb")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._started = False  # whether the current frame has begun
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        while not self._ready:
            data = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
                self._started = False
            data = data or self._file.read(_SLICE)
            if not data:
                if self._started:
                    raise EOFError("the last frame has no end")
                return 0
            self._started = True
            self._ready = memoryview(self._frame.decompress(data))
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()
