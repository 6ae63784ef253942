"""The rules that made C4 out of Common Crawl.

Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer" (https://arxiv.org/abs/1910.10683), section 2.2. C4 was meant to be prose. On
documentation and source code some rules do harm, and are off by default:

- `terminal_punctuation` removes headings, lists, tables and code;
- `min_words_per_line` removes the lines that hold a program together, such as "else:";
- `javascript_lines` removes what is said about that language;
- `curly_bracket` drops every page with a line of C or JSON.

`C4_PUBLISHED` has all of them on.
"""

from __future__ import annotations

import dataclasses
import functools
import re

from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

TERMINAL_PUNCTUATION = (".", "!", "?", '"', "”")
"""What ends a line of prose (published: ". ! ? and the end quotation mark")."""
POLICY_PHRASES = ("terms of use", "privacy policy", "cookie policy", "uses cookies",
                  "use of cookies", "use cookies")  # fmt: skip
"""Phrases of notices that are no part of a page's text."""
# An abbreviation inside a sentence is mostly followed by a small letter.
_SENTENCE_END = re.compile(r"""[.!?]["'”’)\]]*\s+(?![a-z])""")  # noqa: RUF001


@dataclasses.dataclass(frozen=True)
class C4Config:
    """Rules of C4: lines are removed, then pages dropped. The default is fit for documentation."""

    enabled: bool = True
    """Apply the rules that are on."""
    terminal_punctuation: bool = False
    """Remove lines that end without a mark of the end of a sentence (published: on)."""
    min_words_per_line: int = 0
    """Remove lines of fewer words; 0 is off (published: 3)."""
    javascript_lines: bool = False
    """Remove lines with the word "javascript" (published: on)."""
    policy_lines: bool = True
    """Remove lines about cookies, privacy and terms of use (published: on)."""
    lorem_ipsum: bool = True
    """Drop pages with "lorem ipsum" (published: on)."""
    curly_bracket: bool = False
    """Drop pages with "{" (published: on)."""
    min_sentences: int = 0
    """Drop pages of fewer sentences after the lines were removed; 0 is off (published: 5)."""

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        return [
            f"--c4.{name.replace('_', '-')} {value}: must be at least 0"
            for name in ("min_words_per_line", "min_sentences")
            if (value := getattr(self, name)) < 0
        ]


C4_PUBLISHED = C4Config(
    terminal_punctuation=True,
    min_words_per_line=3,
    javascript_lines=True,
    curly_bracket=True,
    min_sentences=5,
)
"""All rules on, with the published thresholds."""


def c4_lines(text: str, config: C4Config) -> tuple[str, dict[str, int]]:
    """Removes the lines that break a rule.

    Blank lines stay where `min_words_per_line` is 0 and `terminal_punctuation` is off.

    Returns:
      The text that is left, and how many lines each rule removed.
    """
    by_line = config.terminal_punctuation or config.min_words_per_line > 0
    if not by_line and not _mentioned(text, config):
        return text, {}
    counts: dict[str, int] = {}
    kept = []
    for line in text.split("\n"):
        rule = _line_rule(line, config)
        if rule:
            counts[rule] = counts.get(rule, 0) + 1
        elif line.strip() or not by_line:
            kept.append(line)
    return "\n".join(kept) if counts or by_line else text, counts


def c4_page(text: str, config: C4Config) -> str:
    """The first rule that the page breaks: "lorem_ipsum", "curly_bracket", or ""."""
    if config.lorem_ipsum and "lorem" in (lower := text.lower()) and "lorem ipsum" in lower:
        return "lorem_ipsum"
    if config.curly_bracket and "{" in text:
        return "curly_bracket"
    return ""


def sentences(text: str) -> int:
    """How many sentences the lines of `text` hold; a line of words is at least one.

    The published rule divides by a trained model; this one looks at the mark, the white space and
    the letter that follows.
    """
    return sum(
        1 + len(_SENTENCE_END.findall(line)) for line in map(str.strip, text.split("\n")) if line
    )


def c4_step(config: C4Config) -> Step:
    """The rules as a cleaning step.

    Raises:
      InputError: an impossible threshold.
    """
    if problems := config.problems():
        raise InputError(problems)
    return functools.partial(_verdict, config)


def _verdict(config: C4Config, document: Document) -> Verdict:
    if rule := c4_page(document.text, config):
        return Verdict(document.text, f"c4.{rule}")
    text, counts = c4_lines(document.text, config)
    if config.min_sentences and sentences(text) < config.min_sentences:
        return Verdict(document.text, "c4.too_few_sentences", counts)
    return Verdict(text, "", counts)


def _line_rule(line: str, config: C4Config) -> str:
    words = line.strip()
    if not words:
        return ""
    if config.terminal_punctuation and (
        not words.endswith(TERMINAL_PUNCTUATION) or words.endswith("...")
    ):
        return "lines_without_terminal_punctuation"
    if len(words.split(None, config.min_words_per_line)) < config.min_words_per_line:
        return "lines_of_few_words"
    return _mentioned(words, config)


def _mentioned(text: str, config: C4Config) -> str:
    """The rule on a phrase that `text` breaks."""
    lower = text.lower()
    if config.javascript_lines and "javascript" in lower:
        return "javascript_lines"
    if config.policy_lines and any(phrase in lower for phrase in POLICY_PHRASES):
        return "policy_lines"
    return ""
