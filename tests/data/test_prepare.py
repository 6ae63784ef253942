"""Preparation is repeatable and honest, goes on where it was interrupted, and refuses mixtures."""

import functools
import itertools
import json

import pytest

from jaxlm.data import prepare as prepare_module
from jaxlm.data.cleaning.config import basic
from jaxlm.data.deduplicate import DeduplicationConfig
from jaxlm.data.documents import Document, to_line
from jaxlm.data.near_duplicates import NearConfig
from jaxlm.data.prepare import LineConfig, open_prepared, prepare, prepare_tokens
from jaxlm.data.shards import MANIFEST, TokenWriter
from jaxlm.data.stages import processes
from jaxlm.data.tokenize import divide
from jaxlm.errors import DamageError, InputError, JaxlmError
from jaxlm.tokenizers.character import CharacterTokenizer
from jaxlm.tokenizers.sentencepiece import train_sentencepiece

DOCUMENTS = [
    Document(
        f"Document {i}: " + f"the value {i * i} follows the value {i}. " * (i % 7 + 1), "s", str(i)
    )
    for i in range(120)
] + [Document("A long one.\n\nWith 東京 paragraphs.\n" * 400, "long", "0")]
SETTINGS = {"vocab_size": 400}
LINE = LineConfig(deduplication=DeduplicationConfig(near=NearConfig(enabled=False)))
train = functools.partial(train_sentencepiece, vocab_size=400)


def run(directory, documents=DOCUMENTS, line=LINE, **options):
    corpus = directory.parent / "corpus.jsonl"
    corpus.write_bytes(b"".join(map(to_line, documents)))
    options = {"train_tokenizer": train, "settings": SETTINGS, "seed": 0} | options
    return prepare([str(corpus)], directory, line, **options)


def decoded(prepared, split):
    tokens, offsets = split.tokens, split.offsets.astype(int)
    return [prepared.tokenizer.decode(tokens[a:b]) for a, b in itertools.pairwise(offsets)]


