"""The document filters of MassiveText, on which Gopher was trained.

Rae et al. 2021, "Scaling Language Models: Methods, Analysis & Insights from Training Gopher"
(https://arxiv.org/abs/2112.11446), appendix A1.1: quality rules, and repetition rules (table A1).
A word is what stands between white space; the paper does not say how it divides words. Blank lines
are not counted, and fractions of characters are of those that words (or lines) are made of.
"""

from __future__ import annotations

import dataclasses
import functools
import re

from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.cleaning.words import (
    number_words,
    repeated_run_characters,
    text_lines,
    top_run_characters,
    word_runs,
)
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

STOP_WORDS = frozenset(("the", "be", "to", "of", "and", "that", "have", "with"))
"""The English words of which a document must hold two."""
_BULLETS = ("•", "-", "*", "‣", "◦", "●", "▪", "–", "·")  # noqa: RUF001
_ELLIPSES = ("...", "…")
_LETTER = re.compile(r"[^\W\d_]")
_BLANK_LINES = re.compile(r"\n\s*\n")


@dataclasses.dataclass(frozen=True)
class GopherQualityConfig:
    """Quality rules of Gopher; made for English (the stop words), also fit for documentation."""

    enabled: bool = True
    """Drop documents by these rules."""
    min_words: int = 50
    """Fewest words (published: 50)."""
    max_words: int = 100_000
    """Most words (published: 100,000)."""
    min_mean_word_length: float = 3.0
    """Fewest characters in a word on average (published: 3)."""
    max_mean_word_length: float = 10.0
    """Most characters in a word on average (published: 10)."""
    max_symbol_to_word_ratio: float = 0.1
    """Most "#", and most ellipses, for each word (published: 0.1)."""
    max_bullet_line_fraction: float = 0.9
    """Most lines that start with a bullet point (published: 0.9)."""
    max_ellipsis_line_fraction: float = 0.3
    """Most lines that end with an ellipsis (published: 0.3)."""
    min_alphabetic_word_fraction: float = 0.8
    """Fewest words with a letter (published: 0.8)."""
    min_stop_words: int = 2
    """Fewest different words of `STOP_WORDS` (published: 2); 0 for languages beside English."""

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        found = _negative(self, "--gopher-quality")
        for low, high in (
            ("min_words", "max_words"),
            ("min_mean_word_length", "max_mean_word_length"),
        ):
            if getattr(self, low) > getattr(self, high):
                found.append(
                    f"--gopher-quality.{low.replace('_', '-')} {getattr(self, low)}: is above "
                    f"--gopher-quality.{high.replace('_', '-')} {getattr(self, high)}"
                )
        return found


@dataclasses.dataclass(frozen=True)
class GopherRepetitionConfig:
    """Repetition rules of Gopher: more than these fractions drops a document; 1 never does."""

    enabled: bool = True
    """Drop documents by these rules."""
    duplicate_line_fraction: float = 0.30
    """Lines that occurred before in the document (published: 0.30)."""
    duplicate_paragraph_fraction: float = 0.30
    """Paragraphs that occurred before (published: 0.30)."""
    duplicate_line_character_fraction: float = 0.20
    """Characters in lines that occurred before (published: 0.20)."""
    duplicate_paragraph_character_fraction: float = 0.20
    """Characters in paragraphs that occurred before (published: 0.20)."""
    top_2_gram_character_fraction: float = 0.20
    """Characters in the most frequent run of two words (published: 0.20)."""
    top_3_gram_character_fraction: float = 0.18
    """Characters in the most frequent run of three words (published: 0.18)."""
    top_4_gram_character_fraction: float = 0.16
    """Characters in the most frequent run of four words (published: 0.16)."""
    duplicate_5_gram_character_fraction: float = 0.15
    """Characters in runs of five words that occurred before (published: 0.15)."""
    duplicate_6_gram_character_fraction: float = 0.14
    """Characters in runs of six words that occurred before (published: 0.14)."""
    duplicate_7_gram_character_fraction: float = 0.13
    """Characters in runs of seven words that occurred before (published: 0.13)."""
    duplicate_8_gram_character_fraction: float = 0.12
    """Characters in runs of eight words that occurred before (published: 0.12)."""
    duplicate_9_gram_character_fraction: float = 0.11
    """Characters in runs of nine words that occurred before (published: 0.11)."""
    duplicate_10_gram_character_fraction: float = 0.10
    """Characters in runs of ten words that occurred before (published: 0.10)."""

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        return _negative(self, "--gopher-repetition")


