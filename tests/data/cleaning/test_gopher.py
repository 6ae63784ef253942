"""Gopher's rules, each on a text that breaks it alone, worked out by hand."""

import dataclasses
import pickle

import pytest

from jaxlm.data.cleaning.gopher import (
    GopherQualityConfig,
    GopherRepetitionConfig,
    gopher_quality,
    gopher_quality_step,
    gopher_repetition,
    gopher_repetition_step,
)
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

QUALITY = GopherQualityConfig()
REPETITION = GopherRepetitionConfig()
# 10 words, two of which are stop words; five of them make the 50 words that are needed.
SENTENCE = "The river and that brook run dry in late summer. "


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (SENTENCE * 5, ""),
        (SENTENCE * 4 + "Nine words are not enough for a good page.", "too_few_words"),
        (SENTENCE * 10_000, ""),
        (SENTENCE * 10_000 + "more", "too_many_words"),
        # 50 words of 2.98 characters on average: 49 of 3, one of 2.
        ("the and " * 24 + "the to", "words_too_short"),
        ("the and " * 25, ""),
        # 48 words of 10 characters and two of 11.
        ("abcdefghij " * 48 + "the_and_the to_and_to_a", "words_too_long"),
        ("the and " + "abcdefghij " * 46 + "abcdefghijklmnopq " * 2, ""),  # 500 in 50 words
        (SENTENCE * 5 + "#" * 5, ""),
        (SENTENCE * 5 + "#" * 6, "too_many_hashes"),
        ("..." * 5 + SENTENCE * 5, ""),
        (SENTENCE * 5 + "......" * 3, "too_many_ellipses"),
        (("- " + SENTENCE + "\n") * 10, "too_many_bullets"),
        (("- " + SENTENCE + "\n") * 9 + SENTENCE, ""),
        ((SENTENCE + "\n") * 7 + (SENTENCE.strip() + "..\n") * 3, ""),
        ((SENTENCE + "\n") * 6 + (SENTENCE.strip() + "..\n") * 3, "too_many_ellipsis_lines"),
        # 50 words and 12 or 13 numbers: 80.6 and 79.4 % with a letter.
        (SENTENCE * 5 + "123 " * 12, ""),
        (SENTENCE * 4 + "123 " * 10, ""),
        (SENTENCE * 5 + "123 " * 13, "too_few_alphabetic_words"),
        ("Der Fluss war im Sommer wieder einmal ganz trocken. " * 6, "too_few_stop_words"),
        ("the Fluss war im Sommer wieder einmal ganz trocken. " * 6, "too_few_stop_words"),
        ("the Fluss of im Sommer wieder einmal ganz trocken. " * 6, ""),
        ("Реки летом пересыхают и the дети играют of на песке. " * 6, ""),
        ("", "too_few_words"),
    ],
)
def test_quality_rules(text, rule):
    assert gopher_quality(text, QUALITY) == rule


def test_other_languages_need_no_english_stop_words():
    german = "Der Fluss war im Sommer wieder einmal ganz trocken. " * 6
    assert gopher_quality(german, dataclasses.replace(QUALITY, min_stop_words=0)) == ""


def words(start, count):
    """Different words of four characters."""
    return [f"w{i:03}" for i in range(start, start + count)]


def recurring(first, new, times):
    """The same words before different ones, so many times."""
    groups = [words(0, first) + words(50 * i, new) for i in range(1, times + 1)]
    return " ".join(" ".join(group) for group in groups)


