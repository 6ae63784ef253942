"""Content words alone: for baselines, never by default."""

# ruff: noqa: RUF001

import pickle
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.data.cleaning.classical import ClassicalConfig, classical_step, content_words
from jaxlm.data.documents import Document


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The cat isn't on the mat; it's John's!", "cat mat johns"),
        ("I CAN’T say “we’ll go”, won't you?", "say go"),
        ("Cafés, naïve: 3.14 (pi)\n\n\tthe and\nEnd.", "cafés naïve 3 14 pi\nend"),
        ("हिन्दी, में।", "हिन्दी में"),
        ("rock 'n' roll, dogs' tails", "rock n roll dogs tails"),
        ("", ""),
    ],
)
def test_by_hand(text, words):
    assert content_words(text) == words


def test_settings():
    text = "The Cat, and «der» Hund!"
    off = {"lower_case": False, "punctuation": False, "stop_words": False}
    assert content_words(text, ClassicalConfig(**off)) == text
    assert content_words(text, ClassicalConfig(**off | {"lower_case": True})) == text.lower()
    assert content_words(text, ClassicalConfig(**off | {"punctuation": True})) == (
        "The Cat and der Hund"
    )
    assert content_words(text, ClassicalConfig(**off | {"stop_words": True})) == "Cat, «der» Hund!"
    assert content_words(text, ClassicalConfig(more_stop_words=("der",))) == "cat hund"


@given(st.text())
def test_a_second_time_changes_nothing(text):
    once = content_words(text, ClassicalConfig(stop_words=False))
    assert content_words(once, ClassicalConfig(stop_words=False)) == once
    assert not set(once) & set(string.punctuation)


def test_step_is_off_by_default():
    assert not ClassicalConfig().enabled
    step = pickle.loads(pickle.dumps(classical_step(ClassicalConfig())))
    assert step(Document("To be, or not to be: that is the question.", "s", "1")).text == "question"
