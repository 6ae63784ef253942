"""Tokenizers in the `tokenizer.json` of Hugging Face's `tokenizers`: byte-level BPE, WordPiece.

The format is described at https://huggingface.co/docs/tokenizers; nothing in it is code.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tokenizers

from jaxlm.errors import InputError
from jaxlm.tokenizers.base import Tokenizer, check_encodable, checked_id, with_config
from jaxlm.tokenizers.byte_alphabet import piece_to_bytes
from jaxlm.tokenizers.special_ids import guess_roles
from jaxlm.tokenizers.tiktoken import FastEncoding, fast_encoding

_FILE = "tokenizer.json"
_ROLES = "special_ids.json"
_BYTE_PIECE = re.compile("<0x([0-9A-F]{2})>")


class JsonTokenizer(Tokenizer):
    """A tokenizer from the bytes of a `tokenizer.json`.

    Truncation, padding and added special tokens that the file asks for are left to the caller.
    Ids are those of the library `tokenizers`; byte-level BPE is encoded by `tiktoken` where that
    is certain to give the same (see `jaxlm.tokenizers.tiktoken`), as it is faster.

    Args:
      content: the file; an object with the fields "model", "added_tokens" and so on.
      roles: the spelling of the special token of each role ("bos", "eos", "unk", "pad", "mask",
        "cls", "sep"). None guesses them from the usual spellings.
      fast: False never encodes by `tiktoken`.

    Raises:
      InputError: the file cannot be read, or has a decoder that gives no text.
    """

    kind = "tokenizer_json"

    def __init__(
        self, content: bytes, roles: Mapping[str, str] | None = None, *, fast: bool = True
    ):
        self._content = content
        self._description = _read(content)
        self._tokenizer = _build(self._description)
        try:
            self._prepare(roles, fast)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise InputError(f"tokenizer.json is damaged: {error!r}") from None

    def _prepare(self, roles: Mapping[str, str] | None, fast: bool) -> None:
        # Otherwise the spelling of a special token in a text would be that token.
        self._tokenizer.encode_special_tokens = True
        vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        if not vocabulary:
            raise InputError("tokenizer.json holds an empty vocabulary")
        if len(set(vocabulary.values())) < len(vocabulary):
            raise InputError("tokenizer.json is damaged: two pieces have one id")
        self.vocab_size = max(vocabulary.values()) + 1
        added = self._description["added_tokens"]
        special = {a["content"]: vocabulary[a["content"]] for a in added if a["special"]}
        unknown = _unknown(self._description["model"], vocabulary)
        roles = guess_roles(special, unknown) if roles is None else roles
        if strange := [spelling for spelling in roles.values() if spelling not in vocabulary]:
            raise InputError(f"special token {strange[0]!r} is not in the vocabulary")
        self.roles = dict(sorted(roles.items()))
        self.special_ids = {role: vocabulary[spelling] for role, spelling in self.roles.items()}
        self.bos_id: int | None = self.special_ids.get("bos")
        self.eos_id: int | None = self.special_ids.get("eos")
        self.special_tokens = special
        # No text may lead to these; `<unk>` stands for text.
        self._reserved = {i for spelling, i in special.items() if spelling != unknown}
        self._pieces: list[str | None] = [None] * self.vocab_size
        for piece, token_id in vocabulary.items():
            self._pieces[token_id] = piece
        to_bytes, self._strips_space = _decoding(self._description)
        plain_added = {a["content"] for a in added if not a["special"]}
        self._bytes = [b""] * self.vocab_size
        for piece, token_id in vocabulary.items():
            if piece == unknown:
                self._bytes[token_id] = to_bytes("\ufffd")
            elif token_id not in self._reserved:
                self._bytes[token_id] = piece.encode() if piece in plain_added else to_bytes(piece)
        self._fast: FastEncoding | None = None
        if fast and _is_byte_level(self._description):
            self._fast = fast_encoding(self._description, self._tokenizer, self._reserved)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> JsonTokenizer:
        """The tokenizer whose `files()` these are."""
        return cls(files[_FILE], json.loads(files[_ROLES]))

    @property
    def is_fast(self) -> bool:
        """Whether `tiktoken` encodes."""
        return self._fast is not None

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        """The ids of `text`; see `Tokenizer.encode`.

        With `allow_special` a special token takes the white space along that the file says.
        """
        check_encodable(text)
        if allow_special:
            return self._permissive.encode(text, add_special_tokens=False).ids
        return self._encode(text)

    def _encode(self, text: str) -> list[int]:
        if self._fast is not None and (ids := self._fast.encode(text)) is not None:
            return ids
        return self._checked(text, self._tokenizer.encode(text, add_special_tokens=False))[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text; several processor cores share the work."""
        for text in texts:
            check_encodable(text)
        if self._fast is not None:
            return [
                self._encode(text) if ids is None else ids
                for text, ids in zip(texts, self._fast.encode_batch(texts), strict=True)
            ]
        encodings = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [
            encoding.ids if self._reserved.isdisjoint(encoding.ids) else self._encode(text)
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of `text`, and the characters of `text` that each stands for."""
        check_encodable(text)
        return self._checked(text, self._tokenizer.encode(text, add_special_tokens=False))

    def _checked(
        self, text: str, encoding: tokenizers.Encoding
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and offsets of an encoding, without a special token that the text has spelled.

        Some models (unigram) hold these spellings as pieces. There the text is divided inside of
        the spelling.
        """
        ids, offsets = encoding.ids, encoding.offsets
        if self._reserved.isdisjoint(ids):
            return ids, offsets
        found = next(i for i, token_id in enumerate(ids) if token_id in self._reserved)
        cut = offsets[found][0] + 1
        if not 0 < cut < len(text):
            raise InputError(
                f"character {cut - 1} of the text becomes the special token "
                f"{self._pieces[ids[found]]!r}; encode it with allow_special, or leave it out"
            )
        left, right = (
            self._checked(part, self._tokenizer.encode(part, add_special_tokens=False))
            for part in (text[:cut], text[cut:])
        )
        return left[0] + right[0], left[1] + [(a + cut, b + cut) for a, b in right[1]]

    @functools.cached_property
    def _permissive(self) -> tokenizers.Tokenizer:
        """Takes the spelling of a special token for the token."""
        return _build(self._description)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; specials are skipped, bytes that are no UTF-8 become U+FFFD.

        WordPiece is joined with spaces, which are removed before punctuation if the file says so.
        """
        decoder = self._description["decoder"]
        if decoder is not None and decoder["type"] == "WordPiece":
            kept = [i for i in ids if self.token_bytes(i)]
            unknown = self.special_ids.get("unk")
            pieces = ["\ufffd" if i == unknown else self._pieces[i] or "" for i in kept]
            return self._tokenizer.decoder.decode(pieces)
        text = super().decode(ids)
        return text.removeprefix(" ") if self._strips_space else text

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one id; a word's first piece has its space in front."""
        return self._bytes[checked_id(token_id, self.vocab_size)]

    def files(self) -> dict[str, bytes]:
        """The serialised tokenizer."""
        roles = (json.dumps(self.roles, indent=2) + "\n").encode()
        return with_config(self, {_FILE: self._content, _ROLES: roles})


def _read(content: bytes) -> dict[str, Any]:
    """The description, with all optional fields, and without those that are not used here."""
    try:
        found = json.loads(content)
        description = {
            "version": found.get("version", "1.0"),
            "truncation": None,
            "padding": None,
            "added_tokens": found.get("added_tokens") or [],
            "normalizer": found.get("normalizer"),
            "pre_tokenizer": found.get("pre_tokenizer"),
            # It adds special tokens and trims offsets.
            "post_processor": None,
            "decoder": found.get("decoder"),
            "model": dict(found["model"]),
        }
        for added in description["added_tokens"]:
            added["content"], added["special"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"no tokenizer.json: the file is damaged or foreign ({error!r})") from None
    return description


def _build(description: Mapping[str, Any]) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(json.dumps(description))
    except Exception as error:  # the library raises nothing more precise
        raise InputError(f"no tokenizer.json that `tokenizers` reads: {error}") from None


def _unknown(model: Mapping[str, Any], vocabulary: Mapping[str, int]) -> str | None:
    """The spelling of the token for what is not known."""
    if isinstance(model.get("unk_id"), int):  # unigram
        return model["vocab"][model["unk_id"]][0]
    spelling = model.get("unk_token")
    if spelling in vocabulary:
        return spelling
    if model.get("type", "BPE") not in ("BPE", "Unigram"):  # they fail at an unknown word
        raise InputError(f"tokenizer.json is damaged: {spelling!r} is not in its vocabulary")
    return None


def _parts(component: Mapping[str, Any] | None, name: str) -> Iterator[Mapping[str, Any]]:
    """A component, or those of which it is a sequence."""
    if component is None:
        return
    if component["type"] == "Sequence":
        for part in component[name]:
            yield from _parts(part, name)
    else:
        yield component


def _is_byte_level(description: Mapping[str, Any]) -> bool:
    return any(p["type"] == "ByteLevel" for p in _parts(description["decoder"], "decoders"))


def _decoding(description: Mapping[str, Any]) -> tuple[Callable[[str], bytes], bool]:
    """What turns a piece into bytes, and whether a text's first space is none of its own."""
    parts = list(_parts(description["decoder"], "decoders"))
    types = {part["type"] for part in parts}
    if "ByteLevel" in types:
        return piece_to_bytes, False
    if "WordPiece" in types:
        prefix = next(part["prefix"] for part in parts if part["type"] == "WordPiece")
        return functools.partial(_word_piece, prefix), True
    if "BPEDecoder" in types:
        suffix = next(part["suffix"] for part in parts if part["type"] == "BPEDecoder")
        return lambda piece: piece.replace(suffix, " ").encode(), False
    if types <= {"Metaspace", "Replace", "ByteFallback", "Fuse", "Strip"} and types:
        mark = next((p["replacement"] for p in parts if p["type"] == "Metaspace"), "\u2581")
        strips = any(
            part["type"] == "Strip"
            or (part["type"] == "Metaspace" and part.get("prepend_scheme", "always") != "never")
            for part in parts
        )
        has_bytes = "ByteFallback" in types or bool(description["model"].get("byte_fallback"))
        return functools.partial(_marked_piece, mark, has_bytes), strips
    if not types:
        return lambda piece: f" {piece}".encode(), True
    raise InputError(
        f"tokenizer.json has a decoder of {', '.join(sorted(types))}, which is not read here; "
        "ByteLevel, WordPiece, BPEDecoder and Metaspace are"
    )


def _word_piece(prefix: str, piece: str) -> bytes:
    return (piece.removeprefix(prefix) if piece.startswith(prefix) else f" {piece}").encode()


def _marked_piece(mark: str, has_bytes: bool, piece: str) -> bytes:
    if has_bytes and (found := _BYTE_PIECE.fullmatch(piece)):
        return bytes([int(found[1], 16)])
    return piece.replace(mark, " ").encode()
