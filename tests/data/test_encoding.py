# ruff: noqa: RUF001
"""Text comes out of its bytes whatever the encoding, with what was repaired counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.data.encoding import STRAY, Decoded, StreamDecoder, declared_encoding, decode, detect

# Sentences of the Universal Declaration of Human Rights, article 1, or with many accents.
RUSSIAN = "Все люди рождаются свободными и равными в своём достоинстве и правах."
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"
SENTENCES = {
    "cp1252": "L'été dernier, à Noël, un garçon élève a mangé — c'était très agréable en forêt.",
    "iso8859-1": "El niño comió una piña mañana, ¿qué pasó? Acción rápida y corazón.",
    "cp1250": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "iso8859-2": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "cp1251": RUSSIAN,
    "koi8-r": RUSSIAN,
    "cp866": RUSSIAN,
    "iso8859-7": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.",
    "cp932": JAPANESE,
    "euc_jp": JAPANESE,
    "gb18030": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。",
    "big5": "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心。",
    "cp949": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "utf-16": RUSSIAN,
    "utf-32": RUSSIAN,
}


@pytest.mark.parametrize("name", SENTENCES)
def test_text_is_found_without_a_label(name):
    text = f"{SENTENCES[name]}\nplain\n"
    found = decode(text.encode(name))
    assert found.text == text
    assert found.repaired == 0
    assert found.encoding != "utf-8"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff\x1b")))
def test_valid_utf8_is_never_changed(text):
    assert decode(text.encode()) == Decoded(text, "utf-8", 0)


@given(st.binary())
def test_any_bytes_become_text_that_can_be_written(data):
    found = decode(data)
    found.text.encode()
    assert decode(data) == found


def test_marks_decide():
    for name in ("utf-8-sig", "utf-16", "utf-32"):
        assert decode("é".encode(name)).text == "é"
    assert decode(b"\xef\xbb\xbfa").encoding == "utf-8"
    assert decode("\ufeffé".encode("utf-16-be")) == Decoded("é", "utf-16-be", 0)
    plain = "no mark at all, in Latin letters"
    for name in ("utf-16-le", "utf-16-be"):
        assert decode(plain.encode(name)) == Decoded(plain, name, 0)


def test_stray_bytes_in_utf8():
    text = "Ünïcödé ☃ and 東京, with a dash " * 3
    data = text.encode() + b"\x96\x93quoted\x94 caf\xe9"
    assert decode(data) == Decoded(text + "–“quoted” café", STRAY, 4)
    # One byte in plain ASCII is all there is to go by: it is windows-1252.
    assert decode(b"It\x92s plain and stays so for a while.").text.startswith("It\u2019s plain")


def test_what_is_declared():
    head = b'<!doctype html><html><head><meta charset="koi8-r"><title>'
    assert declared_encoding(head) == "koi8-r"
    old = b'<META http-equiv="Content-Type" content="text/html; charset=ISO-8859-5">'
    assert declared_encoding(old) == "ISO-8859-5"
    assert declared_encoding(b"<?xml version='1.0' encoding='big5'?>") == "big5"
    assert declared_encoding(b"<p>charset=nothing") == ""
    # Two letters are not enough to find it out; the label says it.
    data = "ах".encode("koi8-r")
    assert decode(data, "koi8-r").text == "ах"
    # Labels mean what browsers take them for.
    assert decode(b"\x93a\x94", "iso-8859-1").text == "“a”"
    assert decode("东 €".encode("gb18030"), "gb2312").text == "东 €"
    # Seven bits, and valid UTF-8.
    assert decode("東京".encode("iso2022_jp"), "iso-2022-jp").text == "東京"
    # A wrong label does no harm to valid UTF-8, nor a label that is a trap.
    assert decode("é東".encode(), "iso-8859-1").text == "é東"
    for label in ("hex", "unicode_escape", "idna", "rot13", "utf-7", "nonsense", "\0", "x" * 999):
        assert decode(b"\\u0041 \xe9", label).text == "\\u0041 é"


def test_blocks_give_the_same_as_the_whole():
    text = "first é東 line\n" * 9
    for name in ("utf-8", "cp1252", "utf-16"):
        data = text.replace("東", "").encode(name)
        decoder = StreamDecoder("auto")
        blocks = [data[:64], data[64:65], data[65:]]
        parts = [decoder.decode(block) for block in blocks] + [decoder.decode(b"", final=True)]
        assert "".join(parts) == text.replace("東", "")


def test_a_named_encoding_is_strict_and_tells_the_place():
    decoder = StreamDecoder("utf-8")
    assert decoder.decode(b"\xef\xbb\xbfab\xc3") == "ab"
    with pytest.raises(UnicodeDecodeError) as error:
        decoder.decode(b"c")
    assert error.value.start == 5
    decoder = StreamDecoder("auto")
    assert decoder.decode(b"ascii only ") + decoder.decode(b"caf\xe9 \x80") == "ascii only café €"
    assert (decoder.encoding, decoder.repaired) == (STRAY, 2)


def test_a_long_line_of_ascii_before_other_bytes_is_no_trap():
    assert detect(b"a" * 5_000_000 + b"\xe9") == "cp1252"


def test_single_accents_are_of_no_other_alphabet():
    assert decode("a café é\n".encode("cp1252") * 9).text == "a café é\n" * 9
