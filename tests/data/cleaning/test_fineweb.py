"""FineWeb's rules on texts worked out by hand."""

import pickle

import pytest

from jaxlm.data.cleaning.fineweb import FineWebConfig, fineweb_quality, fineweb_step
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

CONFIG = FineWebConfig()


def lines(count, ending, length=40):
    """`count` different lines of `length` characters, the first `ending` with a full stop."""
    return "\n".join(
        f"{i:04}" + "x" * (length - 5) + ("." if i < ending else "x") for i in range(count)
    )


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "no_lines"),
        (" \n\n", "no_lines"),
        (lines(100, 13), ""),
        (lines(100, 12), "line_punctuation_ratio"),
        (lines(100, 13).replace(".", "。"), ""),
        (lines(100, 13).replace(".", ". "), ""),
        # Lines of 40 characters: 1 of 10 is the first again; 1 of 11.
        (lines(9, 9) + "\n" + lines(1, 1), "duplicated_line_character_ratio"),
        (lines(10, 10) + "\n" + lines(1, 1), ""),
        # Of 100 lines 67 or 66 have 29 characters, then 30.
        (lines(67, 67, 29) + "\n" + lines(33, 33), "short_line_ratio"),
        (lines(66, 66, 29) + "\n" + lines(34, 34), ""),
        (lines(67, 67, 30) + "\n" + lines(33, 33), ""),
    ],
)
def test_rules(text, rule):
    assert fineweb_quality(text, CONFIG) == rule


def test_step_names_the_rule_and_travels_to_other_processes():
    step = pickle.loads(pickle.dumps(fineweb_step(CONFIG)))
    assert step(Document("a list\nof items", "s", "1")).dropped_by == (
        "fineweb.line_punctuation_ratio"
    )
    assert step(Document(lines(9, 9), "s", "1")).dropped_by == ""


def test_impossible_thresholds():
    with pytest.raises(InputError, match="short-line-length -1: must be at least 0"):
        fineweb_step(FineWebConfig(short_line_length=-1))
