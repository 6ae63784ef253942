"""Vocabularies of others give the ids of others; damaged files are refused with a message."""

import base64
import io
import json
import random

import pytest
import sentencepiece
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.errors import InputError
from jaxlm.tokenizers.base import load_tokenizer, save_tokenizer
from jaxlm.tokenizers.byte_alphabet import BYTE_OF_CHARACTER, bytes_to_piece, piece_to_bytes
from jaxlm.tokenizers.byte_bpe import json_bytes, train_byte_bpe
from jaxlm.tokenizers.pretrained import read_pretrained, read_rank_file
from jaxlm.tokenizers.tiktoken import GPT2_PATTERN, has_long_space
from jaxlm.tokenizers.tokenizer_json import JsonTokenizer
from jaxlm.tokenizers.wordpiece import wordpiece_json

TEXTS = ["the cat and the hat, that fat cat\n  sat there; don't they? 123 12\n"] * 4
# As published: "\s+$" is left out, whose $ is the end of a line for one of the libraries.
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.fixture(scope="module")
def trained():
    return train_byte_bpe(TEXTS, 280)


def hugging_face(tokenizer):
    """The library's own reading of a tokenizer.json, which takes all text for text."""
    other = tokenizers.Tokenizer.from_str(tokenizer.files()["tokenizer.json"].decode())
    other.no_truncation()
    other.no_padding()
    other.encode_special_tokens = True
    return other


def test_byte_alphabet():
    assert len(BYTE_OF_CHARACTER) == 256
    assert bytes_to_piece(b" the\n\x00\xe9!") == "\u0120the\u010a\u0100\u00e9!"
    assert piece_to_bytes(bytes_to_piece(bytes(range(256)))) == bytes(range(256))
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    assert sorted(BYTE_OF_CHARACTER) == sorted(alphabet)


@pytest.mark.parametrize("name", ["gpt2", "bert_wordpiece", "smollm2"])
def test_reference_ids(shared, name):
    tokenizer = read_pretrained(shared / "data" / "tokenizers" / name)
    reference = json.loads((shared / "data" / "tokenizers" / "reference_ids.json").read_bytes())
    # The reference takes special tokens for such, but for GPT-2, which has its own spelling.
    allow = name != "gpt2"
    found = [tokenizer.encode(s, allow_special=allow) for s in reference["strings"]]
    assert found == reference["ids"][name]
    batch = tokenizer.encode_batch(reference["strings"])
    other = hugging_face(tokenizer)
    for text, ids in zip(reference["strings"], batch, strict=True):
        assert ids == tokenizer.encode(text)
        assert ids == other.encode(text, add_special_tokens=False).ids
        assert ids == tokenizer.encode_with_offsets(text)[0]
        if name != "bert_wordpiece":
            assert tokenizer.decode(ids) == text
    assert tokenizer.is_fast == (name != "bert_wordpiece")


def test_gpt2_by_literals(shared):
    for path in ("gpt2", "gpt2/merges.txt"):
        tokenizer = read_pretrained(shared / "data" / "tokenizers" / path)
        assert tokenizer.encode("Hello, I am") == [15496, 11, 314, 716]
        assert tokenizer.encode("Akwirw ier") == [33901, 86, 343, 86, 220, 959]
    assert (tokenizer.vocab_size, tokenizer.bos_id, tokenizer.eos_id) == (50257, 50256, 50256)
    text = "tea? <|endoftext|> In"
    plain = [660, 64, 30, 1279, 91, 437, 1659, 5239, 91, 29, 554]
    assert tokenizer.encode(text) == plain
    special = [660, 64, 30, 220, 50256, 554]
    assert tokenizer.encode(text, allow_special=True) == special
    assert tokenizer.decode(special) == "tea?  In"
    for case in json.loads((shared / "truths" / "gpt2_token_ids.json").read_bytes())["cases"]:
        allow = case.get("allow_special", False)
        assert tokenizer.encode(case["text"], allow_special=allow) == case["ids"]


def test_bert_by_literals(shared):
    for path in ("bert_wordpiece/vocab.txt", "bert_wordpiece/tokenizer.json"):
        tokenizer = read_pretrained(shared / "data" / "tokenizers" / path)
        assert tokenizer.encode("Hello world") == [7592, 2088]
        assert tokenizer.special_ids == {"pad": 0, "unk": 100, "cls": 101, "sep": 102, "mask": 103}
        assert tokenizer.encode("[CLS] x", allow_special=True) == [101, 1060]
        assert 101 not in tokenizer.encode("[CLS] x")
        assert tokenizer.decode([101, 7592, 1010, 2088, 100, 102]) == "hello, world \ufffd"
        # No truncation at 128, though the file asks for it.
        assert len(tokenizer.encode("word " * 500)) == 500


