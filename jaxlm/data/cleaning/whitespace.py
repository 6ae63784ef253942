"""White space in one form: line ends, spaces, blank lines; indentation stays as it is."""

from __future__ import annotations

import dataclasses
import functools
import re

from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

# Spaces of typesetting. Not U+3000 and U+1680, the ordinary spaces of Chinese, Japanese, and Ogham.
_OTHER_SPACE = re.compile("[\u00a0\u2000-\u200a\u202f\u205f]")
# The look-behind makes a long run fail at once at every place but its first: linear time.
_INNER_RUN = re.compile(r"(?<=[^ \t\n])[ \t]{2,}")


@dataclasses.dataclass(frozen=True)
class WhitespaceConfig:
    """What is changed; CRLF and lone CR always become LF."""

    enabled: bool = True
    """Whether the step runs."""
    trailing: bool = True
    """Removes spaces and tabs at the ends of lines, and blank lines around the whole text."""
    other_spaces: bool = True
    """Non-breaking spaces and those of typesetting become a space."""
    max_blank_lines: int = 2
    """Blank lines that may follow each other (needs `trailing`); two divide parts of source code"""
    inner_runs: bool = False
    """Several spaces or tabs within a line become one; off, because they align tables and code."""

    def __post_init__(self) -> None:
        if self.max_blank_lines < 0:
            raise InputError(f"max_blank_lines {self.max_blank_lines}: at least 0 is needed")


def tidy_whitespace(text: str, config: WhitespaceConfig | None = None) -> str:
    """The text with its white space in one form; the spaces before a line's first word stay.

    Doing it a second time changes nothing.

    Args:
      text: any text.
      config: what is changed.
    """
    config = config or WhitespaceConfig()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if config.other_spaces and not text.isascii():
        text = _OTHER_SPACE.sub(" ", text)
    if config.trailing:
        if " \n" in text or "\t\n" in text:
            text = "\n".join([line.rstrip(" \t") for line in text.split("\n")])
        text = text.rstrip(" \t\n").lstrip("\n")
        longest = "\n" * (config.max_blank_lines + 1)
        if longest + "\n" in text:
            text = re.sub(longest + "\n+", longest, text)
    if config.inner_runs:
        text = _INNER_RUN.sub(" ", text)
    return text


def whitespace_step(config: WhitespaceConfig) -> Step:
    """The step that puts white space in one form."""
    return functools.partial(_step, config)


def _step(config: WhitespaceConfig, document: Document) -> Verdict:
    text = tidy_whitespace(document.text, config)
    removed = len(document.text) - len(text)
    return Verdict(text, counts={"characters": removed} if removed else {})
