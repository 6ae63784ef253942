"""Lower case, no punctuation, no stop words: the preparation of classical baselines.

Bags of words, n-gram counts and TF-IDF treat a text as a set of content words, and there these
removals help. A language model is to write sentences: "not", "the" and the full stop are what it
has to learn, and a text without them cannot be undone. Therefore the step is off by default.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import sys
import unicodedata
from collections.abc import Mapping

from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.documents import Document

ENGLISH_STOP_WORDS = frozenset({
    "a", "an", "the", "this", "that", "these", "those", "i", "me", "my", "mine", "myself", "we",
    "us", "our", "ours", "ourselves", "you", "your", "yours", "yourself", "yourselves", "he",
    "him", "his", "himself", "she", "her", "hers", "herself", "it", "its", "itself", "they",
    "them", "their", "theirs", "themselves", "who", "whom", "whose", "which", "what", "when",
    "where", "why", "how", "be", "am", "is", "are", "was", "were", "been", "being", "have",
    "has", "had", "having", "do", "does", "did", "doing", "done", "can", "could", "may",
    "might", "must", "shall", "should", "will", "would", "and", "or", "but", "nor", "so", "yet",
    "if", "then", "else", "than", "because", "while", "although", "though", "unless", "until",
    "whether", "of", "at", "by", "for", "with", "without", "about", "against", "between",
    "into", "through", "during", "before", "after", "above", "below", "to", "from", "up",
    "down", "in", "out", "on", "off", "over", "under", "within", "upon", "per", "via", "again",
    "further", "once", "here", "there", "all", "any", "both", "each", "few", "more", "most",
    "other", "some", "such", "no", "not", "only", "own", "same", "too", "very", "just", "also",
    "ever", "never", "now",
})  # fmt: skip
"""English function words: articles, pronouns, auxiliaries, conjunctions, prepositions."""


_CONTRACTION = re.compile(r"(?:n't|'(?:s|re|ve|ll|d|m))$")
_OUTER_APOSTROPHE = re.compile(r"(?<!\w)'|'(?!\w)")


@dataclasses.dataclass(frozen=True)
class ClassicalConfig:
    """What is removed; all of it only for bag-of-words, n-gram and TF-IDF baselines."""

    enabled: bool = False
    """Whether the step runs; off, since a language model has to learn what this removes."""
    lower_case: bool = True
    """Lower-cases the text."""
    punctuation: bool = True
    """Removes punctuation and symbols (Unicode categories P and S)."""
    stop_words: bool = True
    """Removes English function words, and contractions of them."""
    more_stop_words: tuple[str, ...] = ()
    """Further words to remove, of any language, in lower case."""


def content_words(text: str, config: ClassicalConfig | None = None) -> str:
    """The content words of each line, with single spaces between them; blank lines are left out.

    >>> content_words("The cat isn't on the mat; it's John's!")
    'cat mat johns'

    Args:
      text: any text.
      config: what is removed.
    """
    config = config or ClassicalConfig()
    if config.lower_case:
        text = text.lower()
    spaces, nothing = _punctuation()
    text = text.replace("\u2019", "'") if config.punctuation or config.stop_words else text
    if config.punctuation:
        text = _OUTER_APOSTROPHE.sub(" ", text.translate(spaces))
    words = [line.split() for line in text.splitlines()]
    if config.stop_words or config.more_stop_words:
        stop = frozenset(config.more_stop_words)
        stop |= _STOP_WORDS_AND_STEMS if config.stop_words else frozenset()
        words = [[w for w in line if not _is_stop(w, stop, nothing)] for line in words]
    result = "\n".join(" ".join(line) for line in words if line)
    return result.replace("'", "") if config.punctuation else result


def classical_step(config: ClassicalConfig) -> Step:
    """The step that leaves content words alone."""
    return functools.partial(_step, config)


def _step(config: ClassicalConfig, document: Document) -> Verdict:
    return Verdict(content_words(document.text, config))


_STOP_WORDS_AND_STEMS = ENGLISH_STOP_WORDS | {"ca", "wo", "sha", "ai", "let"}  # can't, won't, ...


def _is_stop(word: str, stop: frozenset[str], nothing: Mapping[int, str]) -> bool:
    word = word.lower()
    if word in stop:
        return True
    word = word.translate(nothing)
    if "'" not in word:
        return word in stop
    word = word.strip("'")
    return word in stop or ("'" in word and _CONTRACTION.sub("", word) in stop)


@functools.cache
def _punctuation() -> tuple[dict[int, str], dict[int, str]]:
    """Tables that turn all punctuation but the apostrophe into a space, and into nothing."""
    codes = [
        code
        for code in range(sys.maxunicode + 1)
        if code != ord("'") and unicodedata.category(chr(code))[0] in "PS"
    ]
    return dict.fromkeys(codes, " "), dict.fromkeys(codes, "")
