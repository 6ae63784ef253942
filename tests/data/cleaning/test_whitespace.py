"""White space gets one form, indentation stays, and a second time changes nothing."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.data.cleaning.whitespace import WhitespaceConfig, tidy_whitespace, whitespace_step
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

TEXTS = st.text(st.sampled_from("ab \t\n\r\u00a0\u3000\u2009é"), max_size=60)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\r\nb\rc\n", "a\nb\nc"),
        ("a  \n\tb\t\n", "a\n\tb"),
        ("\n \n  a", "  a"),
        ("a\n\n\n\n\nb", "a\n\n\nb"),
        ("a\n \n\t\n  \n \nb", "a\n\n\nb"),
        ("x\u00a0y\u2009z\u202f!\u3000", "x y z !\u3000"),
        ("if a:\n    b =  1   # c\n", "if a:\n    b =  1   # c"),
        (" \n\t", ""),
        ("", ""),
    ],
)
def test_by_hand(before, after):
    assert tidy_whitespace(before) == after


def test_settings():
    assert tidy_whitespace("  a   b\t\tc  d", WhitespaceConfig(inner_runs=True)) == "  a b c d"
    assert tidy_whitespace("a\n\n\nb", WhitespaceConfig(max_blank_lines=0)) == "a\nb"
    off = WhitespaceConfig(trailing=False, other_spaces=False)
    assert tidy_whitespace("a \u00a0\r\n\n\n\n\n", off) == "a \u00a0\n\n\n\n\n"
    with pytest.raises(InputError, match="max_blank_lines -1"):
        WhitespaceConfig(max_blank_lines=-1)


@given(TEXTS, st.booleans(), st.integers(0, 3))
def test_a_second_time_changes_nothing_and_words_stay(text, inner, blank):
    config = WhitespaceConfig(inner_runs=inner, max_blank_lines=blank)
    once = tidy_whitespace(text, config)
    assert tidy_whitespace(once, config) == once
    assert once.split() == text.split()
    assert "\n" * (blank + 2) not in once
    assert not any(line != line.rstrip(" \t") for line in once.split("\n"))


def test_long_runs_take_linear_time():
    run = " " * 1_000_000
    assert tidy_whitespace(f"a{run}b", WhitespaceConfig(inner_runs=True)) == "a b"
    assert tidy_whitespace(f"a{run}b\n{run}\n") == f"a{run}b"


def test_step():
    step = pickle.loads(pickle.dumps(whitespace_step(WhitespaceConfig())))
    verdict = step(Document("a \nb\n", "s", "1"))
    assert (verdict.text, verdict.counts, verdict.dropped_by) == ("a\nb", {"characters": 2}, "")
    assert step(Document("a\nb", "s", "1")).counts == {}