def numbered_lines(count, repeats):
    """`count` lines of two new words, then `repeats` times the first one."""
    lines = [" ".join(words(2 * i, 2)) for i in range(count)]
    return "\n".join(lines + lines[:1] * repeats)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", ""),
        (" ".join(words(0, 500)), ""),
        # 3 of 10, and of 9, lines occurred before, but only 3 of more than 100 characters.
        ("a\n" + "\n".join(" ".join(words(i, 4)) for i in range(0, 24, 4)) + "\na\na\na", ""),
        ("a\n" + "\n".join(" ".join(words(i, 4)) for i in range(0, 20, 4)) + "\na\na\na",
         "duplicate_lines"),
        # 2 of 10 lines, 20 % of the characters, but 30 % in the same two words; 3 of 11 lines.
        (numbered_lines(8, 2), "top_2_gram"),
        (numbered_lines(8, 3), "duplicate_line_characters"),
        # Two words six times: 12 of 60 words, or of 54.
        (recurring(2, 8, 6), ""),
        (recurring(2, 7, 6), "top_2_gram"),
        # Three words four times: 12 of 64 words, of which two are 8; or of 68.
        (recurring(3, 13, 4), "top_3_gram"),
        (recurring(3, 14, 4), ""),
        # Four words twice: 8 of 49 words, or of 50.
        (" ".join(words(0, 4) + words(100, 41) + words(0, 4)), "top_4_gram"),
        (" ".join(words(0, 4) + words(100, 42) + words(0, 4)), ""),
    ],
)  # fmt: skip
def test_repetition_rules(text, rule):
    assert gopher_repetition(text, REPETITION) == rule


@pytest.mark.parametrize(
    ("size", "percent"), [(5, 15), (6, 14), (7, 13), (8, 12), (9, 11), (10, 10)]
)
def test_a_passage_that_occurs_again(size, percent):
    # Of 100 * size words, `percent` pieces of `size` words occur again, between new words.
    off = {f"duplicate_{n}_gram_character_fraction": 1.0 for n in range(5, 11) if n != size} | {
        f"top_{n}_gram_character_fraction": 1.0 for n in (2, 3, 4)
    }
    config = dataclasses.replace(REPETITION, **off)

    def page(repeats):
        base = [w for i in range(percent + 1) for w in words(size * i, size)]
        again = [w for i in range(repeats) for w in [f"y{i:03}", *words(size * i, size)]]
        fill = 100 * size - len(base) - len(again)
        return " ".join(base + [f"n{i:03}" for i in range(fill)] + again)

    assert gopher_repetition(page(percent), config) == ""
    assert gopher_repetition(page(percent + 1), config) == f"duplicate_{size}_grams"


def test_paragraphs():
    lines = "\n".join(words(0, 3))
    others = "\n\n".join(words(100, 1) + words(200, 1))
    off = dataclasses.replace(
        REPETITION, duplicate_line_fraction=1.0, duplicate_line_character_fraction=1.0
    )
    # Two of four paragraphs are the first again.
    text = f"{lines}\n\n{lines}\n \n{lines}\n\n{others}"
    assert gopher_repetition(text, off) == "duplicate_paragraphs"
    by_characters = dataclasses.replace(off, duplicate_paragraph_fraction=1.0)
    assert gopher_repetition(text, by_characters) == "duplicate_paragraph_characters"


def test_steps_are_named_after_their_rule_and_travel_to_other_processes():
    quality = pickle.loads(pickle.dumps(gopher_quality_step(QUALITY)))
    assert quality(Document("few words", "s", "1")).dropped_by == "gopher_quality.too_few_words"
    repetition = pickle.loads(pickle.dumps(gopher_repetition_step(REPETITION)))
    assert repetition(Document("a\n" * 9, "s", "1")).dropped_by == (
        "gopher_repetition.duplicate_lines"
    )
    kept = quality(Document(SENTENCE * 5, "s", "1"))
    assert (kept.text, kept.dropped_by) == (SENTENCE * 5, "")


def test_impossible_thresholds():
    with pytest.raises(InputError, match=r"--gopher-quality\.min-words 9: is above"):
        gopher_quality_step(GopherQualityConfig(min_words=9, max_words=8))
    with pytest.raises(InputError, match="duplicate-line-fraction -1: must be at least 0"):
        gopher_repetition_step(GopherRepetitionConfig(duplicate_line_fraction=-1))
