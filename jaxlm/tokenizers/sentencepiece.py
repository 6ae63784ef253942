"""SentencePiece subwords: trained so that every text comes back as it went in, or as they are.

Kudo and Richardson 2018, "SentencePiece: A simple and language independent subword tokenizer"
(arXiv:1808.06226); byte-pair merges or a unigram model, both with a fall-back to bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import sentencepiece

from jaxlm.errors import InputError
from jaxlm.tokenizers.base import Tokenizer, check_encodable, checked_id, with_config
from jaxlm.tokenizers.training_text import chunks, sample

_FILE = "sentencepiece.model"
# The character that SentencePiece writes for a space: as text of its own it would become one.
_SPACE_MARK = "\u2581"
# The trainer drops a sentence that holds one of these, silently, so texts are divided at them:
# the mark of an unknown character and NUL.
_RESERVED = re.compile("[\u2581\u2585\0]+")
_CHUNK = 2000


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece model, from its serialised bytes.

    Args:
      model_bytes: the content of a `.model` file.
      lossless: of a model of `train_sentencepiece`: every text comes back as it was. With False
        the model is taken as it is, with its normalisation and the space that it puts in front.

    Raises:
      InputError: the bytes are no SentencePiece model, or, if `lossless`, one without byte
        fall-back.
    """

    def __init__(self, model_bytes: bytes, *, lossless: bool = True):
        try:
            if not model_bytes:  # which would leave the processor empty, with lines on the terminal
                raise RuntimeError("no bytes")
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model_bytes)
            self._read_pieces()
        except (RuntimeError, UnicodeDecodeError):
            raise InputError("not a SentencePiece model: the file is damaged or foreign") from None
        processor = self._processor
        self.kind = "sentencepiece" if lossless else "sentencepiece_model"
        self._model_bytes = model_bytes
        mark_ids = [processor.piece_to_id(f"<0x{byte:02X}>") for byte in _SPACE_MARK.encode()]
        if lossless and not all(processor.is_byte(i) for i in mark_ids):
            raise InputError("the SentencePiece model has no byte pieces; train with byte_fallback")
        self._mark_ids = mark_ids
        self._lossless = lossless
        self._puts_space = not lossless and processor.normalize("a").startswith(_SPACE_MARK)

    def _read_pieces(self) -> None:
        processor = self._processor
        self.vocab_size = processor.vocab_size()
        roles = {
            "unk": processor.unk_id(),
            "bos": processor.bos_id(),
            "eos": processor.eos_id(),
            "pad": processor.pad_id(),
        }
        self.special_ids = {role: i for role, i in roles.items() if i >= 0}
        self.bos_id: int | None = self.special_ids.get("bos")
        self.eos_id: int | None = self.special_ids.get("eos")
        self.special_tokens = {
            processor.id_to_piece(i): i for i in range(self.vocab_size) if processor.is_control(i)
        }
        self._bytes = [self._piece_bytes(i) for i in range(self.vocab_size)]

    def _piece_bytes(self, token_id: int) -> bytes:
        processor = self._processor
        if processor.is_unknown(token_id):
            return "\ufffd".encode()
        if processor.is_control(token_id):
            return b""
        piece = processor.id_to_piece(token_id)
        if processor.is_byte(token_id):
            return bytes([int(piece[3:5], 16)])
        return piece.replace(_SPACE_MARK, " ").encode()

    @classmethod
    def from_files(
        cls, files: Mapping[str, bytes], *, lossless: bool = True
    ) -> SentencePieceTokenizer:
        """The tokenizer whose `files()` these are."""
        return cls(files[_FILE], lossless=lossless)

    def _encode(self, text: str) -> list[int]:
        if not self._lossless or _SPACE_MARK not in text:
            return self._processor.encode(text)
        first, *others = (self._processor.encode(part) for part in text.split(_SPACE_MARK))
        return first + [i for part in others for i in (*self._mark_ids, *part)]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text; several processor cores share the work."""
        for text in texts:
            check_encodable(text)
        encoded = self._processor.encode(list(texts), num_threads=-1)
        for i, text in enumerate(texts):
            if self._lossless and _SPACE_MARK in text:
                encoded[i] = self.encode(text)
        return encoded

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of `text`, and the characters of `text` that each stands for."""
        if self._lossless:
            return super().encode_with_offsets(text)
        check_encodable(text)
        found = self._processor.encode(text, out_type="offset_mapping")
        return found["ids"], found["offsets"]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`, without a space that the model has put in front."""
        text = super().decode(ids)
        return text.removeprefix(" ") if self._puts_space else text

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of one id."""
        return self._bytes[checked_id(token_id, self.vocab_size)]

    def files(self) -> dict[str, bytes]:
        """The serialised tokenizer."""
        return with_config(self, {_FILE: self._model_bytes})


def train_sentencepiece(
    texts: Iterable[str],
    vocab_size: int,
    *,
    model_type: Literal["bpe", "unigram"] = "bpe",
    seed: int = 0,
    max_characters: int = 100_000_000,
) -> SentencePieceTokenizer:
    """Trains a lossless tokenizer of exactly `vocab_size` pieces.

    The same texts and settings give the same bytes. `<unk>`, `<s>` and `</s>` are ids 0, 1, 2; no
    id is spent on padding. Of more than `max_characters` a sample drawn with `seed` is used.

    Raises:
      InputError: no text, or a vocabulary larger or smaller than the texts allow.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sample(chunks(texts, _CHUNK, _RESERVED), seed, max_characters),
            model_writer=model,
            model_type=model_type,
            vocab_size=vocab_size,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            add_dummy_prefix=False,
            allow_whitespace_only_pieces=True,
            byte_fallback=True,
            # Counted in bytes; longer sentences would be left out with no more than a log line.
            max_sentence_length=4 * _CHUNK,
            pad_id=-1,
            # Part of the result (the unigram model sums by thread), so the same on every machine.
            num_threads=16,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise InputError(_training_problem(str(error), vocab_size)) from None
    return SentencePieceTokenizer(model.getvalue())


def _training_problem(message: str, vocab_size: int) -> str:
    if found := re.search(r"Vocabulary size too high.*<= (\d+)", message):
        return (
            f"a vocabulary of {vocab_size:,} is more than the text allows, which is at most "
            f"{int(found[1]):,}: set --model.vocab-size {found[1]}, or give more text"
        )
    if found := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        return (
            f"a vocabulary of {vocab_size:,} has no room for the 256 bytes, the special tokens and "
            f"the characters of the text, {int(found[1]):,} together: set --model.vocab-size "
            f"{found[1]} or more"
        )
    return (
        f"SentencePiece could not train a vocabulary of {vocab_size:,} (too little text, or "
        f"--model.vocab-size out of range): {message}"
    )
