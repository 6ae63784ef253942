"""Unicode repair: text decoded with the wrong encoding, and characters that nobody can see."""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections import Counter
from typing import Literal

from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

_BREAKS = "\v\f\x1c-\x1e\x85\u2028\u2029"
_KINDS = {
    "line separators": _BREAKS,
    "control characters": "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f",
    # Soft hyphen, zero-width space and joiners, word joiner and invisible operators, byte order
    # mark, annotation anchors, object replacement, tags.
    "zero-width characters": "\u00ad\u200b-\u200d\u2060-\u2064\ufeff"
    "\ufff9-\ufffc\U000e0001-\U000e007f",
    "bidirectional controls": "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069",
    "private use": "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd",
    "noncharacters": "\ufdd0-\ufdef" + "".join(
        f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17)
    ),
}  # fmt: skip
_SUSPECTS = re.compile(f"[{''.join(_KINDS.values())}]")
_KIND = [(name, re.compile(f"[{characters}]")) for name, characters in _KINDS.items()]
_REPLACEMENT = "\ufffd"

# Scripts in which joiners change letters: from Arabic to Sinhala, Myanmar, Khmer, Mongolian, and
# those of South and South-East Asia beyond; Arabic presentation forms.
_JOINING = re.compile(
    "[\u0600-\u08ff\u0900-\u0dff\u0f00-\u109f\u1700-\u18af\u1900-\u1cff\ua800-\uabff"
    "\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00011000-\U00011fff\U0001e900-\U0001e95f]"
)
_EMOJI = re.compile(
    "[\u00a9\u00ae\u203c-\u2bff\u3030\u303d\u3297\u3299\ufe0f\U0001f000-\U0001faff]"
)
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")  # of a region: Scotland


@dataclasses.dataclass(frozen=True)
class UnicodeConfig:
    """What is repaired and removed."""

    enabled: bool = True
    """Whether the step runs."""
    repair_encoding: bool = True
    """Undoes decoding with the wrong encoding ("schÃ¶n" for "schön"), as ftfy finds it."""
    normalization: Literal["", "NFC", "NFKC"] = "NFC"
    """The Unicode normal form, or none; NFKC also changes ligatures and full-width letters."""
    remove_private_use: bool = True
    """Removes characters without a public meaning, such as those of icon fonts."""
    max_replaced: float = 0.01
    """A larger share of U+FFFD, the mark of lost bytes, drops the document."""

    def __post_init__(self) -> None:
        if not 0 <= self.max_replaced <= 1:
            raise InputError(f"max_replaced {self.max_replaced}: give a number from 0 to 1")
        if self.normalization not in ("", "NFC", "NFKC"):
            raise InputError(f"normalization {self.normalization!r}: give NFC, NFKC or nothing")


def repair(text: str) -> str:
    """Undoes decoding with the wrong encoding, line by line, where ftfy is sure of it.

    Quotes, ligatures, entities and widths stay as they are: in source code they mean something.
    Robyn Speer, ftfy (2019), https://doi.org/10.5281/zenodo.2591652.
    """
    if text.isascii():
        return text
    from ftfy import TextFixerConfig, fix_encoding
    from ftfy.badness import is_bad

    settings = TextFixerConfig(explain=False)
    lines = text.split("\n")
    broken = [i for i, line in enumerate(lines) if not line.isascii() and is_bad(line)]
    for i in broken:
        lines[i] = fix_encoding(lines[i], settings)
    return "\n".join(lines) if broken else text


def remove_controls(text: str, *, private_use: bool = True) -> tuple[str, dict[str, int]]:
    """Removes what is not seen, and turns separators of lines into newlines.

    Controls (but tab, newline and carriage return), zero-width and bidirectional characters,
    characters of private use, noncharacters. Joiners stay within emoji and in the scripts whose
    letters they shape.

    Args:
      text: any text.
      private_use: whether characters of private use go, too.

    Returns:
      The text, and how many characters of each kind went or were changed.
    """
    if not _SUSPECTS.search("".join(set(text))):  # far fewer characters than the text has
        return text, {}
    counts: Counter[str] = Counter()
    flags = [match.span() for match in _FLAG.finditer(text)]
    kept = {place for start, end in flags for place in range(start, end)}

    def replacement(match: re.Match[str]) -> str:
        character, place = match[0], match.start()
        kind = next(name for name, characters in _KIND if characters.match(character))
        if (
            place in kept
            or (kind == "private use" and not private_use)
            or (character in "\u200c\u200d" and _joins(text, place))
        ):
            return character
        counts[kind] += 1
        return "\n" if kind == "line separators" else ""

    text = _SUSPECTS.sub(replacement, text)
    return text, dict(counts)


def unicode_step(config: UnicodeConfig) -> Step:
    """The step that repairs, normalises and removes; it drops texts full of lost bytes."""
    return functools.partial(_step, config)


def _step(config: UnicodeConfig, document: Document) -> Verdict:
    text, counts = document.text, {}
    if config.repair_encoding:
        repaired = repair(text)
        if repaired != text:
            counts["repaired"] = 1
            text = repaired
    text, removed = remove_controls(text, private_use=config.remove_private_use)
    counts |= removed
    if config.normalization and not unicodedata.is_normalized(config.normalization, text):
        text = unicodedata.normalize(config.normalization, text)
        counts["normalised"] = 1
    if replaced := text.count(_REPLACEMENT):
        counts["U+FFFD"] = replaced
        if replaced > config.max_replaced * len(text):
            return Verdict(text, "unicode.lost_bytes", counts)
    return Verdict(text, counts=counts)


def _joins(text: str, place: int) -> bool:
    """Whether the joiner at `place` shapes letters or an emoji."""
    if not 0 < place < len(text) - 1:
        return False
    before, after = text[place - 1], text[place + 1]
    if _JOINING.match(before):
        return True
    return text[place] == "\u200d" and bool(_EMOJI.match(before) and _EMOJI.match(after))
