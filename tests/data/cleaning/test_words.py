"""Runs of words against counting in plain Python."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from jaxlm.data.cleaning.words import (
    number_words,
    repeated_run_characters,
    text_lines,
    top_run_characters,
    word_runs,
)

WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "dddd"]), max_size=40)
SIZES = st.integers(1, 10)


def covered(words, places, size):
    """Characters of the words that any of the runs holds, by marking each word."""
    inside = {place + i for place in places for i in range(size)}
    return sum(len(words[i]) for i in inside)


def places_by_run(words, size):
    places = {}
    for i in range(len(words) - size + 1):
        places.setdefault(tuple(words[i : i + size]), []).append(i)
    return places


@given(WORDS, SIZES)
def test_top_run_is_the_most_frequent_and_longest(words, size):
    places = places_by_run(words, size)
    counts = Counter({run: len(where) for run, where in places.items()})
    most = max(counts.values(), default=0)
    found = word_runs(number_words(words), size)
    assert found.most == most
    expected = set()
    if most > 1:
        top = [run for run in counts if counts[run] == most]
        longest = max(len("".join(run)) for run in top)
        expected = {
            covered(words, places[run], size) for run in top if len("".join(run)) == longest
        }
    assert top_run_characters(number_words(words), found) in (expected or {0})


@given(WORDS, SIZES)
def test_repeated_runs_are_all_but_the_first_of_each(words, size):
    again = [place for where in places_by_run(words, size).values() for place in where[1:]]
    numbered = number_words(words)
    assert repeated_run_characters(numbered, word_runs(numbered, size)) == covered(
        words, again, size
    )


def test_longest_run():
    words = number_words(["one", "three", "two", "eleven"])
    assert [words.longest(size) for size in (1, 2, 3, 4, 5)] == [6, 9, 14, 17, 0]
    assert words.characters == 17


def test_lines_are_stripped_and_not_blank():
    assert text_lines("  a b \r\n\n \t\nc") == ["a b", "c"]
    assert text_lines("") == []
