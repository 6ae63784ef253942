"""The filters that FineWeb adds to those of C4 and Gopher.

Penedo et al. 2024, "The FineWeb Datasets: Decanting the Web for the Finest Text Data at Scale"
(https://arxiv.org/abs/2406.17557), section 3.6. They look for prose: lists, tables of contents and
source code have short lines without a full stop.
"""

from __future__ import annotations

import dataclasses
import functools

from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.cleaning.words import text_lines
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

TERMINAL_PUNCTUATION = tuple(".!?…‼⁇⁈⁉‽。！？．｡﹒﹖﹗։؟۔।॥။።፧៕")  # noqa: RUF001
"""Marks that end a sentence, of the scripts most used (Unicode's property Sentence_Terminal)."""


@dataclasses.dataclass(frozen=True)
class FineWebConfig:
    """The rules of FineWeb; off by default, as they drop reference documentation and source code.

    A document is dropped at these fractions themselves, too.
    """

    enabled: bool = False
    """Drop documents by these rules."""
    line_punctuation_ratio: float = 0.12
    """At most so many lines that end with terminal punctuation (published: 0.12); -1 is off."""
    duplicated_line_character_ratio: float = 0.1
    """At least so many characters in lines that occurred before (published: 0.1); 2 is off."""
    short_line_ratio: float = 0.67
    """At least so many short lines (published: 0.67); 2 is off."""
    short_line_length: int = 30
    """Lines of fewer characters are short (published: 30)."""

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        if self.short_line_length < 0:
            return [f"--fineweb.short-line-length {self.short_line_length}: must be at least 0"]
        return []


def fineweb_quality(text: str, config: FineWebConfig) -> str:
    """The first rule that `text` breaks, such as "line_punctuation_ratio", or ""."""
    lines = text_lines(text)
    if not lines:
        return "no_lines"
    ending = sum(line.endswith(TERMINAL_PUNCTUATION) for line in lines)
    if ending / len(lines) <= config.line_punctuation_ratio:
        return "line_punctuation_ratio"
    lengths = list(map(len, lines))
    characters = sum(lengths)
    duplicated = characters - sum(map(len, set(lines)))
    if duplicated / characters >= config.duplicated_line_character_ratio:
        return "duplicated_line_character_ratio"
    short = sum(map(config.short_line_length.__gt__, lengths))
    if short / len(lines) >= config.short_line_ratio:
        return "short_line_ratio"
    return ""


def fineweb_step(config: FineWebConfig) -> Step:
    """The rules as a cleaning step.

    Raises:
      InputError: an impossible threshold.
    """
    if problems := config.problems():
        raise InputError(problems)
    return functools.partial(_verdict, config)


def _verdict(config: FineWebConfig, document: Document) -> Verdict:
    rule = fineweb_quality(document.text, config)
    return Verdict(document.text, rule and f"fineweb.{rule}")
