"""Tokens of many documents as flat files, and their manifest.

`tokens.bin` holds the ids of all documents one after another, `offsets.bin` where each begins (and
the end), `bytes.bin` the UTF-8 bytes of each document's text, `counts.bin` how often each id
occurs. `manifest.json` is written last: without it the directory is unfinished.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxlm.data.stages import check_file
from jaxlm.data.token_files import TokenFiles
from jaxlm.errors import DamageError, InputError
from jaxlm.files import write_atomic

MANIFEST = "manifest.json"
_FORMAT = 1
_NAMES = ("tokens.bin", "offsets.bin", "bytes.bin", "counts.bin")


@dataclasses.dataclass(frozen=True)
class TokenShards:
    """Opened token files of one directory, or of several as if they were one.

    In memory are 8 bytes for each document; the rest is read when it is asked for.

    Attributes:
      tokens: uint16 or uint32 [tokens].
      offsets: uint64 [documents + 1]; document i is `tokens[offsets[i]:offsets[i + 1]]`.
      vocab_size: every id is below it.
      tokenizer: fingerprint of the tokenizer.
      fingerprint: a hash of the content.
      directories: where they lie.
    """

    tokens: TokenFiles
    offsets: np.ndarray
    vocab_size: int
    tokenizer: str
    fingerprint: str
    directories: tuple[Path, ...]

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each document, int64 [documents]."""
        return np.diff(self.offsets).astype(np.int64)

    @functools.cached_property
    def byte_counts(self) -> np.ndarray:
        """UTF-8 bytes of each document's text, uint64 [documents]."""
        return np.concatenate([_read(path / "bytes.bin") for path in self.directories])

    @functools.cached_property
    def token_counts(self) -> np.ndarray:
        """Occurrences of each id, uint64 [vocab_size]."""
        counts = np.zeros(self.vocab_size, np.uint64)
        for path in self.directories:
            counts += _read(path / "counts.bin")
        return counts


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
        self._files = [(self._directory / name).open("wb") for name in _NAMES[:3]]
        self._hashes = [hashlib.blake2b(digest_size=16) for _ in self._files]
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
        hashes = [*self._hashes, hashlib.blake2b(counts, digest_size=16)]
        digests = {name: h.hexdigest() for name, h in zip(_NAMES, hashes, strict=True)}
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


def open_tokens(
    *directories: str | Path, verify: bool = False, tokenizer: str | None = None
) -> TokenShards:
    """Opens what `TokenWriter` wrote, in one directory or in several one after the other.

    Args:
      directories: at least one.
      verify: compares checksums; sizes are always checked.
      tokenizer: fingerprint of the tokenizer that they must be of.

    Raises:
      InputError: no finished token files, or of another tokenizer.
      DamageError: a file has another size or, with `verify`, another checksum than it should.
    """
    about = [_check(Path(directory), verify) for directory in directories]
    first = about[0]
    for one in about:
        expected = tokenizer or first.tokenizer
        if (one.tokenizer, one.vocab_size) != (expected, first.vocab_size):
            raise InputError(
                f"{one.directory} is of another tokenizer ({one.tokenizer}, {one.vocab_size} ids) "
                f"than it should be ({expected}, {first.vocab_size} ids); make it again"
            )
    digest = hashlib.blake2b("".join(one.fingerprint for one in about).encode(), digest_size=16)
    return TokenShards(
        tokens=TokenFiles(
            [one.directory / "tokens.bin" for one in about], [n.tokens for n in about], first.dtype
        ),
        offsets=_join_offsets(about),
        vocab_size=first.vocab_size,
        tokenizer=first.tokenizer,
        fingerprint=first.fingerprint if len(about) == 1 else digest.hexdigest(),
        directories=tuple(one.directory for one in about),
    )


@dataclasses.dataclass(frozen=True)
class _Manifest:
    directory: Path
    dtype: np.dtype
    documents: int
    tokens: int
    vocab_size: int
    tokenizer: str
    fingerprint: str


def _check(directory: Path, verify: bool) -> _Manifest:
    """The manifest of one directory, after a comparison with its files."""
    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(f"{directory} holds no finished tokens (no {MANIFEST}); prepare them")
    content = path.read_bytes()
    try:
        manifest = json.loads(content)
        known = manifest["format"] == _FORMAT
        about = _Manifest(
            directory=directory,
            dtype=np.dtype(manifest["dtype"]).newbyteorder("<"),
            documents=int(manifest["documents"]),
            tokens=int(manifest["tokens"]),
            vocab_size=int(manifest["vocab_size"]),
            tokenizer=str(manifest["tokenizer"]),
            fingerprint=hashlib.blake2b(content, digest_size=16).hexdigest(),
        )
        digests = {name: manifest["files"][name]["blake2b"] for name in _NAMES}
    except (ValueError, KeyError, TypeError):
        raise DamageError(f"{path} cannot be read; delete {directory} and prepare again") from None
    if not known:
        raise InputError(f"{path}: format {manifest['format']!r} is not {_FORMAT}; prepare again")
    counts = (about.tokens, about.documents + 1, about.documents, about.vocab_size)
    widths = (about.dtype.itemsize, 8, 8, 8)
    for name, count, width in zip(_NAMES, counts, widths, strict=True):
        file = {"size": count * width, "blake2b": digests[name]}
        check_file(directory / name, file, verify=verify)
    if verify and about.vocab_size < np.iinfo(about.dtype).max + 1:
        _check_ids(directory / "tokens.bin", about)
    return about


def _check_ids(path: Path, about: _Manifest) -> None:
    with path.open("rb") as file:
        while data := file.read(1 << 24):
            if (largest := int(np.frombuffer(data, about.dtype).max())) >= about.vocab_size:
                raise DamageError(
                    f"{path} holds the token id {largest}, outside of its vocabulary of "
                    f"{about.vocab_size}; delete {about.directory} and prepare again"
                )


def _join_offsets(about: Sequence[_Manifest]) -> np.ndarray:
    offsets = np.zeros(sum(one.documents for one in about) + 1, np.uint64)
    documents = tokens = 0
    for one in about:
        path = one.directory / "offsets.bin"
        own = _read(path)
        if own[0] or own[-1] != one.tokens or (own[1:] < own[:-1]).any():
            raise DamageError(f"{path} is damaged; delete {one.directory} and prepare again")
        offsets[documents : documents + one.documents + 1] = own + np.uint64(tokens)
        documents += one.documents
        tokens += one.tokens
    return offsets


def _read(path: Path) -> np.ndarray:
    return np.fromfile(path, "<u8").astype(np.uint64, copy=False)
