"""One token for each distinct character of the training text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from jaxlm.errors import InputError
from jaxlm.tokenizers.base import check_encodable, checked_id, fingerprint_of, with_config

_FILE = "characters.json"
_SPECIALS = ["<unk>", "<s>", "</s>"]


class CharacterTokenizer:
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
        self.vocab_size = offset + len(self.characters)
        self._ids = {character: offset + i for i, character in enumerate(self.characters)}
        self._bytes = ["\ufffd".encode(), b"", b""][:offset]
        self._bytes += [character.encode() for character in self.characters]

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> CharacterTokenizer:
        """The tokenizer whose `files()` these are."""
        content = json.loads(files[_FILE])
        return cls(content["characters"], content["specials"])

    def encode(self, text: str) -> list[int]:
        """The ids of `text`.

        Raises:
          InputError: without specials, a character that the training text did not hold.
        """
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

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; specials are skipped, `<unk>` becomes U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode()

    def token_bytes(self, token_id: int) -> bytes:
        """The UTF-8 bytes of one id."""
        return self._bytes[checked_id(token_id, self.vocab_size)]

    def files(self) -> dict[str, bytes]:
        """The serialised tokenizer."""
        content = {"characters": self.characters, "specials": self.specials}
        return with_config(self, {_FILE: json.dumps(content).encode()})

    @property
    def fingerprint(self) -> str:
        """A hash of the serialised form."""
        return fingerprint_of(self.files())
