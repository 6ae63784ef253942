"""Wrong decodings are undone, the unseen goes, and what scripts and emoji need stays."""

# ruff: noqa: RUF001

import pickle
import sys
import unicodedata

import ftfy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.data.cleaning.unicode import UnicodeConfig, remove_controls, repair, unicode_step
from jaxlm.data.documents import Document
from jaxlm.errors import InputError

GERMAN = "Fuß, Größe, „schön“ – naïve café"
CODE = "print(“ok”, 'ﬁ', '&lt;', 'ＡＢ')  # don’t touch\n"


def step(text, **settings):
    return unicode_step(UnicodeConfig(**settings))(Document(text, "s", "1"))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp1250"])
@pytest.mark.parametrize("text", ["Größe und Fuß", "naïve café à la carte", "schön – wie früher"])
def test_wrong_decodings_are_undone(text, encoding):
    broken = text.encode().decode(encoding)
    assert repair(f"ok\n{broken}\nEnd") == f"ok\n{text}\nEnd"


def test_only_the_broken_lines_change():
    broken = "schÃ¶n"
    assert repair(f"{GERMAN}\n{broken}\n{CODE}") == f"{GERMAN}\nschön\n{CODE}"


@pytest.mark.parametrize("text", [GERMAN, CODE, "ASCII only &amp; x", "東京 café Привет", ""])
def test_sound_text_stays(text):
    assert repair(text) == text
    assert step(text).text == text
    assert step(text).counts == {}


@given(st.text(st.sampled_from("ÃÂâ€™œ¶©®¼ž\x9d\u00a0 aé”“\n\ufffd"), max_size=30))
def test_the_fast_path_loses_nothing_that_the_library_repairs(text):
    assert repair(text) == "\n".join(ftfy.fix_encoding(line) for line in text.split("\n"))


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        ("a\x00b\x1b\x7f\x9fc\t\r\n", "abc\t\r\n", {"control characters": 4}),
        ("a\u2028b\u2029c\fd\ve\x85", "a\nb\nc\nd\ne\n", {"line separators": 5}),
        ("\ufeffzero\u200bwidth\u00ad\u2060", "zerowidth", {"zero-width characters": 4}),
        ("a\u202eb\u202cc\u2066d\u2069\u200e", "abcd", {"bidirectional controls": 5}),
        ("x\ue000\U000f1234\U00100000y", "xy", {"private use": 3}),
        ("x\ufdd0\uffff\U0001fffe\U0010ffffy", "xy", {"noncharacters": 4}),
        ("hid\U000e0041\U000e0042den", "hidden", {"zero-width characters": 2}),
        ("in\u200cva\u200dlid", "invalid", {"zero-width characters": 2}),
        ("\u200d👩 end\u200d", "👩 end", {"zero-width characters": 2}),
    ],
)
def test_what_goes(before, after, counts):
    assert remove_controls(before) == (after, counts)


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d💻 👩🏽\u200d🚀 ❤\ufe0f\u200d🔥 👨\u200d👩\u200d👧",
        "🏳\ufe0f\u200d🌈 🤷\u200d♂\ufe0f",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f Scotland",
        "می\u200cخواهم",  # Persian, with a zero-width non-joiner
        "क्\u200dष क्\u200cष",  # Devanagari, with both joiners
        "ශ්\u200dරී ලංකා",  # Sinhala
        "plain\ttext\r\n",
        "か\u3099 combining",
    ],
)
def test_what_stays(text):
    assert remove_controls(text) == (text, {})


def test_every_character_is_of_the_kind_that_its_category_says():
    for code in [*range(0xD800), *range(0xE000, sys.maxunicode + 1, 7)]:
        character = chr(code)
        kept = remove_controls(f"x{character}y")[0] == f"x{character}y"
        category = unicodedata.category(character)
        if category in ("Cc", "Co"):
            assert kept == (character in "\t\n\r"), hex(code)
        elif category[0] in "LNPS":
            assert kept == (code != 0xFFFC), hex(code)


def test_settings():
    assert step("cafe\u0301").text == "café"
    assert step("cafe\u0301").counts == {"normalised": 1}
    assert step("cafe\u0301", normalization="").text == "cafe\u0301"
    assert step("ﬁ Ａ", normalization="NFKC").text == "fi A"
    assert step("x\ue000y", remove_private_use=False).text == "x\ue000y"
    assert step("schÃ¶n").counts == {"repaired": 1}
    assert step("schÃ¶n", repair_encoding=False).text == "schÃ¶n"
    lost = step("\ufffd" * 3 + "x" * 97)
    assert (lost.dropped_by, lost.counts["U+FFFD"]) == ("unicode.lost_bytes", 3)
    kept = step("\ufffd" + "x" * 99)
    assert (kept.dropped_by, kept.counts) == ("", {"U+FFFD": 1})
    with pytest.raises(InputError, match=r"max_replaced 1\.5"):
        UnicodeConfig(max_replaced=1.5)
    with pytest.raises(InputError, match="normalization 'NFD'"):
        UnicodeConfig(normalization="NFD")


@given(st.text(st.one_of(st.characters(exclude_categories=["Cs"]),
                         st.sampled_from("\u200d\u200c\u202e\ue000Ã©\x85👩क्"))))  # fmt: skip
def test_only_valid_text_comes_out_and_nothing_hidden(text):
    run = pickle.loads(pickle.dumps(unicode_step(UnicodeConfig(repair_encoding=False))))
    verdict = run(Document(text, "s", "1"))
    verdict.text.encode()
    assert unicodedata.is_normalized("NFC", verdict.text)
    assert not set(verdict.text) & {"\u202e", "\ue000", "\x85", "\0"}
