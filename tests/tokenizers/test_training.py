"""Trained vocabularies depend on the text and the settings alone."""

import json
import os
import random
import subprocess
import sys

import pytest

from jaxlm.errors import InputError
from jaxlm.tokenizers.byte_bpe import train_byte_bpe
from jaxlm.tokenizers.train import SIZED, train_tokenizer
from jaxlm.tokenizers.training_text import chunks, sample
from jaxlm.tokenizers.wordpiece import train_wordpiece

# Many equally frequent pairs and characters, whose order is what could differ.
_PROGRAM = """
import random
from jaxlm.tokenizers.train import train_tokenizer, SIZED
generator = random.Random(0)
letters = "abcdefghijklmnopqrstuvwxyzäöüß東京大学"
words = ["".join(generator.choices(letters, k=generator.randrange(1, 7))) for _ in range(1500)]
texts = [" ".join(words[i : i + 50]) for i in range(0, len(words), 50)]
for kind in SIZED:
    print(kind, train_tokenizer(kind, texts, 420, max_characters=5000).fingerprint)
"""


def fingerprints(**environment):
    output = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return output.stdout.split("\n")


def test_processes_and_threads_give_the_same_bytes():
    one = fingerprints(RAYON_NUM_THREADS="1", PYTHONHASHSEED="1")
    two = fingerprints(RAYON_NUM_THREADS="5", PYTHONHASHSEED="2")
    assert one == two
    assert len(one) == len(SIZED) + 1


@pytest.mark.parametrize("kind", SIZED)
def test_sample_of_a_large_corpus(kind):
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "theta", "kappa", "lambda"]
    texts = [f"{w}{w[::-1]} {i} " * 20 for i in range(40) for w in words]
    drawn = [
        train_tokenizer(kind, iter(texts), 290, seed=seed, max_characters=3000).fingerprint
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_sample_is_bounded_and_in_order():
    generator = random.Random(1)
    pieces = [f"{i:04d}" * generator.randrange(1, 5) for i in range(500)]
    found = list(sample(iter(pieces), 3, 800))
    assert sum(map(len, found)) <= 800
    assert len(found) > 40
    assert found == sorted(found)
    assert list(sample(pieces, 3, 10**9)) == pieces


def test_chunks_lose_nothing():
    texts = ["a b " * 100, "x" * 57, "", "line\nline\n" * 9]
    found = list(chunks(texts, 25))
    assert "".join(found) == "".join(texts)
    assert max(map(len, found)) <= 25
    assert all(chunk.endswith((" ", "\n")) for chunk in found[:16])


def test_byte_bpe_by_hand():
    tokenizer = train_byte_bpe(["ab ab ab abc abc"], 261)
    model = json.loads(tokenizer.files()["tokenizer.json"])["model"]
    # a b is in all five words; then space and ab in four of them; then one with c.
    assert model["merges"][:2] == [["a", "b"], ["Ġ", "ab"]]
    assert model["vocab"]["<s>"] == 0
    assert model["vocab"]["</s>"] == 1
    assert tokenizer.encode("ab ab") == [258, 259]
    assert [tokenizer.token_text(i) for i in tokenizer.encode(" abc")] == [" abc"]
    assert tokenizer.is_fast


def test_wordpiece_by_hand():
    tokenizer = train_wordpiece(["Hug hug HUG hugs pug"], 17)
    letters = ["g", "h", "p", "s", "u"]
    model = json.loads(tokenizer.files()["tokenizer.json"])["model"]
    found = sorted(model["vocab"], key=model["vocab"].__getitem__)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert found[:15] == [*specials, *letters, *(f"##{c}" for c in letters)]
    # u and g follow each other in all five words, then h and ug in four of them.
    assert found[15:] == ["##ug", "hug"]
    bert = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert tokenizer.special_ids == {**bert, "bos": 2, "eos": 3}
    assert tokenizer.decode(tokenizer.encode("HUGS pugs, hugz")) == "hugs pugs \ufffd \ufffd"


def test_vocabularies_out_of_range():
    for kind, size, match in (
        ("byte_bpe", 257, "need 258"),
        ("byte_bpe", 9999, "at most 26"),
        ("wordpiece", 6, "need 1"),
    ):
        with pytest.raises(InputError, match=match):
            train_tokenizer(kind, ["ab ab abc"], size)
    with pytest.raises(InputError, match="needs text"):
        train_tokenizer("wordpiece", [], 100)
    for kind in SIZED:
        with pytest.raises(InputError, match="surrogate"):
            train_tokenizer(kind, ["\ud800"], 300)


def test_training_prints_nothing(capfd):
    for kind in ("byte_bpe", "wordpiece"):
        train_tokenizer(kind, ["the cat and the dog " * 9], 260 if kind == "byte_bpe" else 40)
    assert capfd.readouterr() == ("", "")
