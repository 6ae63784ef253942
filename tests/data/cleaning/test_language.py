"""Languages are told apart, and only what is long and certain enough is dropped for its own."""

# ruff: noqa: RUF001

import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from jaxlm.data.cleaning.language import (
    LanguageConfig,
    identifiable_languages,
    identify,
    language_step,
)
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

# Article 1 of the Universal Declaration of Human Rights.
ARTICLE = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with "
    "reason and conscience and should act towards one another in a spirit of brotherhood.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft "
    "und Gewissen begabt und sollen einander im Geiste der Brüderlichkeit begegnen.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués "
    "de raison et de conscience et doivent agir les uns envers les autres dans un esprit de "
    "fraternité.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como "
    "están de razón y conciencia, deben comportarse fraternalmente los unos con los otros.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены "
    "разумом и совестью и должны поступать в отношении друг друга в духе братства.",
    "ja": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。"
    "人間は、理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。",
    "ar": "يولد جميع الناس أحراراً متساوين في الكرامة والحقوق، وقد وهبوا عقلاً وضميراً "
    "وعليهم أن يعامل بعضهم بعضاً بروح الإخاء.",
}


def step(text, **settings):
    return language_step(LanguageConfig(**settings))(Document(text, "s", "1"))


@pytest.mark.parametrize("code", ARTICLE)
def test_identify(code):
    found, probability = identify(ARTICLE[code])
    assert found == code
    assert 0.9 < probability <= 1


def test_what_says_nothing_is_left_out():
    german = ARTICLE["de"]
    addresses = "https://www.english.example/all/human/beings/are/born/free you@free.example 1789 "
    assert identify(addresses * 40 + german, 100_000)[0] == "de"
    for text in ("", "12345 67", "https://example.org/path me@example.org", "... !?", "\n"):
        assert identify(text) == ("und", 0.0)


def test_start_and_middle_are_looked_at():
    in_the_middle = "1 " * 1000 + ARTICLE["de"] * 3 + "2 " * 1000
    assert identify(in_the_middle, 400)[0] == "de"
    at_the_start = ARTICLE["de"] + "1 " * 1000 + ARTICLE["fr"] * 3
    assert identify(at_the_start, 300)[0] == "de"


def test_all_are_kept_and_labelled_by_default():
    verdict = step(ARTICLE["fr"])
    assert (verdict.dropped_by, verdict.counts) == ("", {})
    assert verdict.metadata["language"] == "fr"
    assert 0.9 < verdict.metadata["language_probability"] <= 1
    assert verdict.text is ARTICLE["fr"]


def test_others_and_uncertain_ones_are_dropped():
    assert step(ARTICLE["en"], languages=("en", "de")).dropped_by == ""
    foreign = step(ARTICLE["fr"], languages=("en", "de"))
    assert (foreign.dropped_by, foreign.counts) == ("language", {"of another language": 1})
    mixed = "".join(text[:40] for text in ARTICLE.values()) * 3
    uncertain = step(mixed, min_probability=0.9999999)
    assert (uncertain.dropped_by, uncertain.counts) == ("language", {"uncertain": 1})


def test_short_texts_are_never_dropped():
    short = step("Bonjour tout le monde", languages=("en",))
    assert (short.dropped_by, short.counts) == ("", {"too short to drop": 1})
    assert short.metadata["language"] == "fr"
    assert step("Bonjour tout le monde", languages=("en",), min_characters=18).dropped_by
    digits = step("12 " * 100, languages=("en",))
    assert (digits.dropped_by, digits.metadata["language"]) == ("", "und")


def test_bad_settings():
    with pytest.raises(InputError, match=r"'eng' is no language.*nearest is 'en'"):
        language_step(LanguageConfig(languages=("eng",)))
    with pytest.raises(InputError, match="min_probability 2"):
        LanguageConfig(min_probability=2)
    with pytest.raises(InputError, match="sample_characters 0"):
        LanguageConfig(sample_characters=0)
    assert {"en", "zh", "zxx", "und"} <= {*identifiable_languages()}


def test_threads_and_copies_agree():
    run = pickle.loads(pickle.dumps(language_step(LanguageConfig(languages=("en",)))))
    documents = [Document(text, "s", code) for code, text in ARTICLE.items()] * 10
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, documents)) == [run(document) for document in documents]
