"""The language of a text, by the naive Bayes model of py3langid (140 labels, NumPy only)."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import re
from typing import Any

from jaxlm.data.cleaning.step import Step, Verdict
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

UNDETERMINED = "und"
"""The code of ISO 639 for a text in which there is nothing to tell a language by."""

_NO_LANGUAGE = re.compile(r"(?:https?|ftp)://\S+|www\.\S+|\S+@\S+|[\d_]+")


@dataclasses.dataclass(frozen=True)
class LanguageConfig:
    """Which languages are kept."""

    enabled: bool = True
    """Whether the step runs; it labels every document with its language and probability."""
    languages: tuple[str, ...] = ()
    """Codes to keep; empty keeps all.

    Relatives have codes of their own, which a reader of Arabic (ar, ary, arz), Chinese (zh, yue,
    wuu) or Norwegian (no, nn) names together; zxx is no language, such as tables.
    """
    min_probability: float = 0.0
    """Documents whose language is less certain are dropped."""
    min_characters: int = 50
    """Texts with fewer letters are labelled but never dropped: too short to be told apart."""
    sample_characters: int = 2000
    """How much of a text is looked at: half from its start, half from its middle."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_probability <= 1:
            raise InputError(f"min_probability {self.min_probability}: give a number from 0 to 1")
        if self.sample_characters < 1:
            raise InputError(f"sample_characters {self.sample_characters}: at least 1 is needed")


def identify(text: str, sample_characters: int = 2000) -> tuple[str, float]:
    """The code of a text's language, ISO 639, and the probability that the model gives it.

    Addresses and digits are left out before. Probabilities are comparable between lengths, but not
    calibrated: below about 0.5 the answer is often wrong.

    Args:
      text: any text.
      sample_characters: how much of it is looked at, half from the start, half from the middle.

    Returns:
      ("und", 0.0) if there is no letter in it.
    """
    sample = _NO_LANGUAGE.sub(" ", _sample(text, sample_characters))
    return _classify(sample)


def language_step(config: LanguageConfig) -> Step:
    """The step that stores "language" and "language_probability" and drops by rule "language".

    Raises:
      InputError: a language that the model does not know.
    """
    known = identifiable_languages() if config.languages else ()
    problems = []
    for code in config.languages:
        if code not in known:
            near = difflib.get_close_matches(code, known, n=1, cutoff=0.0)[0]
            problems.append(
                f"languages: {code!r} is no language that is identified; the nearest is {near!r}. "
                f"Known are {', '.join(known)}"
            )
    if problems:
        raise InputError(problems)
    return functools.partial(_step, config)


def identifiable_languages() -> tuple[str, ...]:
    """The codes that `identify` can return, sorted."""
    return tuple(sorted({*_identifier().labels, UNDETERMINED}))


def _step(config: LanguageConfig, document: Document) -> Verdict:
    sample = _NO_LANGUAGE.sub(" ", _sample(document.text, config.sample_characters))
    code, probability = _classify(sample)
    metadata = {"language": code, "language_probability": round(probability, 4)}
    counts = {}
    if config.languages and code not in config.languages:
        counts = {"of another language": 1}
    elif probability < config.min_probability:
        counts = {"uncertain": 1}
    dropped_by = ""
    if counts and sum(map(str.isalpha, sample)) >= config.min_characters:
        dropped_by = "language"
    elif counts:
        counts = {"too short to drop": 1}
    return Verdict(document.text, dropped_by, counts, metadata)


def _sample(text: str, characters: int) -> str:
    if len(text) <= characters:
        return text
    half, middle = characters // 2, len(text) // 2
    return f"{text[: characters - half]}\n{text[middle : middle + half]}"


def _classify(sample: str) -> tuple[str, float]:
    if not any(map(str.isalpha, sample)):
        return UNDETERMINED, 0.0
    return _identifier().classify(sample)


@functools.cache
def _identifier() -> Any:
    # An instance of our own, which nobody restricts to some languages: only read after this.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
