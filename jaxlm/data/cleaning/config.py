"""Which cleaning steps are on and how they are set, and the steps themselves in their order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxlm.data.cleaning.c4 import C4Config, c4_step
from jaxlm.data.cleaning.classical import ClassicalConfig, classical_step
from jaxlm.data.cleaning.fineweb import FineWebConfig, fineweb_step
from jaxlm.data.cleaning.gibberish import GibberishConfig, gibberish_step
from jaxlm.data.cleaning.gopher import (
    GopherQualityConfig,
    GopherRepetitionConfig,
    gopher_quality_step,
    gopher_repetition_step,
)
from jaxlm.data.cleaning.html import HtmlConfig, html_step
from jaxlm.data.cleaning.language import LanguageConfig, language_step
from jaxlm.data.cleaning.personal_data import PersonalDataConfig, personal_data_step
from jaxlm.data.cleaning.step import Step
from jaxlm.data.cleaning.toxicity import ToxicityConfig, toxicity_step
from jaxlm.data.cleaning.unicode import UnicodeConfig, unicode_step
from jaxlm.data.cleaning.whitespace import WhitespaceConfig, whitespace_step

_MAKERS: dict[str, Callable[[Any], Step]] = {
    "html": html_step,
    "unicode": unicode_step,
    "whitespace": whitespace_step,
    "language": language_step,
    "c4": c4_step,
    "gopher_quality": gopher_quality_step,
    "gopher_repetition": gopher_repetition_step,
    "fineweb": fineweb_step,
    "gibberish": gibberish_step,
    "toxicity": toxicity_step,
    "personal_data": personal_data_step,
    "classical": classical_step,
}
_REPAIRS = ("html", "unicode", "whitespace")


@dataclasses.dataclass(frozen=True)
class CleaningConfig:
    """The steps in their order; each has `enabled` and its own settings."""

    html: HtmlConfig = dataclasses.field(default_factory=HtmlConfig)
    unicode: UnicodeConfig = dataclasses.field(default_factory=UnicodeConfig)
    whitespace: WhitespaceConfig = dataclasses.field(default_factory=WhitespaceConfig)
    language: LanguageConfig = dataclasses.field(default_factory=LanguageConfig)
    c4: C4Config = dataclasses.field(default_factory=C4Config)
    gopher_quality: GopherQualityConfig = dataclasses.field(default_factory=GopherQualityConfig)
    gopher_repetition: GopherRepetitionConfig = dataclasses.field(
        default_factory=GopherRepetitionConfig
    )
    fineweb: FineWebConfig = dataclasses.field(default_factory=FineWebConfig)
    gibberish: GibberishConfig = dataclasses.field(default_factory=GibberishConfig)
    toxicity: ToxicityConfig = dataclasses.field(default_factory=ToxicityConfig)
    personal_data: PersonalDataConfig = dataclasses.field(default_factory=PersonalDataConfig)
    classical: ClassicalConfig = dataclasses.field(default_factory=ClassicalConfig)


def web() -> CleaningConfig:
    """For pages of the web: every step with its own default."""
    return CleaningConfig()


def basic() -> CleaningConfig:
    """For chosen texts: main text, Unicode and white space; nothing is dropped for what it says."""
    config = CleaningConfig()
    off = {
        field.name: dataclasses.replace(getattr(config, field.name), enabled=False)
        for field in dataclasses.fields(config)
        if field.name not in _REPAIRS
    }
    return dataclasses.replace(config, **off)


def cleaning_steps(config: CleaningConfig) -> list[tuple[str, Step]]:
    """The name and function of every step that is on, in order.

    Raises:
      InputError: settings that make no sense, or a step whose library is not installed.
    """
    settings = ((field.name, getattr(config, field.name)) for field in dataclasses.fields(config))
    return [(name, _MAKERS[name](own)) for name, own in settings if own.enabled]