def test_fast_path_equals_the_library(shared, trained):
    generator = random.Random(0)
    words = ["  ", " ", "\n", "\t", "the", "don't", "'s", "12", "7", "é", "日本", "😀", "!?",
             "\u00a0", "\u2003", "x", "İ", "_", "\x1c", "\x85", "\u0664",
             "<|endoftext|>"]  # fmt: skip
    texts = ["".join(generator.choices(words, k=generator.randrange(40))) for _ in range(300)]
    texts += [" " * 499 + "x", " " * 5000 + "x\n" + "\n" * 2000, "a" * 50_000, ""]
    for tokenizer in (trained, *(read_pretrained(shared / "data" / "tokenizers" / n)
                                 for n in ("gpt2", "smollm2"))):  # fmt: skip
        assert tokenizer.is_fast
        other = hugging_face(tokenizer)
        expected = [e.ids for e in other.encode_batch(texts, add_special_tokens=False)]
        assert [tokenizer.encode(text) for text in texts] == expected
        assert tokenizer.encode_batch(texts) == expected
        many = [text for text in texts for _ in range(30)]  # several groups, for several threads
        assert tokenizer.encode_batch(many) == [ids for ids in expected for _ in range(30)]


@pytest.mark.parametrize("text", ["a" * 10**6, " " * 10**6 + "a", "\n" * 10**6, "!" * 10**6])
def test_long_runs(trained, text):
    assert trained.decode(trained.encode(text)) == text
    assert has_long_space(text) == (text[0] in " \n")


@given(before=st.integers(0, 600), run=st.integers(0, 600), mark=st.sampled_from(" \n\u3000\x85"))
def test_long_space(before, run, mark):
    found = has_long_space("a" * before + mark * run + "b" * 300)
    if run >= 499 or run < 250:
        assert found == (run >= 499)


def without_fast_path(tokenizer, **changes):
    content = json.loads(tokenizer.files()["tokenizer.json"])
    content["model"] |= changes.pop("model", {})
    return JsonTokenizer(json.dumps(content | changes).encode())


def test_fast_path_is_refused_where_ids_could_differ(trained):
    content = json.loads(trained.files()["tokenizer.json"])
    merges, vocabulary = content["model"]["merges"], content["model"]["vocab"]
    assert trained.is_fast
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [*content["added_tokens"], {"id": 280, "content": "cat", "special": False, **flags}]
    for changes in (
        {"normalizer": {"type": "NFC"}},
        {"pre_tokenizer": {**content["pre_tokenizer"], "add_prefix_space": True}},
        {"added_tokens": added},
        {"model": {"merges": [merges[1], merges[0], *merges[2:]]}},  # ids are not in their order
        {"model": {"merges": merges[:-1]}},  # a token that nothing is merged to
        {"model": {"unk_token": "<s>"}},
    ):
        tokenizer = without_fast_path(trained, **changes)
        assert not tokenizer.is_fast, changes
        for text in ("the cat", "e\u0301", " that's"):
            expected = hugging_face(tokenizer).encode(text, add_special_tokens=False).ids
            assert tokenizer.encode(text) == expected
    # "abc" can be merged from "a" and "bc", but "ab" is merged before: tiktoken would find "abc".
    pairs = [("a", "b"), ("b", "c"), ("a", "bc")]
    letters = {c: i for i, c in enumerate(BYTE_OF_CHARACTER)}
    vocabulary = letters | {a + b: 256 + i for i, (a, b) in enumerate(pairs)}
    model = {"type": "BPE", "vocab": vocabulary, "merges": [list(pair) for pair in pairs]}
    parts = {name: content[name] for name in ("pre_tokenizer", "decoder")}
    unreachable = JsonTokenizer(json_bytes(model, {}, **parts))
    assert not unreachable.is_fast
    assert unreachable.encode("abc") == [256, letters["c"]]


