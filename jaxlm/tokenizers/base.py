"""What every tokenizer can do, how it is stored, and text from a stream of ids."""

from __future__ import annotations

import codecs
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from jaxlm.errors import InputError
from jaxlm.files import directory_atomic

CONFIG_FILE = "tokenizer_config.json"


class Tokenizer(Protocol):
    """Text to ids in `[0, vocab_size)` and back. `encode` adds no special tokens.

    `decode` and `token_bytes` give nothing for the special ids (beginning and end of a document),
    and U+FFFD for the id of the unknown token, where there is one.
    """

    kind: str
    vocab_size: int
    bos_id: int | None
    eos_id: int | None

    def encode(self, text: str) -> list[int]:
        """The ids of `text`."""

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD."""

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes that one id stands for."""

    def files(self) -> dict[str, bytes]:
        """The serialised tokenizer: file names and contents, `tokenizer_config.json` included."""

    @property
    def fingerprint(self) -> str:
        """A hash of the serialised form: equal exactly when the tokenizers are."""


def document_ends(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The ids before and after a document's own: begin and end of text, where there are such."""
    begin, end = ([] if i is None else [i] for i in (tokenizer.bos_id, tokenizer.eos_id))
    return begin, end


class StreamDecoder:
    """Turns ids that arrive a few at a time into text, holding back incomplete characters."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, ids: Iterable[int]) -> str:
        """The text completed by `ids`."""
        return self._decoder.decode(b"".join(self._tokenizer.token_bytes(int(i)) for i in ids))

    def finish(self) -> str:
        """What is left at the end: U+FFFD for a character that never was completed, or nothing."""
        return self._decoder.decode(b"", final=True)


def check_encodable(text: str) -> None:
    """Raises `InputError` if `text` holds a lone surrogate, which has no UTF-8 form."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"text holds the lone surrogate U+{ord(text[error.start]):04X} at character "
            f"{error.start}; it has no UTF-8 form: repair the text, for example with "
            "text.encode('utf-8', 'replace').decode()"
        ) from None


def checked_id(token_id: int, vocab_size: int) -> int:
    """`token_id` if it lies in the vocabulary, else `InputError` (never an index from the end)."""
    if not 0 <= token_id < vocab_size:
        raise InputError(f"token id {token_id} is outside of the vocabulary of {vocab_size}")
    return token_id


def with_config(tokenizer: Tokenizer, content: Mapping[str, bytes]) -> dict[str, bytes]:
    """`content` and its `tokenizer_config.json`: kind, sizes, special ids, checksums."""
    config = {
        "kind": tokenizer.kind,
        "vocab_size": tokenizer.vocab_size,
        "bos_id": tokenizer.bos_id,
        "eos_id": tokenizer.eos_id,
        "files": {name: _digest(data) for name, data in sorted(content.items())},
    }
    return {**content, CONFIG_FILE: (json.dumps(config, indent=2) + "\n").encode()}


def fingerprint_of(files: Mapping[str, bytes]) -> str:
    """A hash of serialised files; the configuration holds the checksums of all others."""
    return _digest(files[CONFIG_FILE])


def save_tokenizer(tokenizer: Tokenizer, directory: str | Path) -> None:
    """Writes `tokenizer` as `directory`, atomically.

    Raises:
      InputError: `directory` exists and holds something else, which would be replaced.
    """
    directory = Path(directory)
    foreign = directory.exists() and not (directory / CONFIG_FILE).is_file()
    if foreign and not (directory.is_dir() and not any(directory.iterdir())):
        raise InputError(f"{directory} exists and is no tokenizer; choose another directory")
    with directory_atomic(directory) as temporary:
        for name, data in tokenizer.files().items():
            (temporary / name).write_bytes(data)


def load_tokenizer(directory: str | Path) -> Tokenizer:
    """Reads what `save_tokenizer` wrote.

    Raises:
      InputError: the directory is missing, is no tokenizer, or is damaged.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: no such tokenizer directory")
    if not (directory / CONFIG_FILE).is_file():
        raise InputError(f"{directory} holds no {CONFIG_FILE}: it is no tokenizer of jaxlm")
    names = [CONFIG_FILE, *_read_config((directory / CONFIG_FILE).read_bytes(), directory)["files"]]
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise InputError(f"{directory} is damaged: {', '.join(missing)} is missing; restore it")
    return tokenizer_from_files({n: (directory / n).read_bytes() for n in names}, where=directory)


def tokenizer_from_files(
    files: Mapping[str, bytes], *, where: str | Path = "tokenizer"
) -> Tokenizer:
    """The tokenizer whose `files()` these are; `where` names them in errors.

    Raises:
      InputError: a file is missing or damaged, or the kind is not known.
    """
    # Here, because the kinds themselves are built on this file.
    from jaxlm.tokenizers.character import CharacterTokenizer
    from jaxlm.tokenizers.sentencepiece import SentencePieceTokenizer

    if CONFIG_FILE not in files:
        raise InputError(f"{where} holds no {CONFIG_FILE}: it is no tokenizer of jaxlm")
    config = _read_config(files[CONFIG_FILE], where)
    for name, digest in config["files"].items():
        if name not in files or _digest(files[name]) != digest:
            raise InputError(f"{where} is damaged: {name} is not what was written; restore it")
    kinds = {kind.kind: kind for kind in (SentencePieceTokenizer, CharacterTokenizer)}
    if config["kind"] not in kinds:
        raise InputError(
            f"{where}: unknown kind of tokenizer {config['kind']!r}; known are {', '.join(kinds)}"
        )
    tokenizer: Tokenizer = kinds[config["kind"]].from_files(files)
    if tokenizer.files()[CONFIG_FILE] != files[CONFIG_FILE]:
        raise InputError(f"{where} is damaged: {CONFIG_FILE} does not fit the tokenizer itself")
    return tokenizer


def _read_config(data: bytes, where: str | Path) -> dict:
    try:
        config = json.loads(data)
        valid = isinstance(config["kind"], str) and all(
            Path(name).name == name and isinstance(digest, str)
            for name, digest in config["files"].items()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise InputError(f"{where} is damaged: {CONFIG_FILE} cannot be read; restore it")
    return config


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
