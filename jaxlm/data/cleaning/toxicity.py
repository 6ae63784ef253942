"""Toxic text by a list of words: by their rate, as one rude word does not make a text toxic.

A text that quotes an insult, or explains "kill -9", is no abuse; a text with an insult in every
third sentence is. A classifier may be given to find what no list of words can.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.resources
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

SEVERITIES = (1, 2, 3)
"""Rude or belittling; an insult or profanity; hatred or a threat."""
# What may stand beside a word; apostrophes are part of one.
_PUNCTUATION = b'!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'
_SPACED = bytes.maketrans(_PUNCTUATION, b" " * len(_PUNCTUATION))
_QUOTES = str.maketrans("“”„‘‚«»…—–", " " * 10)  # noqa: RUF001


@dataclasses.dataclass(frozen=True)
class ToxicityConfig:
    """When a text is toxic. The list that ships is English; no value here is a published one."""

    enabled: bool = True
    """Look for toxic text."""
    action: Literal["drop", "remove_lines"] = "drop"
    """Drop toxic documents, or only remove the lines that are toxic by themselves."""
    words: str = ""
    """A file with a word or phrase and its severity (1 to 3) in each line, instead of the list."""
    max_rate: float = 20.0
    """A document is toxic if its severities add up to more than this for 1,000 words ..."""
    min_severity: int = 4
    """... and to at least this: so a short text needs two insults."""
    min_line_severity: int = 2
    """A line is toxic if its severities add up to at least this."""
    max_score: float = 0.5
    """Of a classifier, if one is given: more drops the document."""

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        return [
            f"--toxicity.{name.replace('_', '-')} {value}: must be at least {least}"
            for name, least in (("max_rate", 0), ("min_severity", 1), ("min_line_severity", 1))
            if (value := getattr(self, name)) < least
        ]


Phrases = Mapping[str, tuple[tuple[tuple[str, ...], int], ...]]
"""By its first word: the further words of each phrase, longest first, and its severity."""


def toxic_severity(text: str, phrases: Phrases) -> tuple[int, int]:
    """The severities of the toxic words in `text` added up, and the number of its words."""
    words = _words(text)
    if phrases.keys().isdisjoint(words):
        return 0, len(words)
    total, at = 0, 0
    while at < len(words):
        for rest, severity in phrases.get(words[at], ()):
            if not rest or tuple(words[at + 1 : at + 1 + len(rest)]) == rest:
                total += severity
                at += len(rest)
                break
        at += 1
    return total, len(words)


def read_toxic_words(path: str | Path = "") -> Phrases:
    """The list in a file, or the one that ships.

    Raises:
      InputError: the file cannot be read, or a line is not a phrase and a severity.
    """
    if path:
        try:
            content = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--toxicity.words {path}: cannot be read ({error})") from None
        return _parsed(content, str(path))
    return _shipped()


@functools.cache
def _shipped() -> Phrases:
    file = importlib.resources.files("jaxlm.data.cleaning") / "toxic_words.txt"
    return _parsed(file.read_text(encoding="utf-8"), file.name)


def _parsed(content: str, name: str) -> Phrases:
    found: dict[str, list[tuple[tuple[str, ...], int]]] = {}
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        *words, severity = _words(line)
        if not words or severity not in map(str, SEVERITIES):
            raise InputError(
                f"{name}, line {number}: {line.strip()!r} is not a word or phrase and a severity "
                "of 1 to 3"
            )
        found.setdefault(words[0], []).append((tuple(words[1:]), int(severity)))
    if not found:
        raise InputError(f"{name} holds no words; put one and its severity (1 to 3) in each line")
    return {
        first: tuple(sorted(rests, key=lambda item: -len(item[0])))
        for first, rests in found.items()
    }


def _words(text: str) -> list[str]:
    lower = text.lower()
    if not lower.isascii():
        lower = lower.translate(_QUOTES)
    return (
        lower.encode("utf-8", "surrogatepass")
        .translate(_SPACED)
        .decode("utf-8", "surrogatepass")
        .split()
    )


def toxicity_step(config: ToxicityConfig, scorer: Callable[[str], float] | None = None) -> Step:
    """The search for toxic text as a cleaning step.

    Args:
      config: when a text is toxic.
      scorer: a classifier, higher for more toxic text; it must be a function of a module if the
        step goes to other processes.

    Raises:
      InputError: impossible settings, or a list of words that cannot be read.
    """
    if problems := config.problems():
        raise InputError(problems)
    return functools.partial(_verdict, config, read_toxic_words(config.words), scorer)


def _verdict(
    config: ToxicityConfig,
    phrases: Phrases,
    scorer: Callable[[str], float] | None,
    document: Document,
) -> Verdict:
    text = document.text
    severity, words = toxic_severity(text, phrases)
    counts = {"severity": severity} if severity else {}
    if config.action == "remove_lines" and severity:
        lines = text.split("\n")
        kept = [
            line for line in lines if toxic_severity(line, phrases)[0] < config.min_line_severity
        ]
        if len(kept) < len(lines):
            text = "\n".join(kept)
            counts["lines"] = len(lines) - len(kept)
    elif severity >= config.min_severity and severity * 1000 > config.max_rate * words:
        return Verdict(text, "toxicity", counts)
    if scorer is None:
        return Verdict(text, "", counts)
    score = scorer(text)
    return Verdict(
        text, "toxicity" if score > config.max_score else "", counts, {"toxicity": score}
    )
