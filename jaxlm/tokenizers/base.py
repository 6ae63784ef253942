"""What every tokenizer can do, how it is stored, and text from a stream of ids."""

from __future__ import annotations

import codecs
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from jaxlm.errors import DamageError, InputError
from jaxlm.files import directory_atomic

CONFIG_FILE = "tokenizer_config.json"


class Tokenizer(Protocol):
    """Text to ids in `[0, vocab_size)` and back; what the kinds share, they inherit.

    `decode` and `token_bytes` give nothing for the special ids (beginning and end of a document),
    and U+FFFD for the id of the unknown token, where there is one.

    Attributes:
      kind: the name under which it is stored.
      vocab_size: one more than the largest id.
      bos_id, eos_id: beginning and end of a document, None where there is no such token.
      special_ids: the special ids by role, as far as there are such: "bos", "eos", "unk", "pad",
        "mask", "cls", "sep".
      special_tokens: the ids that `encode` gives on demand only, by their spelling.
    """

    kind: str
    vocab_size: int
    bos_id: int | None
    eos_id: int | None
    special_ids: Mapping[str, int]
    special_tokens: Mapping[str, int]

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """The ids of `text`. No special token is added.

        Args:
          text: any text without lone surrogates.
          allow_special: takes the spelling of a special token for that token. By default it is
            plain text, so that no user can end a document.

        Raises:
          InputError: the text holds a lone surrogate, or what the tokenizer has no id for.
        """
        check_encodable(text)
        if not allow_special or not self.special_tokens:
            return self._encode(text)
        spellings = sorted(self.special_tokens, key=len, reverse=True)
        pattern = "|".join(map(re.escape, spellings))
        ids: list[int] = []
        for part in re.split(f"({pattern})", text):
            if part in self.special_tokens:
                ids.append(self.special_tokens[part])
            elif part:
                ids += self._encode(part)
        return ids

    def _encode(self, text: str) -> list[int]:
        """The ids of a text without lone surrogates; the spelling of a special token is text."""
        raise NotImplementedError

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        return [self.encode(text) for text in texts]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of `text`, and the [start, end) of the characters that each stands for.

        Ids that share the bytes of one character each have the whole character.
        """
        ids = self.encode(text)
        return ids, byte_offsets(text, [self.token_bytes(i) for i in ids])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; bytes that are no UTF-8 become U+FFFD.

        Raises:
          InputError: an id outside of the vocabulary.
        """
        return b"".join(map(self.token_bytes, ids)).decode(errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes that one id stands for.

        Raises:
          InputError: an id outside of the vocabulary.
        """
        raise NotImplementedError

    def token_text(self, token_id: int) -> str:
        """One id for a reader: the spelling of a special token, `<0xE2>` for a part of UTF-8."""
        for spelling, special_id in self.special_tokens.items():
            if special_id == token_id:
                return spelling
        data = self.token_bytes(token_id)
        if token_id == self.special_ids.get("unk"):
            return "<unk>"
        try:
            return data.decode()
        except UnicodeDecodeError:
            return "".join(chr(b) if 32 < b < 127 else f"<0x{b:02X}>" for b in data)

    def files(self) -> dict[str, bytes]:
        """The serialised tokenizer: file names and contents, `tokenizer_config.json` included."""
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """A hash of the serialised form: equal exactly when the tokenizers are."""
        return _digest(self.files()[CONFIG_FILE])

    def __reduce__(self):
        return tokenizer_from_files, (self.files(),)


def byte_offsets(text: str, pieces: Sequence[bytes]) -> list[tuple[int, int]]:
    """The characters of `text` that pieces of its UTF-8 form touch, as [start, end).

    Args:
      text: without lone surrogates.
      pieces: together they are `text.encode()`.
    """
    if text.isascii():
        ends = list(itertools.accumulate(map(len, pieces)))
        return list(zip([0, *ends][: len(ends)], ends, strict=True))
    character_of = [i for i, c in enumerate(text) for _ in range(len(c.encode()))]
    offsets, start = [], 0
    for piece in pieces:
        end = start + len(piece)
        offsets.append((character_of[start], character_of[end - 1] + 1))
        start = end
    return offsets


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
    if text.isascii():
        return
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
      InputError: the directory is missing, or is no tokenizer.
      DamageError: a file differs from what was written, or is missing.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(f"{directory}: no such tokenizer directory")
    if not (directory / CONFIG_FILE).is_file():
        raise InputError(f"{directory} holds no {CONFIG_FILE}: it is no tokenizer of jaxlm")
    names = [CONFIG_FILE, *_read_config((directory / CONFIG_FILE).read_bytes(), directory)["files"]]
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        raise DamageError(f"{directory} is damaged: {', '.join(missing)} is missing; restore it")
    return tokenizer_from_files({n: (directory / n).read_bytes() for n in names}, where=directory)


def tokenizer_from_files(
    files: Mapping[str, bytes], *, where: str | Path = "tokenizer"
) -> Tokenizer:
    """The tokenizer whose `files()` these are; `where` names them in errors.

    Raises:
      InputError: it is no tokenizer of jaxlm, or of a kind that is not known.
      DamageError: a file is missing or differs from what was written.
    """
    if CONFIG_FILE not in files:
        raise InputError(f"{where} holds no {CONFIG_FILE}: it is no tokenizer of jaxlm")
    config = _read_config(files[CONFIG_FILE], where)
    for name, digest in config["files"].items():
        if name not in files or _digest(files[name]) != digest:
            raise DamageError(f"{where} is damaged: {name} is not what was written; restore it")
    kinds = _kinds()
    if config["kind"] not in kinds:
        raise InputError(
            f"{where}: unknown kind of tokenizer {config['kind']!r}; known are {', '.join(kinds)}"
        )
    try:
        tokenizer = kinds[config["kind"]](files)
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(
            f"{where} is damaged: it cannot be read ({error!r}); restore it"
        ) from None
    if tokenizer.files()[CONFIG_FILE] != files[CONFIG_FILE]:
        raise DamageError(
            f"{where} is damaged: {CONFIG_FILE} does not fit the tokenizer itself; restore it"
        )
    return tokenizer


def _kinds() -> dict[str, Callable[[Mapping[str, bytes]], Tokenizer]]:
    """What reads each kind."""
    # Here, because the kinds themselves are built on this file.
    from jaxlm.tokenizers.byte import ByteTokenizer
    from jaxlm.tokenizers.character import CharacterTokenizer
    from jaxlm.tokenizers.sentencepiece import SentencePieceTokenizer
    from jaxlm.tokenizers.tokenizer_json import JsonTokenizer
    from jaxlm.tokenizers.word import WordTokenizer

    return {
        "sentencepiece": SentencePieceTokenizer.from_files,
        "sentencepiece_model": lambda files: SentencePieceTokenizer.from_files(
            files, lossless=False
        ),
        "tokenizer_json": JsonTokenizer.from_files,
        "bytes": ByteTokenizer.from_files,
        "character": CharacterTokenizer.from_files,
        "word": WordTokenizer.from_files,
        "word_character": WordTokenizer.from_files,
    }


def _read_config(data: bytes, where: str | Path) -> dict:
    try:
        config = json.loads(data)
        if isinstance(config, dict) and "kind" not in config:
            raise InputError(
                f"{where} is a tokenizer of another library; read it with read_pretrained, and "
                "save it to have it in the form of jaxlm"
            )
        valid = isinstance(config["kind"], str) and all(
            Path(name).name == name and isinstance(digest, str)
            for name, digest in config["files"].items()
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        valid = False
    if not valid:
        raise DamageError(f"{where} is damaged: {CONFIG_FILE} cannot be read; restore it")
    return config


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
