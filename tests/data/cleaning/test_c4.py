"""C4's rules on texts worked out by hand."""

import dataclasses
import pickle

import pytest

from jaxlm.data.cleaning.c4 import C4_PUBLISHED, C4Config, c4_lines, c4_page, c4_step, sentences
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

PAGE = """Home | About
The river runs dry in summer.
Two words.
Is that so? "It is!"
It trails off in the end...
Please enable Javascript to read on.
This site uses cookies.

He said: "It does."
"""


def test_published_line_rules():
    text, counts = c4_lines(PAGE, C4_PUBLISHED)
    assert text == ('The river runs dry in summer.\nIs that so? "It is!"\nHe said: "It does."')
    assert counts == {
        "lines_without_terminal_punctuation": 2,
        "lines_of_few_words": 1,
        "javascript_lines": 1,
        "policy_lines": 1,
    }


def test_default_removes_only_notices_and_keeps_blank_lines():
    text, counts = c4_lines(PAGE, C4Config())
    assert text == PAGE.replace("This site uses cookies.\n", "")
    assert counts == {"policy_lines": 1}


def test_source_code_and_headings_stay_as_they_are():
    code = "# Loops\n\nfor (i = 0; i < n; i++) {\n    f(i);\n}\n\nelse:\n    pass\n"
    verdict = c4_step(C4Config())(Document(code, "s", "1"))
    assert verdict.text is code
    assert verdict.dropped_by == ""
    assert c4_step(C4_PUBLISHED)(Document(code, "s", "1")).dropped_by == "c4.curly_bracket"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("Lorem Ipsum dolor sit amet", "lorem_ipsum"),
        ("lorem and ipsum", ""),
        ("int main() {", "curly_bracket"),
    ],
)
def test_page_rules(text, rule):
    assert c4_page(text, C4_PUBLISHED) == rule


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("no end", 1),
        ("One. Two! Three? Four", 4),
        ('He left. "Why?" she asked. Nobody knew.', 3),
        ("It runs, e.g. on rivers, cf. p. 12 of Smith.", 2),
        ("3.14 is not two sentences.", 1),
        ("One.\n\nTwo.\n", 2),
    ],
)
def test_sentences(text, count):
    assert sentences(text) == count


def test_five_sentences_are_needed():
    step = pickle.loads(pickle.dumps(c4_step(C4_PUBLISHED)))
    line = "The river runs dry. "
    assert step(Document(line * 4, "s", "1")).dropped_by == "c4.too_few_sentences"
    kept = step(Document(line * 5, "s", "1"))
    assert (kept.text, kept.dropped_by) == ((line * 5), "")
    fewer = c4_step(dataclasses.replace(C4_PUBLISHED, min_sentences=0))
    assert fewer(Document(line, "s", "1")).dropped_by == ""


def test_impossible_thresholds():
    with pytest.raises(InputError, match="min-sentences -1: must be at least 0"):
        c4_step(C4Config(min_sentences=-1))
