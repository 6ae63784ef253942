"""Measures of tokenizers, counted by hand."""

import pytest

from jaxlm.errors import InputError
from jaxlm.tokenizers.byte import ByteTokenizer
from jaxlm.tokenizers.character import CharacterTokenizer
from jaxlm.tokenizers.evaluation import evaluate_tokenizers
from jaxlm.tokenizers.word import WordTokenizer


def test_measures_by_hand():
    texts = [("one", "a bé"), ("two", "a a a\n"), ("one", "a z")]
    tokenizers = {"bytes": ByteTokenizer(), "words": WordTokenizer(["a", " a", " bé", "\n"])}
    found = evaluate_tokenizers(tokenizers, iter(texts))
    total = found["bytes"].total
    assert (total.texts, total.characters, total.bytes, total.words) == (3, 13, 14, 7)
    assert (total.tokens, total.unknown, total.failures) == (14, 0, 0)
    # a, b, z, é in two bytes, space and line end of 258
    assert found["bytes"].vocabulary_used == pytest.approx(7 / 258)
    words = found["words"].total
    # a| bé, a| a| a|\n, a|<unk>
    assert (words.tokens, words.unknown, words.failures) == (8, 1, 1)
    assert words.bytes_per_token == pytest.approx(14 / 8)
    assert words.fertility == pytest.approx(8 / 7)
    assert words.unknown_rate == pytest.approx(1 / 8)
    assert found["words"].vocabulary_used == pytest.approx(5 / 7)
    assert list(found["words"].by_source) == ["one", "two"]
    assert found["words"].by_source["one"].tokens == 4
    metrics = found["words"].metrics()
    assert metrics["vocab_size"] == 7
    assert metrics["by_source"]["two"]["bytes_per_token"] == pytest.approx(6 / 4)


def test_batches_do_not_matter():
    texts = [("s", "ab " * 50_000)] * 8 + [("t", "x")]
    found = evaluate_tokenizers({"b": ByteTokenizer()}, texts)["b"]
    assert found.total.tokens == found.total.bytes == 8 * 150_000 + 1


def test_refusals():
    with pytest.raises(InputError, match="no text"):
        evaluate_tokenizers({"b": ByteTokenizer()}, [])
    with pytest.raises(InputError, match=r"plain: unknown character 'x'"):
        evaluate_tokenizers({"plain": CharacterTokenizer("ab", specials=False)}, [("s", "x")])
