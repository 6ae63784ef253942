"""Tokens of many documents as flat files that are mapped into memory, and their manifest.

`tokens.bin` holds the ids of all documents one after another, `offsets.bin` where each begins (and
the end), `bytes.bin` the UTF-8 bytes of each document's text, `counts.bin` how often each id
occurs. `manifest.json` is written last: without it the directory is unfinished.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxlm.data.token_array import TokenArray
from jaxlm.errors import DamageError, InputError
from jaxlm.files import write_atomic

MANIFEST = "manifest.json"
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class TokenShards:
    """Opened token files; the arrays are read-only views of the files.

    Attributes:
      tokens: uint16 or uint32 [tokens].
      offsets: uint64 [documents + 1]; document i is `tokens[offsets[i]:offsets[i + 1]]`.
      byte_counts: uint64 [documents], UTF-8 bytes of each document's text.
      token_counts: uint64 [vocab_size], occurrences of each id.
      vocab_size: every id is below it.
      tokenizer: fingerprint of the tokenizer.
      fingerprint: a hash of the content.
    """

    tokens: np.ndarray | TokenArray
    offsets: np.ndarray
    byte_counts: np.ndarray
    token_counts: np.ndarray
    vocab_size: int
    tokenizer: str
    fingerprint: str

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each document, int64 [documents]."""
        return np.diff(self.offsets).astype(np.int64)


class TokenWriter:
    """Writes token files, a document at a time; as a context manager it finishes on success.

    Args:
      directory: is made if need be.
      vocab_size: ids must be below it; up to 65,536 they take two bytes each, else four.
      tokenizer: fingerprint of the tokenizer.
    """

    def __init__(self, directory: str | Path, vocab_size: int, tokenizer: str):
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        (self._directory / MANIFEST).unlink(missing_ok=True)
        self._vocab_size = vocab_size
        self._tokenizer = tokenizer
        self._dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
        self._names = ("tokens.bin", "offsets.bin", "bytes.bin")
        self._files = [(self._directory / name).open("wb") for name in self._names]
        self._hashes = [hashlib.blake2b(digest_size=16) for _ in self._names]
        self._counts = np.zeros(vocab_size, np.uint64)
        self.documents = self.tokens = self.bytes = 0
        self._write(1, np.zeros(1, "<u8"))

    def add(self, ids: Sequence[int] | np.ndarray, byte_count: int) -> None:
        """Appends one document.

        Raises:
          InputError: an id lies outside of the vocabulary (it is never wrapped).
        """
        array = np.asarray(ids, np.int64)
        if array.size:
            low, high = int(array.min()), int(array.max())
            if low < 0 or high >= self._vocab_size:
                raise InputError(
                    f"token id {low if low < 0 else high} of document {self.documents} is outside "
                    f"of the vocabulary of {self._vocab_size}; is it of another tokenizer?"
                )
            # bincount would make an array of the whole vocabulary for each document.
            np.add.at(self._counts, array, np.uint64(1))
        self.documents += 1
        self.tokens += array.size
        self.bytes += byte_count
        self._write(0, array.astype(self._dtype))
        self._write(1, np.array([self.tokens], "<u8"))
        self._write(2, np.array([byte_count], "<u8"))

    def _write(self, index: int, array: np.ndarray) -> None:
        data = array.tobytes()
        self._files[index].write(data)
        self._hashes[index].update(data)

    def finish(self) -> None:
        """Closes the files and writes the counts and, last, the manifest."""
        for file in self._files:
            file.close()
        counts = self._counts.astype("<u8").tobytes()
        write_atomic(self._directory / "counts.bin", counts)
        digests = {name: h.hexdigest() for name, h in zip(self._names, self._hashes, strict=True)}
        digests["counts.bin"] = hashlib.blake2b(counts, digest_size=16).hexdigest()
        manifest = {
            "format": _FORMAT,
            "dtype": self._dtype.name,
            "vocab_size": self._vocab_size,
            "tokenizer": self._tokenizer,
            "documents": self.documents,
            "tokens": self.tokens,
            "bytes": self.bytes,
            "files": {
                name: {"size": (self._directory / name).stat().st_size, "blake2b": digest}
                for name, digest in digests.items()
            },
        }
        write_atomic(self._directory / MANIFEST, json.dumps(manifest, indent=2) + "\n")

    def __enter__(self) -> TokenWriter:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        if error is None:
            self.finish()
        for file in self._files:
            file.close()


def open_tokens(directory: str | Path, *, verify: bool = False) -> TokenShards:
    """Maps what `TokenWriter` wrote; sizes are always checked, checksums if `verify`.

    Raises:
      InputError: no finished token files.
      DamageError: a file has another size or, with `verify`, another checksum than it should.
    """
    directory = Path(directory)
    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(f"{directory} holds no finished tokens (no {MANIFEST}); prepare them")
    content = path.read_bytes()
    try:
        manifest = json.loads(content)
        known = manifest["format"] == _FORMAT
        shapes = {
            "tokens.bin": (np.dtype(manifest["dtype"]), manifest["tokens"]),
            "offsets.bin": (np.dtype("<u8"), manifest["documents"] + 1),
            "bytes.bin": (np.dtype("<u8"), manifest["documents"]),
            "counts.bin": (np.dtype("<u8"), manifest["vocab_size"]),
        }
        digests = {name: manifest["files"][name]["blake2b"] for name in shapes}
        vocab_size, tokenizer = int(manifest["vocab_size"]), str(manifest["tokenizer"])
    except (ValueError, KeyError, TypeError):
        raise DamageError(f"{path} cannot be read; delete {directory} and prepare again") from None
    if not known:
        raise InputError(f"{path}: format {manifest['format']!r} is not {_FORMAT}; prepare again")
    arrays = {}
    for name, (dtype, size) in shapes.items():
        file = directory / name
        found = file.stat().st_size if file.is_file() else None
        if found != size * dtype.itemsize:
            raise DamageError(
                f"{file} is damaged: {'missing' if found is None else f'{found} bytes'} instead of "
                f"{size * dtype.itemsize} bytes; delete {directory} and prepare again"
            )
        if verify and _file_digest(file) != digests[name]:
            raise DamageError(
                f"{file} is damaged: its checksum differs; delete {directory} and prepare again"
            )
        arrays[name] = np.memmap(file, dtype, "r") if size else np.zeros(0, dtype)
    fingerprint = hashlib.blake2b(content, digest_size=16).hexdigest()
    return TokenShards(
        tokens=arrays["tokens.bin"],
        offsets=arrays["offsets.bin"],
        byte_counts=arrays["bytes.bin"],
        token_counts=arrays["counts.bin"],
        vocab_size=vocab_size,
        tokenizer=tokenizer,
        fingerprint=fingerprint,
    )


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
