"""Gibberish against prose of several languages and scripts, code, and noise of several kinds."""

# ruff: noqa: RUF001

import base64
import inspect
import json
import math
import pickle
import random
import string
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.data.cleaning.gibberish import (
    GibberishConfig,
    gibberish_step,
    letter_symbols,
    letter_trigrams,
    score_letters,
)
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

STEP = gibberish_step(GibberishConfig())

# The beginning of the Universal Declaration of Human Rights (1948), and its first article.
PROSE = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with "
    "reason and conscience and should act towards one another in a spirit of brotherhood.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft "
    "und Gewissen begabt und sollen einander im Geist der Brüderlichkeit begegnen.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués "
    "de raison et de conscience et doivent agir les uns envers les autres.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw. Są oni "
    "obdarzeni rozumem i sumieniem i powinni postępować wobec innych w duchu braterstwa.",
    "fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan. Heille on "
    "annettu järki ja omatunto, ja heidän on toimittava toisiaan kohtaan veljeyden hengessä.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana "
    "sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile hareket etmelidirler.",
    "vi": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi. Mọi con "
    "người đều được tạo hoá ban cho lý trí và lương tâm và cần phải đối xử với nhau.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены "
    "разумом и совестью и должны поступать в отношении друг друга в духе братства.",
    "zh": 3 * "人人生而自由,在尊严和权利上一律平等。"
    "他们赋有理性和良心,并应以兄弟关系的精神相对待。" * 4,
}


def dropped(text):
    return STEP(Document(text, "s", "1")).dropped_by == "gibberish"


@pytest.mark.parametrize("language", PROSE)
def test_languages_are_kept(language):
    assert not dropped(PROSE[language])


def test_source_code_is_kept():
    for module in (json, inspect, random, string):
        assert not dropped(inspect.getsource(module))


def test_pairs_of_letters_alone_are_no_language():
    sample = f" {PROSE['en'].lower()} " * 2
    chance = random.Random(3)
    letters = ["t"]
    while len(letters) < 2000:
        letters.append(chance.choice([b for a, b in pairwise(sample) if a == letters[-1]]))
    assert dropped("".join(letters))


def noise(kind, seed):
    chance = random.Random(seed)
    if kind == "base64":
        return "\n".join(base64.b64encode(chance.randbytes(57)).decode() for _ in range(8))
    if kind == "hexadecimal":
        return "\n".join(chance.randbytes(32).hex() for _ in range(10))
    if kind == "shuffled":
        return "".join(chance.sample(PROSE["en"] * 3, len(PROSE["en"]) * 3))
    if kind == "misread":  # Cyrillic letters in UTF-8, read as Latin-1
        return PROSE["ru"].encode().decode("latin-1")
    letters = {"letters": string.ascii_letters, "keyboard": "asdfghjkl;"}[kind]
    return " ".join(
        "".join(chance.choice(letters) for _ in range(chance.randint(2, 10))) for _ in range(60)
    )


@pytest.mark.parametrize(
    "kind", ["letters", "keyboard", "base64", "hexadecimal", "shuffled", "misread"]
)
def test_noise_is_dropped(kind):
    assert all(dropped(noise(kind, seed)) for seed in range(20))


def test_short_texts_and_texts_without_letters_are_not_judged():
    assert not dropped("xqzv " * 24)  # 96 letters
    assert dropped("xqzv " * 25)
    assert score_letters("").letters == score_letters("123 4.5\n").letters == 0
    # Names in Latin letters among more letters of another script.
    assert score_letters("xqzv " + PROSE["ru"]).letters == 0


def test_names_among_digits_and_punctuation_may_look_odd():
    names = " ".join(f"{i}: pci-bridge, usb_phy, spi0-cs, led(on);" for i in range(9))
    assert not dropped(names)
    words = "".join(c if c.isalpha() else " " for c in names)
    assert score_letters(names).share < 0.9 <= score_letters(words).share
    assert dropped(words)


def test_symbols_of_letters():
    assert letter_symbols("aZ é-ßế").tolist() == [0, 0, 1, 26, 0, 27, 0, 27, 27, 0]


@given(st.text("ab z.é\n", max_size=60))
def test_score_is_the_sum_over_letters(text):
    table = np.load(inspect.getfile(score_letters).replace("gibberish.py", "letter_trigrams.npy"))
    code = [27 if c == "é" else ord(c) - 96 if c.isalpha() else 0 for c in text]
    total, before, last = np.zeros(len(table), int), 0, 0
    for symbol in code:
        if symbol:
            total += table[:, before if last else 0, last, symbol].astype(int)
        before, last = last, symbol
    letters = sum(map(bool, code))
    found = score_letters(text)
    assert found.letters == letters
    assert math.isclose(found.bits * letters, total.min() / 16, abs_tol=1e-9)
    if letters:
        plain = sum(c.isalpha() or c.isspace() for c in text)
        assert math.isclose(found.share, plain / len(text))


def test_long_texts_are_scored_in_parts_of_the_same_score():
    text = PROSE["en"] + "\n"
    once, many = score_letters(text), score_letters(text * 2000)
    assert many.letters == 2000 * once.letters
    assert math.isclose(once.bits, many.bits, rel_tol=1e-3)


def test_trigrams_forget_what_stood_before_a_separator():
    trigrams = letter_trigrams(letter_symbols("x a"))
    assert trigrams.tolist() == [24, 24 * 28, 1, 28]


def test_step_travels_to_other_processes_and_refuses_impossible_settings():
    step = pickle.loads(pickle.dumps(STEP))
    assert step(Document("xqzv " * 30, "s", "1")).dropped_by == "gibberish"
    with pytest.raises(InputError, match="min-letters 0: must be at least 1"):
        gibberish_step(GibberishConfig(min_letters=0))
