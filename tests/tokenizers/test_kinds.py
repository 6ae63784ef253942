"""What holds for every kind of tokenizer: losses, special tokens, offsets, storage."""

import functools
import pickle

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxlm.errors import InputError
from jaxlm.tokenizers.base import (
    StreamDecoder,
    byte_offsets,
    load_tokenizer,
    save_tokenizer,
    tokenizer_from_files,
)
from jaxlm.tokenizers.byte import ByteTokenizer
from jaxlm.tokenizers.train import train_tokenizer

TEXTS = [
    "The quick brown fox jumps over the lazy dog.\n\n    def f(x):\n        return x\n",
    "A tokenizer divides text into pieces;   spaces,\ttabs and\r\nline ends are kept.\n",
    "naïve café, 東京, emoji 😀 and \u2581 too; [ C L S ] < / s > _ are signs.\n",
] * 3
SIZES = {"bpe": 320, "unigram": 320, "byte_bpe": 300, "wordpiece": 170, "word": 60}
SIZES |= {"word_character": 400, "character": 0, "bytes": 0}
LOSSLESS = ["bpe", "unigram", "byte_bpe", "word_character", "bytes"]
ANY_TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from(" \n\t\r\0\u2581\u2585\u0120é😀ab\u0301\u200d\ufeff"),
    )
)


@functools.cache
def trained(kind):
    return train_tokenizer(kind, TEXTS, SIZES[kind])


@pytest.fixture(params=SIZES)
def tokenizer(request):
    return trained(request.param)


@pytest.mark.parametrize("kind", LOSSLESS)
@given(text=ANY_TEXT)
@example(text="</s><s><unk>[UNK]##a <0xE2>\u2581\u2585\0\r\n")
@example(text="e\u0301 👩\u200d👩 \ufeff\U0010ffff  \u3000 x")
@settings(max_examples=60, deadline=None)
def test_text_comes_back(kind, text):
    tokenizer = trained(kind)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert not set(ids) & set(tokenizer.special_ids.values())
    stream = StreamDecoder(tokenizer)
    assert "".join([stream.push([i]) for i in ids]) + stream.finish() == text


@given(texts=st.lists(ANY_TEXT, max_size=4))
@settings(max_examples=30, deadline=None)
def test_batch_and_offsets_agree_with_encode(texts):
    for tokenizer in map(trained, SIZES):
        single = [tokenizer.encode(text) for text in texts]
        assert tokenizer.encode_batch(texts) == single
        for text, ids in zip(texts, single, strict=True):
            found, offsets = tokenizer.encode_with_offsets(text)
            assert found == ids
            assert len(offsets) == len(ids)
            assert all(0 <= a <= b <= len(text) for a, b in offsets)


@pytest.mark.parametrize("kind", LOSSLESS)
@given(text=ANY_TEXT)
@settings(max_examples=40, deadline=None)
def test_offsets_cover_the_text(kind, text):
    tokenizer = trained(kind)
    ids, offsets = tokenizer.encode_with_offsets(text)
    covered = [False] * len(text)
    for token_id, (start, end) in zip(ids, offsets, strict=True):
        covered[start:end] = [True] * (end - start)
        assert tokenizer.token_bytes(token_id) in text[start:end].encode()
    assert all(covered)


def test_offsets_by_hand():
    # a, the two bytes of é in two pieces, é with the first byte of 東, its rest with b
    pieces = [b"a", b"\xc3", b"\xa9", b"\xc3\xa9\xe6", b"\x9d\xb1b"]
    assert byte_offsets("aéé東b", pieces) == [(0, 1), (1, 2), (1, 2), (2, 4), (3, 5)]
    assert byte_offsets("abc", [b"ab", b"c"]) == [(0, 2), (2, 3)]
    assert byte_offsets("", []) == []
    assert trained("word").encode_with_offsets("The zebra!")[1] == [(0, 3), (3, 9), (9, 10)]


