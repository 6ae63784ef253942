"""One token for each distinct character of the training text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from jaxlm.errors import InputError
from jaxlm.tokenizers.base import Tokenizer, check_encodable, checked_id, with_config

_FILE = "characters.json"
_SPECIALS = ["<unk>", "<s>", "</s>"]


class CharacterTokenizer(Tokenizer):
    """Ids are the ranks of the sorted distinct characters.

    Args:
      characters: the characters, in any order, repeated or not.
      specials: with True ids 0, 1, 2 are `<unk>`, beginning and end of a document, and unknown
        characters become `<unk>`; with False there are none and unknown characters are refused.
    """

    kind = "character"

    def __init__(self, characters: Iterable[str], specials: bool):
        self.characters = "".join(sorted(set(characters)))
        if not self.characters:
            raise InputError("a character tokenizer needs text to take its characters from")
        check_encodable(self.characters)
        offset = len(_SPECIALS) if specials else 0
        self.specials = specials
        self.bos_id: int | None = 1 if specials else None
        self.eos_id: int | None = 2 if specials else None
        self.special_ids = {"unk": 0, "bos": 1, "eos": 2} if specials else {}
        self.special_tokens = {"<s>": 1, "</s>": 2} if specials else {}
        self.vocab_size = offset + len(self.characters)
        self._ids = {character: offset + i for i, character in enumerate(self.characters)}
        self._bytes = ["\ufffd".encode(), b"", b""][:offset]
        self._bytes += [character.encode() for character in self.characters]

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> CharacterTokenizer:
        """The tokenizer whose `files()` these are."""
        content = json.loads(files[_FILE])
        return cls(content["characters"], content["specials"])

    def _encode(self, text: str) -> list[int]:
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            if self.specials:
                return [self._ids.get(character, 0) for character in text]
            character = error.args[0]
            raise InputError(
                f"unknown character {character!r} (U+{ord(character):04X}) at position "
                f"{text.index(character)}: the vocabulary is the {self.vocab_size} characters of "
                "the training text; remove it, or make the tokenizer with specials"
            ) from None

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of `text`, and the place of each character."""
        return self.encode(text), [(i, i + 1) for i in range(len(text))]

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes of one id."""
        return self._bytes[checked_id(token_id, self.vocab_size)]

    def files(self) -> dict[str, bytes]:
        """The serialised tokenizer."""
        content = {"characters": self.characters, "specials": self.specials}
        return with_config(self, {_FILE: json.dumps(content).encode()})
