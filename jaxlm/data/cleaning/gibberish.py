"""Gibberish: text whose letters do not follow each other as in any language.

Tables tell how surprising a letter is after the two before it, in bits: one for each of some groups
of languages in Latin script (Germanic, Romance ...), and the one that fits best counts. Prose and
code have 3 to 4 bits a letter; letters that only keep the pairs of English have 4.5, its letters in
random order 6, base64 and a keyboard's rows 7.5. `experiments/letter_trigrams.py` makes the tables.
Other scripts are not judged. Noise that imitates runs of three letters is not found; a language
that is far from all those in the tables may be taken for noise.
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
"""The unit of the tables."""
_BLOCK = 1 << 17
_OTHER_LETTER = SYMBOLS - 1
_WORDS = 0.9
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
    max_bits_per_letter: float = 4.1
    """More surprising letters are gibberish, in text that is words and white space by 90 %."""
    max_bits_per_letter_of_names: float = 4.6
    """The same in text with more digits and punctuation: names in tables and code look odd."""
    max_accented_share: float = 0.5
    """More letters beyond a to z are another script, read in the wrong encoding."""
    min_letters: int = 100
    """Documents with fewer Latin letters are not judged."""

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        if self.min_letters < 1:
            return [f"--gibberish.min-letters {self.min_letters}: must be at least 1"]
        return []


def letter_symbols(text: str) -> np.ndarray:
    """The symbol of each character (uint8), with two separators in front and one at the end."""
    data = text.encode("utf-8", "surrogatepass")
    if not text.isascii():
        for vietnamese in (b"\xe1\xba", b"\xe1\xbb"):  # U+1E80 to U+1EFF
            data = data.replace(vietnamese, b"\xc5")
    data = data.translate(_SYMBOL_OF_BYTE, _CONTINUATION)
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


@dataclasses.dataclass(frozen=True)
class LetterScore:
    """How the letters of a text follow each other.

    Attributes:
      bits: how surprising a letter is, on average.
      letters: how many there are; 0 if characters of other scripts are more.
      share: of the text's characters that are letters or white space.
      accented: share of the letters that are not a to z.
    """

    bits: float
    letters: int
    share: float
    accented: float


def score_letters(text: str) -> LetterScore:
    """Scores the letters of Latin script in `text`."""
    tables = _tables()
    costs = np.zeros(len(tables), np.int64)
    letters = accented = others = spaces = 0
    for start in range(0, len(text), _BLOCK):
        block = text[start : start + _BLOCK]
        symbols = letter_symbols(block)
        # Entries of trigrams that end in a separator are zero.
        trigrams = letter_trigrams(symbols)
        costs += [table.take(trigrams).sum(dtype=np.int64) for table in tables]
        letters += int(np.count_nonzero(symbols))
        spaces += sum(map(block.count, " \n\t\r"))
        if not block.isascii():
            accented += int(np.count_nonzero(symbols == _OTHER_LETTER))
            codes = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), "<u4")
            marks = (codes >= _MARKS[0]) & (codes <= _MARKS[1])
            others += int(np.count_nonzero((codes > _LAST_LATIN) & ~marks))
    if letters == 0 or others > letters:
        return LetterScore(0.0, 0, 0.0, 0.0)
    return LetterScore(
        bits=int(costs.min()) * BITS / letters,
        letters=letters,
        share=(letters + spaces) / len(text),
        accented=accented / letters,
    )


@functools.cache
def _tables() -> np.ndarray:
    """uint8 [tables, 28 * 28 * 28]."""
    file = importlib.resources.files("jaxlm.data.cleaning") / "letter_trigrams.npy"
    return np.load(io.BytesIO(file.read_bytes()), allow_pickle=False).reshape(-1, SYMBOLS**3)


def gibberish_step(config: GibberishConfig) -> Step:
    """The search for gibberish as a cleaning step.

    Raises:
      InputError: an impossible number of letters.
    """
    if problems := config.problems():
        raise InputError(problems)
    return functools.partial(_verdict, config)


def _verdict(config: GibberishConfig, document: Document) -> Verdict:
    score = score_letters(document.text)
    limit = (
        config.max_bits_per_letter if score.share >= _WORDS else config.max_bits_per_letter_of_names
    )
    found = score.letters >= config.min_letters and (
        score.bits > limit or score.accented > config.max_accented_share
    )
    return Verdict(document.text, "gibberish" if found else "")
