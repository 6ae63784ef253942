"""Repeated lines and paragraphs against a plain count."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm.data import repeated_lines
from jaxlm.data.repeated_lines import (
    RepeatedLines,
    RepeatedLinesConfig,
    count_lines,
    line_hashes,
    without_lines,
)

MENU = "Home | Products | About us | Contact"
LICENCE = "Permission is granted to copy\n this text, as long as\nthis notice is kept."


def remove(texts, config, alive=None, parts=2):
    """The texts of the living documents without what is repeated."""
    alive = np.ones(len(texts), bool) if alive is None else np.array(alive)
    loaders = []
    for chunk in np.array_split(np.arange(len(texts)), parts):
        found = [(h, d) for d in chunk for h in line_hashes(texts[d], config).tolist()]
        found.sort()
        arrays = np.array([h for h, _ in found], np.uint64), np.array([d for _, d in found], int)
        loaders.append(lambda arrays=arrays: arrays)
    repeated = count_lines(loaders, alive, config)
    kept = [i for i in range(len(texts)) if alive[i]]
    return [without_lines(texts[i], i, repeated, config) for i in kept]


def test_a_repeated_line_stays_where_it_came_first():
    config = RepeatedLinesConfig(min_characters=10, max_documents=2)
    texts = [f"{MENU}\n\nText number {i}.\n  {MENU} " for i in range(3)]
    results = remove(texts, config)
    assert results[0] == (f"{MENU}\n\nText number 0.", [f"  {MENU} "])
    assert results[1] == ("Text number 1.", [MENU, f"  {MENU} "])
    none = remove(texts, RepeatedLinesConfig(min_characters=10, max_documents=2, keep_first=False))
    assert none[0] == ("Text number 0.", [MENU, f"  {MENU} "])


def test_the_limits_are_exact():
    texts = [f"{MENU}\nNumber {i}" for i in range(3)]
    for fields in ({"max_documents": 3}, {"min_characters": len(MENU) + 1}):
        config = RepeatedLinesConfig(**{"min_characters": len(MENU), "max_documents": 2, **fields})
        assert [text for text, _ in remove(texts, config)] == texts
    config = RepeatedLinesConfig(min_characters=len(MENU), max_documents=2)
    assert [text for text, _ in remove(texts, config)] == [texts[0], "Number 1", "Number 2"]


def test_a_line_counts_once_in_a_document_and_only_in_living_ones():
    config = RepeatedLinesConfig(min_characters=5, max_documents=2)
    texts = [f"{MENU}\n{MENU}", MENU, MENU, "other text"]
    assert [removed for _, removed in remove(texts, config, [True, True, False, True])] == [[]] * 3


def test_a_paragraph_goes_though_its_lines_are_short():
    config = RepeatedLinesConfig(min_characters=60, max_documents=1)
    texts = [f"Title {i}\n\n{LICENCE}\n\nBody {i}" for i in range(3)]
    results = remove(texts, config)
    assert results[0] == (texts[0], [])
    assert results[2] == ("Title 2\n\nBody 2", LICENCE.split("\n"))


def test_a_paragraph_that_came_first_stays_whole():
    """Though one of its lines came before."""
    line = LICENCE.split("\n")[0]
    config = RepeatedLinesConfig(min_characters=20, max_documents=1)
    texts = [f"{line}\n\nFirst", *(f"{LICENCE}\n\nText {i}" for i in range(2))]
    results = remove(texts, config)
    assert [text for text, _ in results] == [texts[0], texts[1], "Text 1"]


@given(
    st.lists(st.lists(st.sampled_from(["aa", "bb", "cc", "dd"]), max_size=6), max_size=8),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from([1, 3, 1 << 22]),
)
@settings(max_examples=150, deadline=None)
def test_counts_are_those_of_a_plain_loop(documents, limit, parts, at_a_time):
    """Lines far apart, so that each is a paragraph by itself."""
    texts = ["\n\n".join(lines) for lines in documents]
    config = RepeatedLinesConfig(min_characters=1, max_documents=limit)
    counts = Counter(line for lines in documents for line in set(lines))
    original, repeated_lines._PART = repeated_lines._PART, at_a_time
    try:
        results = remove(texts, config, parts=parts)
    finally:
        repeated_lines._PART = original
    seen = set()
    for lines, (text, removed) in zip(documents, results, strict=True):
        kept = []  # of a repeated line only the first, also within its first document
        for line in lines:
            if counts[line] <= limit:
                kept.append(line)
            elif line not in seen:
                kept.append(line)
                seen.add(line)
        assert [line for line in text.split("\n") if line] == kept
        assert len(removed) == len(lines) - len(kept)


def test_text_without_repetition_is_returned_as_it_was():
    text = "a  b\r\n\n\n c\t\n"
    nothing = RepeatedLines(np.empty(0, np.uint64), np.empty(0, np.int64))
    assert without_lines(text, 0, nothing, RepeatedLinesConfig(min_characters=1))[0] is text
    assert line_hashes("", RepeatedLinesConfig()).dtype == np.uint64


@pytest.mark.parametrize("field", ["min_characters", "max_documents"])
def test_bad_settings_name_the_field(field):
    (problem,) = RepeatedLinesConfig(**{field: 0}).problems()
    assert f"--lines.{field.replace('_', '-')} 0" in problem
