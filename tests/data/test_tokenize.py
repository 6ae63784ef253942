"""Tokens of a store: nothing lost, the split by hash, damage named, processes alike."""

import functools
import hashlib
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.data.documents import Document
from jaxlm.data.shards import MANIFEST, TokenWriter
from jaxlm.data.stages import processes, run_stage
from jaxlm.data.store import open_store, write_shard
from jaxlm.data.tokenize import SPLITS, Split, divide, open_token_store, tokenize_store
from jaxlm.errors import DamageError, InputError
from jaxlm.tokenizers.base import save_tokenizer
from jaxlm.tokenizers.byte import ByteTokenizer
from jaxlm.tokenizers.character import CharacterTokenizer

TEXTS = [f"text {i}, é" * (1 + i % 7) for i in range(200)]
SPLIT = Split(0.2, seed=3)


def write_unit(unit, directory):
    numbers = range(unit["begin"], unit["end"])
    return write_shard(directory, (Document(TEXTS[i], "s", str(i)) for i in numbers))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Documents in four shards, one of them empty."""
    folder = tmp_path_factory.mktemp("store")
    bounds = [0, 90, 90, 150, 200]
    units = [{"begin": a, "end": b} for a, b in itertools.pairwise(bounds)]
    run_stage(folder / "documents", units, write_unit, stage="test", settings={})
    save_tokenizer(ByteTokenizer(), folder / "tokenizer")
    return folder


def tokenize(store, output, split=SPLIT, **options):
    return tokenize_store(store / "documents", output, store / "tokenizer", split, **options)


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    output = tmp_path_factory.mktemp("tokens") / "tokens"
    tokenize(store, output)
    return output


@pytest.fixture
def tokens(finished, tmp_path):
    """A copy that may be damaged."""
    return shutil.copytree(finished, tmp_path / "tokens")


def by_hand(part_characters):
    """(split, text) of every part in plain Python."""
    for number, text in enumerate(TEXTS):
        parts = [text] if part_characters is None else divide(text, part_characters)
        for i, part in enumerate(parts):
            key = json.dumps([3, "s", str(number), i]).encode()
            rank = int.from_bytes(hashlib.blake2b(key, digest_size=6).digest(), "big") / 2**48
            yield "train" if rank > 0.2 else "heldout", part


def content(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("part_characters", [None, 20])
def test_every_part_is_there_in_order(store, tmp_path, part_characters):
    manifest = tokenize(store, tmp_path / "t", Split(0.2, 3, part_characters))
    tokenizer = ByteTokenizer()
    expected = list(by_hand(part_characters))
    for name in SPLITS:
        shards = open_token_store(tmp_path / "t", name, verify=True)
        texts = [text for split, text in expected if split == name]
        assert 5 < len(texts) < len(expected) - 5
        ids = np.split(np.asarray(shards.tokens), shards.offsets[1:-1].astype(int))
        assert [tokenizer.decode(one) for one in ids] == texts
        assert all((one[0], one[-1]) == (tokenizer.bos_id, tokenizer.eos_id) for one in ids)
        assert shards.tokenizer == tokenizer.fingerprint
        assert shards.byte_counts.tolist() == [len(text.encode()) for text in texts]
        assert manifest["statistics"][name] == {
            "documents": len(texts),
            "tokens": sum(map(len, ids)),
            "bytes": sum(len(text.encode()) for text in texts),
            "characters": sum(map(len, texts)),
        }


def test_processes_and_parts_give_the_same_bytes(store, finished, tmp_path):
    tokenize(store, tmp_path / "a", engine=processes(2))
    assert tokenize(store, tmp_path / "b", part=(1, 2)) is None
    with pytest.raises(InputError, match="no finished stage"):
        open_token_store(tmp_path / "b", "train")
    tokenize(store, tmp_path / "b", part=(0, 2))
    assert content(tmp_path / "a") == content(tmp_path / "b") == content(finished)


def test_the_split_of_a_document_does_not_depend_on_the_others(store):
    documents = list(open_store(store / "documents").documents())
    alone = [list(SPLIT.parts(document)) for document in documents]
    assert [part for parts in alone for part in parts] == list(by_hand(None))
    other = Split(0.2, seed=4)
    assert [list(other.parts(document)) for document in documents] != alone


@given(st.text(alphabet="a \n", max_size=200), st.integers(1, 50))
def test_divide_keeps_everything(text, limit):
    parts = list(divide(text, limit))
    assert "".join(parts) == text
    assert all(0 < len(part) <= limit for part in parts)


def test_other_settings_are_refused(store, tokens):
    with pytest.raises(InputError, match="seed 3, not 4"):
        tokenize(store, tokens, Split(0.2, seed=4))


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["tokens.bin", "offsets.bin", "bytes.bin", "counts.bin"])
def test_any_damaged_byte_is_found(tokens, name):
    damage(tokens / "00002" / "train" / name)
    with pytest.raises(DamageError, match=f"00002/train/{name} is damaged"):
        open_token_store(tokens, "train", verify=True)
    open_token_store(tokens, "heldout", verify=True)


def test_damage_that_is_seen_at_once(tokens):
    path = tokens / "00002" / "train" / MANIFEST
    whole = path.read_text()
    path.write_text(whole.replace('"documents": 4', '"documents": 5'))
    with pytest.raises(DamageError, match=f"00002/train/(offsets.bin|{MANIFEST}) is damaged"):
        open_token_store(tokens, "train")
    path.write_text(whole)
    os.truncate(tokens / "00000" / "train" / "tokens.bin", 10)
    with pytest.raises(DamageError, match=r"00000/train/tokens\.bin is damaged: 10 bytes instead"):
        open_token_store(tokens, "train")
    shutil.rmtree(tokens / "00000")
    with pytest.raises(DamageError, match=r"00000/.*missing instead"):
        open_token_store(tokens, "train")


def test_a_shard_of_another_tokenizer(tokens):
    folder = tokens / "00001" / "train"  # of the empty shard: sizes alone do not tell
    shutil.rmtree(folder)
    with TokenWriter(folder, ByteTokenizer().vocab_size, "f" * 32):
        pass
    with pytest.raises(InputError, match="00001/train is of another tokenizer"):
        open_token_store(tokens, "train")


def test_a_store_of_documents_holds_no_tokens(store):
    with pytest.raises(InputError, match="holds no tokens, it is of the stage 'test'"):
        open_token_store(store / "documents", "train")


def test_a_document_that_cannot_be_encoded_is_named(store, tmp_path):
    known = sorted({*"".join(TEXTS)} - {"é"})
    save_tokenizer(CharacterTokenizer(known, specials=False), tmp_path / "c")
    work = functools.partial(tokenize_store, store / "documents", tmp_path / "t", tmp_path / "c")
    with pytest.raises(InputError, match=r"^s 0: .*unknown character .é"):
        work(SPLIT)
    assert not list(Path(tmp_path / "t").glob("0*"))