def test_rank_file(tmp_path, trained):
    vocabulary = json.loads(trained.files()["tokenizer.json"])["model"]["vocab"]
    pieces = sorted((i, p) for p, i in vocabulary.items() if p not in ("<s>", "</s>"))
    lines = [f"{base64.b64encode(piece_to_bytes(p)).decode()} {i - 2}\n" for i, p in pieces]
    path = tmp_path / "ranks.tiktoken"
    path.write_text("".join(lines))
    special = {"<|endoftext|>": 300}
    tokenizer = read_rank_file(path, GPT2_PATTERN, special)
    assert (tokenizer.vocab_size, tokenizer.eos_id) == (301, 300)
    for text in TEXTS:
        assert tokenizer.encode(text) == [i - 2 for i in trained.encode(text)]
    assert tokenizer.encode("<|endoftext|>", allow_special=True) == [300]
    save_tokenizer(tokenizer, tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved").encode("the cat") == tokenizer.encode("the cat")

    import tiktoken

    ranks = {piece_to_bytes(p): i - 2 for i, p in pieces}
    peer = tiktoken.Encoding("x", pat_str=CL100K, mergeable_ranks=ranks, special_tokens={})
    other = read_rank_file(path, CL100K)
    for text in (*TEXTS, "THEY'RE\r\n\r\n  12345 a\n\n b"):
        assert other.encode(text) == peer.encode_ordinary(text)
        ids = hugging_face(other).encode(text, add_special_tokens=False).ids
        assert ids == peer.encode_ordinary(text)

    with pytest.raises(InputError, match=r"differ; write it without possessive"):
        read_rank_file(path, CL100K.replace("{1,3}", "{1,3}+"))
    with pytest.raises(InputError, match="need their pattern"):
        read_pretrained(path)
    for content, match in (
        ("garbage\n", "line 1: is no token"),
        ("".join([*lines, "YQ== x\n"]), rf"line {len(lines) + 1}: is no token"),
        ("".join(lines[1:]), "not every byte has one"),
        ("".join([*lines, "enp6eno= 5\n"]), "not distinct"),
        ("".join([*lines, "enp6eno= 999\n"]), "b'zzzzz' is no merge of two"),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=match):
            read_rank_file(path, GPT2_PATTERN)


@pytest.mark.parametrize("model_type", ["bpe", "unigram"])
@pytest.mark.parametrize("byte_fallback", [True, False])
def test_sentencepiece_models_as_they_are(tmp_path, model_type, byte_fallback):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*TEXTS, "ﬁne naïve café"]), model_writer=model, vocab_size=300,
        model_type=model_type, byte_fallback=byte_fallback, hard_vocab_limit=False, pad_id=3,
        minloglevel=2,
    )  # fmt: skip
    (tmp_path / "spiece.model").write_bytes(model.getvalue())
    tokenizer = read_pretrained(tmp_path)
    peer = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    texts = ["the cat", "  two  spaces ", "ﬁne", "", "☃ the \u2581 hat", "</s><unk>"]
    for text in texts:
        ids = peer.encode(text)
        assert tokenizer.encode(text) == ids
        assert tokenizer.encode_with_offsets(text)[0] == ids
        assert tokenizer.encode_batch([text]) == [ids]
        if peer.unk_id() not in ids:
            assert tokenizer.decode(ids) == peer.decode(ids)
    assert tokenizer.encode_with_offsets("the cat")[1][-1][1] == 7
    assert tokenizer.special_ids == {"unk": 0, "bos": 1, "eos": 2, "pad": 3}
    assert tokenizer.encode("the</s>", allow_special=True) == [*peer.encode("the"), 2]
    save_tokenizer(tokenizer, tmp_path / "saved")
    saved = load_tokenizer(tmp_path / "saved")
    assert [saved.encode(text) for text in texts] == [peer.encode(text) for text in texts]


def test_unigram_whose_pieces_hold_a_special_token():
    vocabulary = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0], ["\u2581", -2.0]]
    vocabulary += [[c, -5.0] for c in "ab</s>"]
    model = {"type": "Unigram", "unk_id": 2, "vocab": vocabulary, "byte_fallback": False}
    mark = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always"}
    content = json_bytes(
        model, {"<pad>": 0, "</s>": 1, "<unk>": 2}, pre_tokenizer=mark, decoder=mark
    )
    tokenizer = JsonTokenizer(content)
    assert hugging_face(tokenizer).encode("a</s>").ids == [3, 4, 1]  # what is prevented
    for text in ("a</s>", "</s>", "</s></s> b</s>"):
        for ids in (tokenizer.encode(text), tokenizer.encode_batch([text])[0]):
            assert 1 not in ids
        _, offsets = tokenizer.encode_with_offsets(text)
        assert offsets[-1][1] == len(text)
    assert tokenizer.encode("a</s>", allow_special=True) == [3, 4, 1]
    assert tokenizer.decode(tokenizer.encode("ab a")) == "ab a"
    assert tokenizer.decode([3, 4, 2]) == "a\ufffd"


