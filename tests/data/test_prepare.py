"""Token files are exact, damage is found, and preparation is atomic, repeatable and honest."""

import functools
import itertools
import json

import numpy as np
import pytest

from jaxlm.data.documents import Document
from jaxlm.data.prepare import divide, open_prepared, prepare
from jaxlm.data.shards import MANIFEST, TokenWriter, open_tokens
from jaxlm.data.sources import DocumentCounts
from jaxlm.errors import DamageError, InputError, JaxlmError
from jaxlm.tokenizers.character import CharacterTokenizer
from jaxlm.tokenizers.sentencepiece import train_sentencepiece

DOCUMENTS = [
    Document(
        f"Document {i}: " + f"the value {i * i} follows the value {i}. " * (i % 7 + 1), "s", str(i)
    )
    for i in range(120)
] + [Document("A long one.\n\nWith 東京 paragraphs.\n" * 400, "long", "0")]
SETTINGS = {"corpus": ["here"], "vocab_size": 400}
train = functools.partial(train_sentencepiece, vocab_size=400)


def run(directory, documents=DOCUMENTS, **options):
    options = {
        "train_tokenizer": train,
        "settings": SETTINGS,
        "context_length": 32,
        "seed": 0,
    } | options
    return prepare(documents, directory, **options)


def decoded(prepared, split):
    tokens, offsets = split.tokens, split.offsets.astype(int)
    return [prepared.tokenizer.decode(tokens[a:b]) for a, b in itertools.pairwise(offsets)]


@pytest.mark.parametrize("vocab_size", [10, 1 << 16, (1 << 16) + 1])
def test_shards_round_trip(tmp_path, vocab_size):
    documents = [[vocab_size - 1, 0, 3], [], np.array([5, 5], np.int32)]
    with TokenWriter(tmp_path, vocab_size, "abc") as writer:
        for ids in documents:
            writer.add(ids, 2 * len(ids))
    shards = open_tokens(tmp_path, verify=True)
    assert shards.tokens.dtype == (np.uint16 if vocab_size <= 1 << 16 else np.uint32)
    np.testing.assert_array_equal(shards.tokens, np.concatenate(documents))
    assert shards.lengths.tolist() == [3, 0, 2]
    assert shards.byte_counts.tolist() == [6, 0, 4]
    np.testing.assert_array_equal(
        shards.token_counts, np.bincount(shards.tokens, minlength=vocab_size)
    )
    assert (shards.vocab_size, shards.tokenizer) == (vocab_size, "abc")


@pytest.mark.parametrize("bad", [-1, 10, 70_000])
def test_shards_never_wrap(tmp_path, bad):
    def write_documents():
        with TokenWriter(tmp_path, 10, "") as writer:
            writer.add([1], 1)
            writer.add([2, bad], 1)

    with pytest.raises(InputError, match=f"token id {bad} of document 1 is outside"):
        write_documents()
    with pytest.raises(InputError, match="no finished tokens"):
        open_tokens(tmp_path)


def test_shards_of_nothing(tmp_path):
    with TokenWriter(tmp_path, 10, ""):
        pass
    assert len(open_tokens(tmp_path, verify=True).tokens) == 0


