"""The 256 printable characters that stand for bytes in the vocabularies of byte-level BPE.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2; the table
is that of the released GPT-2 encoder: printable Latin-1 characters stand for themselves, the
other bytes, in order, for the characters from U+0100 on.
"""

from __future__ import annotations

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_OTHER = [byte for byte in range(256) if byte not in set(_PRINTABLE)]
CHARACTER_OF_BYTE = {
    **{byte: chr(byte) for byte in _PRINTABLE},
    **{byte: chr(0x100 + i) for i, byte in enumerate(_OTHER)},
}
BYTE_OF_CHARACTER = {character: byte for byte, character in CHARACTER_OF_BYTE.items()}


def piece_to_bytes(piece: str) -> bytes:
    """The bytes of a vocabulary's piece; a character outside of the alphabet gives its UTF-8."""
    try:
        return bytes([BYTE_OF_CHARACTER[character] for character in piece])
    except KeyError:
        return piece.encode()


def bytes_to_piece(data: bytes) -> str:
    """The piece of a vocabulary that stands for `data`."""
    return "".join(CHARACTER_OF_BYTE[byte] for byte in data)
