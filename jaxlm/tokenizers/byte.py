"""The bytes of UTF-8 themselves: nothing is trained, and nothing is unknown."""

from __future__ import annotations

from collections.abc import Mapping

from jaxlm.tokenizers.base import Tokenizer, checked_id, with_config


class ByteTokenizer(Tokenizer):
    """Ids 0 to 255 are the bytes, 256 and 257 the beginning and end of a document."""

    kind = "bytes"

    def __init__(self) -> None:
        self.vocab_size = 258
        self.bos_id: int | None = 256
        self.eos_id: int | None = 257
        self.special_ids = {"bos": 256, "eos": 257}
        self.special_tokens = {"<s>": 256, "</s>": 257}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> ByteTokenizer:
        """The tokenizer whose `files()` these are."""
        return cls()

    def _encode(self, text: str) -> list[int]:
        return list(text.encode())

    def token_bytes(self, token_id: int) -> bytes:
        """The byte of one id."""
        checked_id(token_id, self.vocab_size)
        return bytes([token_id]) if token_id < 256 else b""

    def files(self) -> dict[str, bytes]:
        """The serialised tokenizer."""
        return with_config(self, {})
