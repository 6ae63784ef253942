"""Token files are exact, and damage is found."""

import hashlib
import json
import os

import numpy as np
import pytest

from jaxlm.data.shards import MANIFEST, TokenWriter, open_tokens
from jaxlm.errors import DamageError, InputError


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
    if name != "offsets.bin":  # the end of the last document is compared at once
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


def write(folder, documents, vocab_size=10, tokenizer="abc"):
    with TokenWriter(folder, vocab_size, tokenizer) as writer:
        for ids in documents:
            writer.add(ids, 3 * len(ids))
    return folder


def test_several_directories_as_one(tmp_path):
    contents = [[[1, 2], [3]], [], [[], [4, 5, 6]]]
    folders = [write(tmp_path / str(i), documents) for i, documents in enumerate(contents)]
    shards = open_tokens(*folders, verify=True)
    np.testing.assert_array_equal(shards.tokens, [1, 2, 3, 4, 5, 6])
    assert shards.offsets.tolist() == [0, 2, 3, 3, 6]
    assert shards.lengths.tolist() == [2, 1, 0, 3]
    assert shards.byte_counts.tolist() == [6, 3, 0, 9]
    assert shards.token_counts.tolist() == [0, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    others = (folders[:1], folders[1:], folders[::-1])
    fingerprints = {open_tokens(*some).fingerprint for some in (*others, folders)}
    assert len(fingerprints) == 4


def test_no_file_stays_open(tmp_path):
    folders = [write(tmp_path / str(i), [[i, 1]]) for i in range(10)]
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    shards = open_tokens(*folders, verify=True)
    np.testing.assert_array_equal(shards.tokens[::1][::2], range(10))
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize("other", [{"tokenizer": "abd"}, {"vocab_size": 11}])
def test_another_tokenizer(tmp_path, other):
    first, second = write(tmp_path / "1", [[1]]), write(tmp_path / "2", [[1]], **other)
    with pytest.raises(InputError, match=r"/2 is of another tokenizer"):
        open_tokens(first, second)
    with pytest.raises(InputError, match=r"/1 is of another tokenizer .*should be \(xyz"):
        open_tokens(first, tokenizer="xyz")


def test_an_id_beyond_the_vocabulary(tmp_path):
    # As another program might write it: whole by its checksums.
    write(tmp_path, [[1, 2]])
    content = np.array([1, 10], "<u2").tobytes()
    (tmp_path / "tokens.bin").write_bytes(content)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    manifest["files"]["tokens.bin"]["blake2b"] = digest
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DamageError, match=r"tokens\.bin holds the token id 10, outside"):
        open_tokens(tmp_path, verify=True)


@pytest.mark.parametrize("offsets", [[1, 2, 4], [0, 5, 4], [0, 2, 3]])
def test_offsets_that_cannot_be(tmp_path, offsets):
    write(tmp_path, [[1, 2], [3, 4]])
    (tmp_path / "offsets.bin").write_bytes(np.array(offsets, "<u8").tobytes())
    with pytest.raises(DamageError, match=r"offsets\.bin is damaged"):
        open_tokens(tmp_path)