def content(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_prepared_text_is_the_text_given(tmp_path):
    stages = []
    extra = [Document(" " + DOCUMENTS[0].text, "other", "x"), Document(" ", "other", "y")]
    prepared = run(
        tmp_path / "d",
        [*DOCUMENTS, *extra],
        heldout_fraction=0.1,
        progress=lambda *stage: stages.append(stage[0]),
    )
    parts = decoded(prepared, prepared.train) + decoded(prepared, prepared.heldout)
    limit = max(1024, sum(len(d.text) for d in DOCUMENTS) // 64)
    expected = [part for d in DOCUMENTS for part in divide(d.text, limit)]
    assert sorted(parts) == sorted(expected)
    assert 0.02 < len(prepared.heldout.lengths) / len(parts) < 0.25
    manifest = prepared.manifest
    assert manifest["counts"] == {
        "files": 1, "read": len(DOCUMENTS) + 2, "empty": 1, "skipped": 0, "duplicates": 1,
        "kept": len(DOCUMENTS),
    }  # fmt: skip
    for name in ("train", "heldout"):
        split = getattr(prepared, name)
        texts = decoded(prepared, split)
        assert split.byte_counts.tolist() == [len(text.encode()) for text in texts]
        assert manifest[name]["characters"] == sum(map(len, texts))
        assert manifest[name]["tokens"] == len(split.tokens)
        assert (split.tokens[split.offsets[:-1]] == prepared.tokenizer.bos_id).all()
        assert (split.tokens[split.offsets[1:] - 1] == prepared.tokenizer.eos_id).all()
    assert list(dict.fromkeys(stages)) == [
        "collect", "signatures", "deduplicate", "read for the tokenizer", "tokenize",
    ]  # fmt: skip
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == [
        MANIFEST, "stage.json", "stages", "tokenizer", "tokens",
    ]  # fmt: skip


def test_tokenizer_sees_training_text_only(tmp_path):
    seen = []

    def spy(texts):
        seen.extend(texts)
        return CharacterTokenizer("".join(seen), specials=True)

    prepared = run(tmp_path / "d", train_tokenizer=spy, heldout_fraction=0.2)
    assert seen == decoded(prepared, prepared.train)


def test_cleaning_takes_place_before_duplicates_are_sought(tmp_path):
    broken = DOCUMENTS[5].replace(text=DOCUMENTS[5].text + "\u200b", identifier="again")
    page = Document("<p>Only &amp; this</p>", "p", "0", {"format": "html"})
    line = LineConfig(cleaning=basic(), deduplication=LINE.deduplication)
    prepared = run(tmp_path / "d", [*DOCUMENTS, broken, page], line, keep_documents=True)
    assert prepared.manifest["counts"]["cleaned_away"] == 0
    assert prepared.manifest["counts"]["duplicates"] == 1
    assert "Only & this" in decoded(prepared, prepared.train) + decoded(prepared, prepared.heldout)
    assert {"collect", "clean", "deduplicate"} <= {p.name for p in (tmp_path / "d").iterdir()}


def test_deterministic_and_by_seed(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", engine=processes(2))
    other = run(tmp_path / "c", seed=1)
    first = content(tmp_path / "a")
    assert first == content(tmp_path / "b")
    assert other.heldout.fingerprint != open_prepared(tmp_path / "a").heldout.fingerprint


def test_second_call_reuses_and_other_settings_are_refused(tmp_path):
    first = run(tmp_path / "d")
    again = run(tmp_path / "d", [Document("other text", "s", "0")])  # is not read again
    assert again.train.fingerprint == first.train.fingerprint
    with pytest.raises(InputError, match="vocab_size is 400 there and 500 here"):
        run(tmp_path / "d", settings={"vocab_size": 500})
    with pytest.raises(InputError, match="seed is 0 there and 1 here"):
        run(tmp_path / "d", seed=1)
    with pytest.raises(InputError, match="context-length"):
        run(tmp_path / "d", context_length=10**6)


class Killed(BaseException):
    """A stop between two instructions."""


def test_stopped_after_any_stage_it_goes_on(tmp_path, monkeypatch):
    run(tmp_path / "whole")
    for stopped in ("deduplicate", "save_tokenizer", "tokenize_store", "write_atomic"):
        with monkeypatch.context() as patch:

            def stop(*_, **__):
                raise Killed

            patch.setattr(prepare_module, stopped, stop)
            with pytest.raises(Killed):
                run(tmp_path / "d")
        with pytest.raises(InputError, match="no finished prepared data"):
            open_prepared(tmp_path / "d")
    run(tmp_path / "d")
    assert content(tmp_path / "d") == content(tmp_path / "whole")


def test_too_small(tmp_path):
    for documents, options, match in [
        (DOCUMENTS[:1], {}, "too small for a held-out document: .* --corpus"),
        (DOCUMENTS, {"train_tokenizer": functools.partial(train_sentencepiece, vocab_size=9999)},
         r"9,999 is more than the text allows.*--model.vocab-size"),
        (DOCUMENTS, {"context_length": 123_456},
         r"has [\d,]+ tokens, fewer than one row of 123,456 .*--model.context-length"),
        (DOCUMENTS, {"heldout_fraction": 1.5}, r"held-out fraction 1\.5"),
        (DOCUMENTS[:2], {"heldout_fraction": 0.9999999}, "leaves no training text"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=match):
            run(tmp_path / "d", documents, **options)
        assert [p.name for p in tmp_path.iterdir()] == ["corpus.jsonl"]


def test_two_documents_are_enough(tmp_path):
    documents = [Document(d.text * 20, d.source, d.identifier) for d in DOCUMENTS[:2]]
    train_characters = functools.partial(CharacterTokenizer, specials=True)
    prepared = run(
        tmp_path / "d",
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
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["thesis.txt"]

    def full(self, ids, count):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(TokenWriter, "add", full)
        with pytest.raises(JaxlmError, match=r"cannot be written \(No space left on device\)"):
            run(tmp_path / "e")
    run(tmp_path / "e")
    run(tmp_path / "f")
    assert content(tmp_path / "e") == content(tmp_path / "f")


def test_exchanged_tokenizer_is_noticed(tmp_path):
    run(tmp_path / "a")
    path = tmp_path / "a/tokens/00000/train" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tokenizer": "another" * 4}))
    with pytest.raises(DamageError, match=r"is damaged|of another tokenizer"):
        open_prepared(tmp_path / "a")


def test_tokens_of_a_store_by_a_tokenizer_that_there_is(tmp_path):
    first = run(tmp_path / "a", keep_documents=True)
    store = prepare_module.open_store(tmp_path / "a/deduplicate")
    assert prepare_tokens(store, tmp_path / "b", first.tokenizer, seed=0) is not None
    parts = [
        prepare_tokens(store, tmp_path / "c", first.tokenizer, seed=0, part=part)
        for part in ((0, 2), (1, 2), (0, 2))
    ]
    assert parts[-1].train.fingerprint == first.train.fingerprint
    assert parts[-1].heldout.fingerprint == first.heldout.fingerprint
    assert content(tmp_path / "b") == content(tmp_path / "c")


def test_damage_says_what_has_to_be_prepared_again(tmp_path):
    run(tmp_path / "a")
    for name in ("tokens/00000/train/tokens.bin", "tokenizer/tokenizer_config.json", MANIFEST):
        path = tmp_path / "a" / name
        good = path.read_bytes()
        path.write_bytes(bytes([good[0] ^ 1]) + good[1:])
        with pytest.raises(DamageError, match=f"; delete {tmp_path / 'a'} and prepare it again"):
            run(tmp_path / "a")
        path.write_bytes(good)
    run(tmp_path / "a")


def test_stages_and_prepared_data_are_not_taken_for_each_other(tmp_path):
    tokenizer = run(tmp_path / "a", keep_documents=True).tokenizer
    store = prepare_module.open_store(tmp_path / "a/deduplicate")
    with pytest.raises(InputError, match=r"is the stage 'deduplicate' .*, not prepared data"):
        open_prepared(store.directory)
    with pytest.raises(InputError, match=r"is the stage 'collect' .*; name another directory"):
        prepare_tokens(store, tmp_path / "a/collect", tokenizer, seed=0)
    with pytest.raises(InputError, match="is no stage of the data line but prepared data"):
        prepare_module.open_store(tmp_path / "a")
    with pytest.raises(InputError, match="is of the stage 'tokenize' and holds no documents"):
        prepare_module.open_store(tmp_path / "a/tokens")


def test_divide():
    text = "one two\nthree\n\nfour " * 50 + "x" * 300
    for limit in (20, 64, 1000, 5000):
        parts = list(divide(text, limit))
        assert "".join(parts) == text
        assert max(map(len, parts)) <= limit