def gopher_quality(text: str, config: GopherQualityConfig) -> str:
    """The first quality rule that `text` breaks, such as "too_few_words", or ""."""
    words = text.split()
    count = len(words)
    if count < config.min_words or count == 0:
        return "too_few_words"
    if count > config.max_words:
        return "too_many_words"
    mean_length = sum(map(len, words)) / count
    if mean_length < config.min_mean_word_length:
        return "words_too_short"
    if mean_length > config.max_mean_word_length:
        return "words_too_long"
    if text.count("#") > config.max_symbol_to_word_ratio * count:
        return "too_many_hashes"
    if sum(map(text.count, _ELLIPSES)) > config.max_symbol_to_word_ratio * count:
        return "too_many_ellipses"
    lines = text_lines(text)
    if sum(line.startswith(_BULLETS) for line in lines) > (
        config.max_bullet_line_fraction * len(lines)
    ):
        return "too_many_bullets"
    if sum(line.endswith(_ELLIPSES) for line in lines) > (
        config.max_ellipsis_line_fraction * len(lines)
    ):
        return "too_many_ellipsis_lines"
    # Most words are in lower case, which is tested faster than for a letter of any case.
    others = [word for word in words if not word.islower()]
    alphabetic = count - len(others) + sum(map(bool, map(_LETTER.search, others)))
    if alphabetic < config.min_alphabetic_word_fraction * count:
        return "too_few_alphabetic_words"
    if config.min_stop_words and len(STOP_WORDS.intersection(words)) < config.min_stop_words:
        return "too_few_stop_words"
    return ""


def gopher_repetition(text: str, config: GopherRepetitionConfig) -> str:
    """The first repetition rule that `text` breaks, such as "duplicate_5_grams", or ""."""
    lines = text_lines(text)
    fraction, character_fraction = _duplicates(lines)
    if fraction > config.duplicate_line_fraction:
        return "duplicate_lines"
    if character_fraction > config.duplicate_line_character_fraction:
        return "duplicate_line_characters"
    # Equal paragraphs hold equal lines.
    if fraction:
        paragraphs = [p for p in map(str.strip, _BLANK_LINES.split(text)) if p]
        fraction, character_fraction = _duplicates(paragraphs)
        if fraction > config.duplicate_paragraph_fraction:
            return "duplicate_paragraphs"
        if character_fraction > config.duplicate_paragraph_character_fraction:
            return "duplicate_paragraph_characters"
    words = number_words(text.split())
    tops = {
        2: config.top_2_gram_character_fraction,
        3: config.top_3_gram_character_fraction,
        4: config.top_4_gram_character_fraction,
    }
    most = len(words.numbers)
    for size, limit in tops.items():
        allowed = limit * words.characters
        # A longer run is at most as frequent as the most frequent shorter one.
        if most * words.longest(size) > allowed:
            runs = word_runs(words, size)
            most = runs.most
            if most * words.longest(size) > allowed < top_run_characters(words, runs):
                return f"top_{size}_gram"
    repeats = {
        5: config.duplicate_5_gram_character_fraction,
        6: config.duplicate_6_gram_character_fraction,
        7: config.duplicate_7_gram_character_fraction,
        8: config.duplicate_8_gram_character_fraction,
        9: config.duplicate_9_gram_character_fraction,
        10: config.duplicate_10_gram_character_fraction,
    }
    lowest = min(repeats.values()) * words.characters
    for size, limit in repeats.items():
        repeated = repeated_run_characters(words, word_runs(words, size))
        if repeated > limit * words.characters:
            return f"duplicate_{size}_grams"
        # What repeats in longer runs also repeats in shorter ones.
        if repeated <= lowest:
            break
    return ""


def gopher_quality_step(config: GopherQualityConfig) -> Step:
    """The quality rules as a cleaning step.

    Raises:
      InputError: an impossible threshold.
    """
    if problems := config.problems():
        raise InputError(problems)
    return functools.partial(_quality_verdict, config)


def gopher_repetition_step(config: GopherRepetitionConfig) -> Step:
    """The repetition rules as a cleaning step.

    Raises:
      InputError: an impossible threshold.
    """
    if problems := config.problems():
        raise InputError(problems)
    return functools.partial(_repetition_verdict, config)


def _quality_verdict(config: GopherQualityConfig, document: Document) -> Verdict:
    rule = gopher_quality(document.text, config)
    return Verdict(document.text, rule and f"gopher_quality.{rule}")


def _repetition_verdict(config: GopherRepetitionConfig, document: Document) -> Verdict:
    rule = gopher_repetition(document.text, config)
    return Verdict(document.text, rule and f"gopher_repetition.{rule}")


def _duplicates(pieces: list[str]) -> tuple[float, float]:
    """The fraction of pieces that occurred before, and of their characters."""
    distinct = set(pieces)
    if len(distinct) == len(pieces):
        return 0.0, 0.0
    characters = sum(map(len, pieces))
    again = len(pieces) - len(distinct), characters - sum(map(len, distinct))
    return again[0] / len(pieces), again[1] / characters


def _negative(config: GopherQualityConfig | GopherRepetitionConfig, prefix: str) -> list[str]:
    return [
        f"{prefix}.{field.name.replace('_', '-')} {value}: must be at least 0"
        for field in dataclasses.fields(config)
        if (value := getattr(config, field.name)) < 0
    ]