@pytest.mark.parametrize("name", ["tokens.bin", "offsets.bin", "bytes.bin", "counts.bin"])
def test_shards_damage(tmp_path, name):
    with TokenWriter(tmp_path, 10, "") as writer:
        writer.add(range(10), 10)
    content = (tmp_path / name).read_bytes()
    flipped = bytearray(content)
    flipped[-1] ^= 1
    (tmp_path / name).write_bytes(flipped)
    open_tokens(tmp_path)
    with pytest.raises(DamageError, match=f"{name} is damaged: its checksum"):
        open_tokens(tmp_path, verify=True)
    (tmp_path / name).write_bytes(content[:-1])
    with pytest.raises(DamageError, match=f"{name} is damaged: {len(content) - 1} bytes instead"):
        open_tokens(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(DamageError, match="missing instead"):
        open_tokens(tmp_path)
    (tmp_path / MANIFEST).write_text("{")
    with pytest.raises(DamageError, match="cannot be read"):
        open_tokens(tmp_path)


def test_prepared_text_is_the_text_given(tmp_path):
    counts = DocumentCounts()
    stages = []
    extra = [Document(" " + DOCUMENTS[0].text, "other", "x")]
    prepared = run(
        tmp_path / "d",
        [*DOCUMENTS, *extra],
        counts=counts,
        heldout_fraction=0.1,
        progress=lambda *stage: stages.append(stage),
    )
    parts = decoded(prepared, prepared.train) + decoded(prepared, prepared.heldout)
    limit = max(1024, sum(len(d.text) for d in DOCUMENTS) // 64)
    expected = [part for d in DOCUMENTS for part in divide(d.text, limit)]
    assert sorted(parts) == sorted(expected)
    assert 0.02 < len(prepared.heldout.lengths) / len(parts) < 0.25
    manifest = prepared.manifest
    assert manifest["counts"]["duplicates"] == counts.duplicates == 1
    assert manifest["counts"]["kept"] == len(DOCUMENTS)
    assert manifest["counts"]["read"] == len(DOCUMENTS) + 1
    for name in ("train", "heldout"):
        split = getattr(prepared, name)
        texts = decoded(prepared, split)
        assert split.byte_counts.tolist() == [len(text.encode()) for text in texts]
        assert manifest[name]["characters"] == sum(map(len, texts))
        assert manifest[name]["tokens"] == len(split.tokens)
        assert (split.tokens[split.offsets[:-1]] == prepared.tokenizer.bos_id).all()
        assert (split.tokens[split.offsets[1:] - 1] == prepared.tokenizer.eos_id).all()
    assert {stage for stage, _, _ in stages} == {"documents", "tokenizer", "tokens"}
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == [
        "heldout", MANIFEST, "tokenizer", "train",
    ]  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_tokenizer_sees_training_text_only(tmp_path):
    seen = []

    def spy(texts):
        seen.extend(texts)
        return CharacterTokenizer("".join(seen), specials=True)

    prepared = run(tmp_path, train_tokenizer=spy, heldout_fraction=0.2)
    assert seen == decoded(prepared, prepared.train)


def test_deterministic_and_by_seed(tmp_path):
    first, second, other = (
        run(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first.train.fingerprint == second.train.fingerprint
    assert first.heldout.fingerprint == second.heldout.fingerprint
    assert other.heldout.fingerprint != first.heldout.fingerprint


def test_second_call_reuses_and_other_settings_are_refused(tmp_path):
    first = run(tmp_path / "d")

    def untouched():
        raise AssertionError("read again")
        yield

    again = run(tmp_path / "d", untouched())
    assert again.train.fingerprint == first.train.fingerprint
    with pytest.raises(InputError, match="vocab_size is 400 there and 500 here"):
        run(tmp_path / "d", settings=SETTINGS | {"vocab_size": 500})
    with pytest.raises(InputError, match="seed is 0 there and 1 here"):
        run(tmp_path / "d", seed=1)
    with pytest.raises(InputError, match="context-length"):
        run(tmp_path / "d", context_length=10**6)


def test_interrupted_preparation_leaves_nothing_and_is_redone(tmp_path):
    def interrupted():
        yield from DOCUMENTS[:50]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "d", interrupted())
    assert list(tmp_path.iterdir()) == []
    assert run(tmp_path / "d").manifest["counts"]["kept"] == len(DOCUMENTS)


def test_too_small(tmp_path):
    for documents, options, match in [
        (DOCUMENTS[:1], {}, "too small for a held-out document: .* --corpus"),
        (DOCUMENTS, {"train_tokenizer": functools.partial(train_sentencepiece, vocab_size=9999)},
         r"9,999 is more than the text allows.*--model.vocab-size"),
        (DOCUMENTS, {"context_length": 123_456},
         r"has [\d,]+ tokens, fewer than one row of 123,456 .*--model.context-length"),
        (DOCUMENTS, {"heldout_fraction": 1.5}, "heldout-fraction 1.5"),
        (DOCUMENTS[:2], {"heldout_fraction": 0.9999999}, "leaves no training text"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=match):
            run(tmp_path / "d", documents, **options)
        assert list(tmp_path.iterdir()) == []


def test_two_documents_are_enough(tmp_path):
    documents = [Document(d.text * 20, d.source, d.identifier) for d in DOCUMENTS[:2]]
    train_characters = functools.partial(CharacterTokenizer, specials=True)
    prepared = run(
        tmp_path,
        documents,
        train_tokenizer=lambda t: train_characters("".join(t)),
        heldout_fraction=1e-9,
    )
    assert len(prepared.heldout.lengths) == 1


def test_foreign_directories_and_full_disks(tmp_path, monkeypatch):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/thesis.txt").write_text("keep me")
    with pytest.raises(InputError, match="holds other things"):
        run(tmp_path / "d")
    with pytest.raises(InputError, match="no finished prepared data"):
        open_prepared(tmp_path / "d")

    def full(self, ids, count):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(TokenWriter, "add", full)
    with pytest.raises(JaxlmError, match=r"cannot be written \(No space left on device\)"):
        run(tmp_path / "e")
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_exchanged_tokenizer_is_noticed(tmp_path):
    run(tmp_path / "a")
    path = tmp_path / "a/train" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer": "another"}))
    with pytest.raises(InputError, match="train is of another tokenizer"):
        open_prepared(tmp_path / "a")


def test_divide():
    text = "one two\nthree\n\nfour " * 50 + "x" * 300
    for limit in (20, 64, 1000, 5000):
        parts = list(divide(text, limit))
        assert "".join(parts) == text
        assert max(map(len, parts)) <= limit
    assert all(part.endswith("\n\n") for part in list(divide("ab cd\nef\n\n" * 30, 50))[:-1])