def test_roles_come_from_the_files_beside(tmp_path, trained):
    content = json.loads(trained.files()["tokenizer.json"])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    for i, spelling in enumerate(("<|im_end|>", "<pad>"), 280):
        content["added_tokens"] += [{"id": i, "content": spelling, "special": True, **flags}]
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    guessed = read_pretrained(tmp_path)
    assert guessed.special_ids == {"bos": 0, "eos": 1, "pad": 281}
    config = {"bos_token": None, "eos_token": {"content": "<|im_end|>"}, "pad_token": "<pad>"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | {"mask_token": "?"}))
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        tokenizer = read_pretrained(path)
        assert tokenizer.special_ids == {"eos": 280, "pad": 281}
        assert tokenizer.bos_id is None
    with pytest.raises(InputError, match="read it with read_pretrained"):
        load_tokenizer(tmp_path)
    save_tokenizer(tokenizer, tmp_path / "run" / "tokenizer")
    for path in (tmp_path / "run", tmp_path / "run" / "tokenizer"):
        assert read_pretrained(path).fingerprint == tokenizer.fingerprint


def test_cased_and_uncased_vocabularies(tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "##b", "cafe"]
    assert JsonTokenizer(wordpiece_json(pieces)).encode("AB Café") == [5, 6, 7]
    cased = JsonTokenizer(wordpiece_json([*pieces, "A"]))
    assert cased.encode("AB Ab ab café") == [1, 8, 6, 5, 6, 1]
    (tmp_path / "vocab.txt").write_text("\r\n".join(pieces) + "\r\n")
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert read_pretrained(tmp_path).encode("A a") == [1, 5]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("tokenizer.json", b"", "no tokenizer.json: the file is damaged"),
        ("tokenizer.json", b"[1]", "no tokenizer.json"),
        ("tokenizer.json", b"[" * 100_000, "no tokenizer.json"),
        ("tokenizer.json", b'{"model": {"type": "BPE"}}', "no tokenizer.json"),
        ("tokenizer.json", b'{"model": {"type": "New", "vocab": {}}}', "no tokenizer.json"),
        ("vocab.json", b"{", "vocab.json is no JSON"),
        ("vocab.json", b"[]", "vocab.json holds no object"),
        ("vocab.json", b'{"a": "b"}', "vocab.json is no vocabulary"),
        ("vocab.json", b'{"a": 1, "b": 1}', "two pieces have one id"),
        ("vocab.json", b'{"a": 1}', "merges.txt is missing"),
        ("merges.txt", b"a b\n", "vocab.json is missing"),
        ("vocab.txt", b"a\nb\n", r"no \[UNK\]"),
        ("vocab.txt", b"[UNK]\nb\nb\n", "'b' twice"),
        ("vocab.txt", b"[UNK]\n\xff\n", "not UTF-8 at byte 6"),
        ("x.model", b"garbage", "not a SentencePiece model"),
        ("x.model", b"", "not a SentencePiece model"),
        ("readme.md", b"hello", "holds no tokenizer"),
    ],
)
def test_damaged_files(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    path = tmp_path / name if name == "merges.txt" else tmp_path
    with pytest.raises(InputError, match=match) as error:
        read_pretrained(path)
    assert str(tmp_path) in str(error.value)


def test_damaged_merges_and_missing_paths(tmp_path):
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    for merges, match in (("#version: 1\na b\nx\n", "line 3"), ("a c\n", "no tokenizer.json")):
        (tmp_path / "merges.txt").write_text(merges)
        with pytest.raises(InputError, match=match):
            read_pretrained(tmp_path)
    with pytest.raises(InputError, match="no such file or directory"):
        read_pretrained(tmp_path / "missing")


def test_decoders(trained):
    model = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1, "b": 2}, "unk_token": "[UNK]"}
    plain = {"pre_tokenizer": {"type": "Whitespace"}}
    words = JsonTokenizer(json_bytes(model, {"[UNK]": 0}, decoder=None, **plain))
    assert words.decode(words.encode("a b z [UNK]")) == "a b \ufffd \ufffd \ufffd \ufffd"
    ctc = {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b", "cleanup": True}
    with pytest.raises(InputError, match="decoder of CTC, which is not read"):
        JsonTokenizer(json_bytes(model, {}, decoder=ctc, **plain))
    vocabulary = {c: i for i, c in enumerate(["<unk>", "</s>", "<0xE2>", "<0x98>", "<0x83>", "a"])}
    model = {"type": "BPE", "vocab": vocabulary | {"\u2581": 6}, "merges": [], "unk_token": "<unk>"}
    decoder = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
        {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1,
        "stop": 0}]}  # fmt: skip
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"},
        {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}  # fmt: skip
    llama = JsonTokenizer(json_bytes(model | {"byte_fallback": True}, {"</s>": 1},
                                     decoder=decoder, normalizer=normalizer))  # fmt: skip
    assert llama.encode("a ☃") == [6, 5, 6, 2, 3, 4]
    assert llama.decode([6, 5, 6, 2, 3, 4]) == "a ☃"
    assert llama.token_text(2) == "<0xE2>"