def test_spelled_special_tokens_are_text(tokenizer):
    spellings = [*tokenizer.special_tokens, "<unk>", "[UNK]"]
    for spelling in spellings:
        for text in (spelling, f"a{spelling}b", f" {spelling} {spelling}"):
            reserved = set(tokenizer.special_tokens.values())
            reserved -= {tokenizer.special_ids.get("unk")}
            for ids in (
                tokenizer.encode(text),
                tokenizer.encode_batch([text])[0],
                tokenizer.encode_with_offsets(text)[0],
            ):
                assert not set(ids) & reserved


def test_special_tokens_on_demand(tokenizer):
    for spelling, token_id in tokenizer.special_tokens.items():
        ids = tokenizer.encode(f"the{spelling}dog", allow_special=True)
        assert ids == [*tokenizer.encode("the"), token_id, *tokenizer.encode("dog")]
        assert tokenizer.token_text(token_id) == spelling
    roles = tokenizer.special_ids
    assert tokenizer.special_tokens
    assert (roles.get("bos"), roles.get("eos")) == (tokenizer.bos_id, tokenizer.eos_id)
    assert tokenizer.decode([i for role, i in roles.items() if role != "unk"]) == ""
    if "unk" in roles:
        assert tokenizer.decode([roles["unk"]]) == "\ufffd"


def test_refusals(tokenizer):
    for call in (
        tokenizer.encode,
        tokenizer.encode_with_offsets,
        lambda text: tokenizer.encode_batch([text]),
        lambda text: tokenizer.encode(text, allow_special=True),
    ):
        with pytest.raises(InputError, match=r"U\+DC80 at character 1"):
            call("a\udc80")
    for bad in (-1, tokenizer.vocab_size):
        with pytest.raises(InputError, match=f"{bad} is outside"):
            tokenizer.decode([bad])


def test_stored_and_sent(tokenizer, tmp_path):
    save_tokenizer(tokenizer, tmp_path / "t")
    text = "The café's 😀 dog\n zebra </s>"
    for other in (
        load_tokenizer(tmp_path / "t"),
        tokenizer_from_files(tokenizer.files()),
        pickle.loads(pickle.dumps(tokenizer)),
    ):
        assert other.fingerprint == tokenizer.fingerprint
        assert other.kind == tokenizer.kind
        assert other.encode(text) == tokenizer.encode(text)
        assert other.special_ids == tokenizer.special_ids
        assert other.special_tokens == tokenizer.special_tokens


def test_fingerprints_tell_kinds_apart():
    assert len({trained(kind).fingerprint for kind in SIZES}) == len(SIZES)


def test_bytes():
    tokenizer = ByteTokenizer()
    assert tokenizer.encode("aé") == [97, 0xC3, 0xA9]
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id) == (258, 256, 257)
    assert tokenizer.decode([256, 97, 0xC3, 257]) == "a\ufffd"
    assert tokenizer.token_text(0xC3) == "<0xC3>"


def test_words_by_hand():
    words = train_tokenizer("word", ["b a b c b a"], 5)
    # " b" and " a" twice, "b" and " c" once: of the latter the first by code point is " c".
    assert words.words == [" a", " b"]
    assert words.encode("b a b") == [0, 3, 4]
    assert words.decode([0, 3, 4]) == "\ufffd a b"
    spelled = train_tokenizer("word_character", ["b a b c b a"], 270)
    assert spelled.words == [" a", " b", " c", "b"]
    assert spelled.characters == " abc"
    ids = spelled.encode("b ac☃")
    assert [spelled.token_text(i) for i in ids] == ["b", "## ", "##a", "##c"] + [
        f"##<0x{byte:02X}>" for byte in "☃".encode()
    ]
    for size, kind in ((3, "word"), (258, "word_character")):
        with pytest.raises(InputError, match=f"--vocab-size {size}: no room for a word"):
            train_tokenizer(kind, ["a b"], size)
    with pytest.raises(InputError, match="needs text"):
        train_tokenizer("word", [], 50)
