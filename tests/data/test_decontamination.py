"""Runs of words of evaluation sets, found and cut out of documents."""

import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm.data.decontamination import (
    DecontaminationConfig,
    cut_passages,
    evaluation_runs,
    find_contamination,
    load_runs,
    read_evaluation,
    save_runs,
)
from jaxlm.data.documents import Document
from jaxlm.data.word_hashes import words
from jaxlm.errors import InputError

CONFIG = DecontaminationConfig()


def runs_of(config=CONFIG, **sets):
    documents = {
        name: [Document(text, name, str(i)) for i, text in enumerate(texts)]
        for name, texts in sets.items()
    }
    return evaluation_runs(documents.items(), config)


def numbers(first, last):
    return " ".join(f"n{i}" for i in range(first, last))


def test_thirteen_words_are_enough_and_twelve_are_not():
    runs = runs_of(quiz=[numbers(0, 30)])
    texts = [
        f"before {numbers(3, 16)} after",
        f"before {numbers(3, 15)} after",
        "Before! " + numbers(3, 16).upper().replace(" ", " -- ") + "; after",
        numbers(100, 200),
        "",
    ]
    found = find_contamination(words(texts), runs)
    assert list(found) == [0, 2]
    ((start, end),) = found[0].passages
    assert texts[0][start:end] == numbers(3, 16)
    ((start, end),) = found[2].passages
    assert texts[2][start:end] == numbers(3, 16).upper().replace(" ", " -- ")
    assert found[0].sets == ("quiz",)


def test_a_short_text_is_a_run_by_itself_down_to_the_least_length():
    runs = runs_of(quiz=[numbers(0, 8), numbers(20, 27)], other=[numbers(0, 8)])
    assert runs.too_short == (1, 0)
    assert runs.texts == (2, 1)
    found = find_contamination(words([f"a {numbers(0, 8)} b {numbers(20, 27)}"]), runs)
    assert found[0].sets == ("quiz", "other")
    assert found[0].passages == ((2, 2 + len(numbers(0, 8))),)
    assert not find_contamination(words([numbers(0, 7)]), runs)


def test_a_run_does_not_cross_documents():
    runs = runs_of(quiz=[numbers(0, 13)])
    assert not find_contamination(words([numbers(0, 6), numbers(6, 13)]), runs)
    assert list(find_contamination(words(["x", numbers(0, 13)]), runs)) == [1]


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_found_as_by_a_plain_search(seed, least, size):
    generator = random.Random(seed)
    some = lambda: [generator.choice("abc") for _ in range(generator.randrange(9))]  # noqa: E731
    least = min(least, size)
    config = DecontaminationConfig(words=size, min_words=least)
    sets = {name: [some() for _ in range(2)] for name in "AB"}
    texts = [some() for _ in range(4)]
    runs = runs_of(config, **{k: [" ".join(t) for t in v] for k, v in sets.items()})
    found = find_contamination(words([" ".join(t) for t in texts]), runs)
    for number, text in enumerate(texts):
        expected, covered = set(), set()
        for name, evaluation in sets.items():
            for one in evaluation:
                length = min(len(one), size)
                grams = {tuple(one[i : i + length]) for i in range(len(one) - length + 1)}
                for i in range(len(text) - length + 1):
                    if length >= least and tuple(text[i : i + length]) in grams:
                        expected.add(name)
                        covered.update(range(2 * i, 2 * (i + length) - 1))
        assert set(found[number].sets if number in found else ()) == expected
        spans = found[number].passages if number in found else ()
        marked = {i for start, end in spans for i in range(start, end)}
        assert {i for i in marked if i % 2 == 0} == {i for i in covered if i % 2 == 0}


def test_cuts_are_widened_to_words_and_short_rests_go():
    text = "aaa bbb ccc ddd eee fff ggg hhh"
    assert cut_passages(text, [(12, 15)], 0) == "aaa bbb ccc\n\neee fff ggg hhh"
    assert cut_passages(text, [(12, 15)], 2) == "aaa bbb\n\nfff ggg hhh"
    assert cut_passages(text, [(4, 7), (12, 15)], 1) == "fff ggg hhh"
    assert cut_passages(text, [(4, 7), (16, 19)], 0) == "aaa\n\nccc ddd\n\nfff ggg hhh"
    assert cut_passages(text, [(0, 3)], 40) == ""


def test_runs_come_back_from_disk(tmp_path):
    runs = runs_of(quiz=[numbers(0, 40), numbers(50, 59)], other=[numbers(5, 30)])
    save_runs(tmp_path, runs)
    again = load_runs(tmp_path)
    assert again.names == runs.names
    assert again.texts == runs.texts
    assert again.digest == runs.digest != runs_of(quiz=[numbers(0, 41)]).digest
    assert again.runs.keys() == runs.runs.keys() == {9, 13}
    for size in runs.runs:
        assert all(map(np.array_equal, again.runs[size], runs.runs[size]))


def test_sets_are_read_from_files_by_their_fields(tmp_path):
    path = tmp_path / "quiz.jsonl"
    records = [{"question": numbers(i, i + 9), "answer": numbers(40 + i, 60)} for i in range(2)]
    path.write_text("\n".join(map(json.dumps, records)))
    config = DecontaminationConfig((str(path),), text_fields=("question", "answer"))
    runs = evaluation_runs(read_evaluation(config), config)
    assert runs.texts == (4,)
    assert len(runs.runs[9][0]) == 2
    assert len(runs.runs[13][0]) == 8  # of 20 words; the 19 others are among them
    with pytest.raises(InputError, match="no field 'text'"):
        evaluation_runs(read_evaluation(DecontaminationConfig((str(path),))), config)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"min_words": 0}, "--decontamination.min-words 0"),
        ({"words": 5}, "--decontamination.min-words 8"),
        ({"margin": -1}, "--decontamination.margin -1"),
        ({"evaluation": ("x",), "text_fields": ()}, "--decontamination.text-fields"),
    ],
)
def test_bad_settings_name_the_field(fields, named):
    (problem,) = DecontaminationConfig(**fields).problems()
    assert named in problem
