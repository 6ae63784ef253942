"""Tokenizers lose nothing, are deterministic, survive storage and refuse what they cannot do."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxlm.errors import DamageError, InputError
from jaxlm.tokenizers.base import (
    CONFIG_FILE,
    StreamDecoder,
    load_tokenizer,
    save_tokenizer,
    tokenizer_from_files,
)
from jaxlm.tokenizers.character import CharacterTokenizer
from jaxlm.tokenizers.sentencepiece import SentencePieceTokenizer, train_sentencepiece

TEXTS = [
    "The quick brown fox jumps over the lazy dog.\n\n    def f(x):\n        return x\n",
    "A tokenizer divides text into pieces;   spaces,\ttabs and\r\nline ends are kept.\n",
    "naïve café, 東京, emoji 😀 and \u2581 too; the mark \u2585 would drop a sentence.\n",
] * 3
ANY_TEXT = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(" \n\t\0\u2581\u2585é😀ab"))
)


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def tokenizer(request):
    return train_sentencepiece(TEXTS, 320, model_type=request.param)


@given(text=ANY_TEXT)
@example(text="\u2581 x\u2581\u2581 y \u2581")
@example(text="<s></s><unk><0x41>")
@example(text="\ufeff \r\n\n\0 \u2047\u2585")
@settings(max_examples=300, deadline=None)
def test_sentencepiece_is_lossless(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(3 <= i < tokenizer.vocab_size for i in ids)  # no unknown token, no special one
    stream = StreamDecoder(tokenizer)
    assert "".join([stream.push([i]) for i in ids]) + stream.finish() == text


@given(texts=st.lists(ANY_TEXT, max_size=5))
@settings(deadline=None)
def test_batch_equals_single(tokenizer, texts):
    assert tokenizer.encode_batch(texts) == [tokenizer.encode(text) for text in texts]


def test_ids_are_those_of_sentencepiece_itself(tokenizer):
    import sentencepiece

    model = tokenizer.files()["sentencepiece.model"]
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    for text in TEXTS[:2]:
        ids = processor.encode(text)
        assert tokenizer.encode(text) == ids
        assert tokenizer.decode(ids) == processor.decode(ids)
    assert (tokenizer.bos_id, tokenizer.eos_id) == (processor.bos_id(), processor.eos_id())
    assert processor.pad_id() < 0


def test_specials_are_skipped_and_ids_checked(tokenizer):
    ids = [tokenizer.bos_id, *tokenizer.encode("pieces"), tokenizer.eos_id]
    assert tokenizer.decode(ids) == "pieces"
    assert tokenizer.decode([0]) == "\ufffd"
    for bad in (-1, tokenizer.vocab_size):
        with pytest.raises(InputError, match=f"{bad} is outside"):
            tokenizer.decode([bad])


def test_stream_decoder_holds_back_incomplete_characters(tokenizer):
    ids = tokenizer.encode("🦊")
    stream = StreamDecoder(tokenizer)
    assert [stream.push([i]) for i in ids] == ["", "", "", "🦊"]
    assert stream.push(ids[:2]) == ""
    assert stream.finish() == "\ufffd"


def test_training_is_deterministic_and_exact():
    first, second = (train_sentencepiece(iter(TEXTS), 330, seed=1) for _ in range(2))
    assert first.files() == second.files()
    assert first.fingerprint == second.fingerprint
    assert first.vocab_size == 330
    other = train_sentencepiece([*TEXTS, "something else entirely"], 330, seed=1)
    assert other.fingerprint != first.fingerprint


def test_no_text_is_left_out_of_training():
    # One line beyond SentencePiece's length limit, of four-byte characters, with reserved marks.
    text = "😀😁 " * 3000 + "\u2585" + "\0" + "😂" * 500
    tokenizer = train_sentencepiece([text], 263)
    assert len(tokenizer.encode("😀")) == len(tokenizer.encode("😂")) == 1


def test_large_corpora_are_sampled_by_seed():
    texts = [f"{word} {i} " * 20 for i in range(40) for word in ("alpha", "beta", "gamma")]
    drawn = [
        train_sentencepiece(texts, 285, seed=seed, max_characters=3000).fingerprint
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_vocabulary_out_of_range_names_the_limit():
    with pytest.raises(InputError, match=r"at most (\d+): set --model.vocab-size \1") as error:
        train_sentencepiece(TEXTS, 30_000)
    largest = int(str(error.value).split("--model.vocab-size ")[1].split(",")[0])
    assert train_sentencepiece(TEXTS, largest).vocab_size == largest
    with pytest.raises(InputError, match=r"no room for the 256 bytes.*--model.vocab-size \d+"):
        train_sentencepiece(TEXTS, 270)
    with pytest.raises(InputError, match=r"--model\.vocab-size"):
        train_sentencepiece([], 300)


def test_lone_surrogates_are_refused(tokenizer):
    for call in (tokenizer.encode, lambda text: tokenizer.encode_batch([text])):
        with pytest.raises(InputError, match=r"U\+D800 at character 2"):
            call("ab\ud800")
    with pytest.raises(InputError, match="surrogate"):
        train_sentencepiece(["\udfff"], 300)


def test_training_prints_nothing(capfd):
    train_sentencepiece(TEXTS, 330)
    assert capfd.readouterr() == ("", "")


def test_foreign_bytes_are_no_model():
    with pytest.raises(InputError, match="not a SentencePiece model"):
        SentencePieceTokenizer(b"garbage")


@given(text=st.text("abc\n é"))
def test_characters_are_lossless(text):
    tokenizer = CharacterTokenizer("cab\n é", specials=False)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_character_ids_are_sorted_ranks():
    plain = CharacterTokenizer("hello", specials=False)
    assert (plain.vocab_size, plain.bos_id, plain.eos_id) == (4, None, None)
    assert plain.encode("hole") == [1, 3, 2, 0]
    special = CharacterTokenizer("hello", specials=True)
    assert (special.vocab_size, special.bos_id, special.eos_id) == (7, 1, 2)
    assert special.encode("ox") == [6, 0]
    assert special.decode([1, 6, 0, 2]) == "o\ufffd"
    with pytest.raises(InputError, match=r"'x' \(U\+0078\) at position 1"):
        plain.encode("ox")
    with pytest.raises(InputError, match="needs text"):
        CharacterTokenizer("", specials=True)


def test_storage_round_trip(tokenizer, tmp_path):
    for number, kind in enumerate((tokenizer, CharacterTokenizer("abc é😀", specials=True))):
        directory = tmp_path / str(number)
        save_tokenizer(kind, directory)
        save_tokenizer(kind, directory)  # replaces itself
        for loaded in (load_tokenizer(directory), tokenizer_from_files(kind.files())):
            assert loaded.fingerprint == kind.fingerprint
            assert loaded.encode("a é b😀") == kind.encode("a é b😀")
        assert sorted(p.name for p in directory.iterdir()) == sorted(kind.files())


def test_damaged_and_foreign_directories(tokenizer, tmp_path):
    with pytest.raises(InputError, match="no such tokenizer directory"):
        load_tokenizer(tmp_path / "missing")
    with pytest.raises(InputError, match=CONFIG_FILE):
        load_tokenizer(tmp_path)
    directory = tmp_path / "tokenizer"
    save_tokenizer(tokenizer, directory)
    good = tokenizer.files()
    for name, content, match in [
        ("sentencepiece.model", good["sentencepiece.model"][:-1], "sentencepiece.model is not"),
        (CONFIG_FILE, b"{", "cannot be read"),
        (CONFIG_FILE, good[CONFIG_FILE].replace(b'"bos_id": 1', b'"bos_id": 2'), "does not fit"),
        (CONFIG_FILE, json.dumps({"kind": "other", "files": {}}).encode(), "unknown kind"),
        (CONFIG_FILE, json.dumps({"kind": "x", "files": {"../a": ""}}).encode(), "cannot be read"),
    ]:
        (directory / name).write_bytes(content)
        with pytest.raises(InputError if "unknown" in match else DamageError, match=match):
            load_tokenizer(directory)
        (directory / name).write_bytes(good[name])
    (directory / "sentencepiece.model").unlink()
    with pytest.raises(DamageError, match=r"sentencepiece.model is missing"):
        load_tokenizer(directory)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("do not replace me")
    with pytest.raises(InputError, match="is no tokenizer"):
        save_tokenizer(tokenizer, foreign)
    assert (foreign / "thesis.txt").exists()
