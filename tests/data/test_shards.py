"""Token files are exact, and damage is found."""

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
