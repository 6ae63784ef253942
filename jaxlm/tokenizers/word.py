"""Whole words; an unknown one becomes `<unk>`, or is spelled in characters."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping

from jaxlm.errors import InputError
from jaxlm.tokenizers.base import Tokenizer, checked_id, with_config
from jaxlm.tokenizers.training_text import chunks, sample

_FILE = "words.json"
_SPECIALS = {"<unk>": 0, "<s>": 1, "</s>": 2}
# Every character belongs to one piece; a word or a sign takes a space before it along.
_PIECE = re.compile(r" ?\w+| ?[^\w\s]|\s")


class WordTokenizer(Tokenizer):
    """Ids for words and signs, each with and without a space before it.

    Ids 0, 1, 2 are `<unk>`, beginning and end of a document; the words follow, then the characters
    and the 256 bytes, if unknown words are spelled. A character of a spelled word has another id
    than the same character as a word, so that the ids tell what was unknown; a character that is
    unknown itself is spelled in bytes, and every text comes back as it was.

    Args:
      words: in the order of their ids.
      characters: with which unknown words are spelled; None makes them `<unk>`.
    """

    def __init__(self, words: Iterable[str], characters: str | None = None):
        self.words = list(dict.fromkeys(words))
        self.characters = characters
        self.kind = "word" if characters is None else "word_character"
        self.bos_id: int | None = 1
        self.eos_id: int | None = 2
        self.special_ids = {"unk": 0, "bos": 1, "eos": 2}
        self.special_tokens = {"<s>": 1, "</s>": 2}
        first_character = len(_SPECIALS) + len(self.words)
        self._bytes = ["\ufffd".encode(), b"", b"", *(word.encode() for word in self.words)]
        self._words = {word: i for i, word in enumerate(self.words, len(_SPECIALS))}
        self._characters: dict[str, list[int]] = {}
        if characters is not None:
            self._bytes += [character.encode() for character in characters]
            self._characters = {c: [i] for i, c in enumerate(characters, first_character)}
            self._first_byte = len(self._bytes)
            self._bytes += [bytes([byte]) for byte in range(256)]
        self.vocab_size = len(self._bytes)

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> WordTokenizer:
        """The tokenizer whose `files()` these are."""
        content = json.loads(files[_FILE])
        return cls(content["words"], content["characters"])

    def _encode(self, text: str) -> list[int]:
        return [i for piece in _PIECE.findall(text) for i in self._piece_ids(piece)]

    def _piece_ids(self, piece: str) -> list[int]:
        if (word_id := self._words.get(piece)) is not None:
            return [word_id]
        if self.characters is None:
            return [0]
        return [i for character in piece for i in self._character_ids(character)]

    def _character_ids(self, character: str) -> list[int]:
        known = self._characters.get(character)
        return known or [self._first_byte + byte for byte in character.encode()]

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of `text`, and the characters that each stands for."""
        if self.characters is not None:
            return super().encode_with_offsets(text)
        return self.encode(text), [match.span() for match in _PIECE.finditer(text)]

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes of one id."""
        return self._bytes[checked_id(token_id, self.vocab_size)]

    def token_text(self, token_id: int) -> str:
        """One id for a reader; `##` marks the characters and bytes of a spelled word."""
        text = super().token_text(token_id)
        return f"##{text}" if token_id >= len(_SPECIALS) + len(self.words) else text

    def files(self) -> dict[str, bytes]:
        """The serialised tokenizer."""
        content = {"words": self.words, "characters": self.characters}
        return with_config(self, {_FILE: json.dumps(content).encode()})


def train_words(
    texts: Iterable[str],
    vocab_size: int,
    *,
    spell_unknown: bool = False,
    seed: int = 0,
    max_characters: int = 100_000_000,
) -> WordTokenizer:
    """The most frequent words; of two equally frequent ones the first in the order of code points.

    Args:
      texts: of more than `max_characters` a sample drawn with `seed` is used.
      vocab_size: at most; with fewer distinct words the vocabulary is smaller.
      spell_unknown: spells unknown words in characters. The characters of the text, the most
        frequent first, get at most a quarter of the vocabulary.

    Raises:
      InputError: no text, or no room for one word.
    """
    words: Counter[str] = Counter()
    characters: Counter[str] = Counter()
    for chunk in sample(chunks(texts, 100_000), seed, max_characters):
        words.update(_PIECE.findall(chunk))
        if spell_unknown:
            characters.update(chunk)
    if not words:
        raise InputError("a word tokenizer needs text to take its words from")
    alphabet = None
    room = vocab_size - len(_SPECIALS)
    if spell_unknown:
        alphabet = "".join(sorted(_most_frequent(characters, vocab_size // 4)))
        room -= len(alphabet) + 256
    if room < 1:
        raise InputError(
            f"--vocab-size {vocab_size}: no room for a word beside the special tokens"
            + (", the characters and the 256 bytes" if spell_unknown else "")
            + f"; give more than {vocab_size - room}"
        )
    return WordTokenizer(_most_frequent(words, room), alphabet)


def _most_frequent(counts: Counter[str], limit: int) -> list[str]:
    return sorted(counts, key=lambda key: (-counts[key], key))[:limit]
