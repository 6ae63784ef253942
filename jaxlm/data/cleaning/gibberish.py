"""Gibberish: text whose letters do not follow each other as in any language.

A table tells how surprising a letter is after the two before it, in bits, over source code and
some forty languages in Latin script. Prose and code have about 4 bits a letter in each of them;
letters in the proportions of English but in random order have 6, base64 and a keyboard's rows 7.5.
`experiments/letter_trigrams.py` makes the table. Text in other scripts is not judged, nor is noise
that imitates runs of three letters.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
import io

import numpy as np

from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

SYMBOLS = 28
"""What is no letter, a to z, and any other letter of Latin script."""
BITS = 1 / 16
"""The unit of the table."""
_BLOCK = 1 << 17
_OTHER_LETTER = SYMBOLS - 1
_LAST_LATIN = 0x27F
_MARKS = (0x2000, 0x2BFF)  # punctuation, arrows, mathematics, box drawing
_CONTINUATION = bytes(range(0x80, 0xC0))


def _symbol(byte: int) -> int:
    if chr(byte).isascii() and chr(byte).isalpha():
        return ord(chr(byte).lower()) - ord("a") + 1
    # First bytes of U+00C0 to U+027F in UTF-8.
    return _OTHER_LETTER if 0xC3 <= byte <= 0xC9 else 0


_SYMBOL_OF_BYTE = bytes(map(_symbol, range(256)))


@dataclasses.dataclass(frozen=True)
class GibberishConfig:
    """When the letters of a document are noise; no value here is a published one."""

    enabled: bool = True
    """Drop gibberish."""
    max_bits_per_letter: float = 4.5
    """More surprising letters are gibberish. Of pages in 14 languages, Python's documentation and
    source code 0.1 % are above it, of the Linux kernel's documentation, with its tables of pins,
    3 %; of noise in general 99 %, of noise with the pairs of letters of English 94 %."""
    min_letters: int = 100
    """Documents with fewer Latin letters are not judged."""

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        if self.min_letters < 1:
            return [f"--gibberish.min-letters {self.min_letters}: must be at least 1"]
        return []


def letter_symbols(text: str) -> np.ndarray:
    """The symbol of each character (uint8), with two separators in front and one at the end."""
    data = text.encode("utf-8", "surrogatepass").translate(_SYMBOL_OF_BYTE, _CONTINUATION)
    return np.frombuffer(b"\0\0" + data + b"\0", np.uint8)


def letter_trigrams(symbols: np.ndarray) -> np.ndarray:
    """The number (first * 28 + second) * 28 + third of each run of three symbols; uint16.

    What stood before a separator does not matter and is taken for a separator.
    """
    first, second, third = symbols[:-2], symbols[1:-1], symbols[2:]
    trigrams = first.astype(np.uint16)
    trigrams *= second != 0
    trigrams *= SYMBOLS
    trigrams += second
    trigrams *= SYMBOLS
    trigrams += third
    return trigrams


def bits_per_letter(text: str) -> tuple[float, int]:
    """How surprising the letters of `text` are on average, and how many there are.

    Where characters of other scripts are more, the result is (0.0, 0).
    """
    cost = letters = others = 0
    for start in range(0, len(text), _BLOCK):
        block = text[start : start + _BLOCK]
        symbols = letter_symbols(block)
        # Entries of trigrams that end in a separator are zero.
        cost += int(_table().take(letter_trigrams(symbols)).sum(dtype=np.int64))
        letters += int(np.count_nonzero(symbols))
        if not block.isascii():
            codes = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), "<u4")
            marks = (codes >= _MARKS[0]) & (codes <= _MARKS[1])
            others += int(np.count_nonzero((codes > _LAST_LATIN) & ~marks))
    if letters == 0 or others > letters:
        return 0.0, 0
    return cost * BITS / letters, letters


@functools.cache
def _table() -> np.ndarray:
    file = importlib.resources.files("jaxlm.data.cleaning") / "letter_trigrams.npy"
    return np.load(io.BytesIO(file.read_bytes()), allow_pickle=False).reshape(-1)


def gibberish_step(config: GibberishConfig) -> Step:
    """The search for gibberish as a cleaning step.

    Raises:
      InputError: an impossible number of letters.
    """
    if problems := config.problems():
        raise InputError(problems)
    return functools.partial(_verdict, config)


def _verdict(config: GibberishConfig, document: Document) -> Verdict:
    bits, letters = bits_per_letter(document.text)
    found = letters >= config.min_letters and bits > config.max_bits_per_letter
    return Verdict(document.text, "gibberish" if found else "")
