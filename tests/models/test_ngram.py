"""Kneser-Ney by hand, against dictionaries written from the paper, and as a probability."""

import collections
import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm.errors import InputError
from jaxlm.models.ngram import (
    FALLBACK_DISCOUNTS,
    add_documents,
    discounts,
    empty_counts,
    kneser_ney,
    load_ngram,
    save_ngram,
)


def train(order, v, *documents):
    tokens = np.array([token for d in documents for token in d], np.int64)
    lengths = np.array([len(d) for d in documents], np.int64)
    return kneser_ney(add_documents(empty_counts(v, order), tokens, lengths))


def draw(seed=0, v=12, size=40, length=30):
    """Documents of a Markov chain with few likely successors: every count of counts occurs."""
    random = np.random.default_rng(seed)
    likely = random.integers(0, v, (v, 3))
    documents = []
    for _ in range(size):
        document = [int(random.integers(v))]
        while len(document) < 1 + random.integers(length):
            usual = random.random() < 0.8
            choice = likely[document[-1], random.integers(3)] if usual else random.integers(v)
            document.append(int(choice))
        documents.append(document)
    return documents


class Slow:
    """Chen and Goodman's equations with dictionaries of tuples."""

    def __init__(self, order, v, documents):
        self.order, self.v = order, v
        seen = collections.Counter()
        for document in documents:
            padded = ["<s>"] * (order - 1) + document
            for end in range(order - 1, len(padded)):
                seen[tuple(padded[end - order + 1 : end + 1])] += 1
        self.counts = {order: seen}
        for n in range(order - 1, 0, -1):  # continuation counts N1+(. w)
            self.counts[n] = collections.Counter(gram[1:] for gram in self.counts[n + 1])
        self.discounts = {n: self.estimate(c.values()) for n, c in self.counts.items()}
        self.followers = {n: collections.defaultdict(dict) for n in self.counts}
        for n, counts in self.counts.items():
            for gram, count in counts.items():
                self.followers[n][gram[:-1]][gram[-1]] = count

    def estimate(self, values):
        n1, n2, n3, n4 = (sum(value == i for value in values) for i in (1, 2, 3, 4))
        if not (n1 and n2 and n3 and n4):
            return (0.5, 1.0, 1.5)
        y = n1 / (n1 + 2 * n2)
        d = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        return d if all(0 <= d[i] <= i + 1 for i in range(3)) else (0.5, 1.0, 1.5)

    def p(self, word, history):
        """p(word | history): an n-gram longer than the order sees no more of it."""
        return self.interpolated(word, tuple(history)[len(history) - self.order + 1 :])

    def interpolated(self, word, history):
        n = len(history) + 1
        lower = self.interpolated(word, history[1:]) if history else 1 / self.v
        after = self.followers[n].get(history)
        if not after:
            return lower
        d = self.discounts[n]

        def discount(count):
            return 0 if count == 0 else d[min(count, 3) - 1]

        total, count = sum(after.values()), after.get(word, 0)
        gamma = sum(discount(c) for c in after.values()) / total
        return (count - discount(count)) / total + gamma * lower


def test_by_hand():
    # Bigrams: <s>0 once, 01 twice, 10 once. Distinct tokens before 0: <s> and 1; before 1: 0.
    model = train(2, 3, [0, 1, 0, 1])
    assert model.discounts == (FALLBACK_DISCOUNTS, FALLBACK_DISCOUNTS)
    # gamma() = (0.5 + 1) / 3 = 1/2: p(0) = (2-1)/3 + 1/6, p(1) = (1-0.5)/3 + 1/6, p(2) = 1/6.
    np.testing.assert_allclose(model.probabilities([2]), [1 / 2, 1 / 3, 1 / 6])
    # After 0: (2-1)/2 of 1, and gamma = 1/2 of the above. After <s>: (1-0.5)/1 of 0, and 1/2.
    np.testing.assert_allclose(model.probabilities([0]), [1 / 4, 1 / 2 + 1 / 6, 1 / 12])
    np.testing.assert_allclose(model.probabilities([]), [1 / 2 + 1 / 4, 1 / 6, 1 / 12])
    found = model.log_probabilities(np.array([0, 1, 2, 1]))
    np.testing.assert_allclose(np.exp(found), [3 / 4, 2 / 3, 1 / 2 * 1 / 6, 1 / 3])


def test_discounts_by_hand():
    # n1 = 4, n2 = 2, n3 = 1, n4 = 1: Y = 1/2.
    assert discounts(np.array([1, 1, 1, 1, 2, 2, 3, 4, 0, 9])) == (0.5, 1.25, 1.0)
    assert discounts(np.array([1, 2, 3])) == FALLBACK_DISCOUNTS
    assert discounts(np.array([1, 2, 3, 3, 3, 3, 4])) == FALLBACK_DISCOUNTS  # D2 = 2 - 4


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_equals_dictionaries_from_the_equations(order):
    documents, heldout = draw(v=40, size=100), draw(seed=1, v=40, size=6)
    model, slow = train(order, 40, *documents), Slow(order, 40, documents)
    for level, found in enumerate(model.discounts):
        assert found == pytest.approx(slow.discounts[level + 1])
    estimated = [d for d in model.discounts if d != FALLBACK_DISCOUNTS]
    assert len(estimated) >= min(order - 1, 2)
    expected = [
        math.log(slow.p(token, ["<s>"] * (order - 1) + document[:at]))
        for document in heldout
        for at, token in enumerate(document)
    ]
    lengths = np.array([len(d) for d in heldout])
    found = model.log_probabilities(np.concatenate(heldout), lengths)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # The whole distribution agrees with the one token at a time.
    first = heldout[0]
    found = [model.probabilities(first[:at])[token] for at, token in enumerate(first)]
    np.testing.assert_allclose(np.log(found), expected[: len(first)], rtol=1e-12)


DOCUMENTS = st.lists(st.lists(st.integers(0, 4), max_size=12), max_size=8)


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.integers(1, 4), st.lists(st.integers(0, 4), max_size=6))
def test_probabilities_sum_to_one_and_none_is_zero(documents, order, context):
    p = train(order, 5, *documents).probabilities(context)
    assert p.sum() == pytest.approx(1.0, abs=1e-12)
    assert (p > 0).all()


@settings(max_examples=40, deadline=None)
@given(DOCUMENTS, st.integers(1, 4), st.integers(0, 8))
def test_counting_in_pieces_changes_nothing(documents, order, cut):
    whole = train(order, 5, *documents)
    counts = empty_counts(5, order)
    for piece in (documents[:cut], documents[cut:]):
        tokens = np.array([token for d in piece for token in d], np.int64)
        counts = add_documents(counts, tokens, np.array([len(d) for d in piece], np.int64))
    pieces = kneser_ney(counts)
    for field in ("keys", "counts"):
        for a, b in zip(getattr(pieces, field), getattr(whole, field), strict=True):
            np.testing.assert_array_equal(a, b)


def test_documents_do_not_see_each_other():
    apart, joined = train(3, 4, [0, 1], [2, 3]), train(3, 4, [0, 1, 2, 3])
    assert apart.probabilities([0, 1])[2] < joined.probabilities([0, 1])[2]
    scores = joined.log_probabilities(np.array([0, 1, 2, 3]), np.array([2, 2]))
    alone = joined.log_probabilities(np.array([2, 3]))
    np.testing.assert_array_equal(scores[2:], alone)


def test_longer_contexts_help_on_text_that_has_them():
    documents, heldout = draw(size=200), draw(seed=0, size=240)[200:]
    lengths, tokens = np.array([len(d) for d in heldout]), np.concatenate(heldout)
    nats = [-train(n, 12, *documents).log_probabilities(tokens, lengths).mean() for n in (1, 2)]
    assert nats[1] < nats[0] - 0.5 < math.log(12)


def test_samples_follow_the_distribution():
    model, random = train(2, 12, *draw()), np.random.default_rng(0)
    firsts = [model.sample(random, [3], max_new_tokens=1)[0] for _ in range(4000)]
    found = np.bincount(firsts, minlength=12) / 4000
    np.testing.assert_allclose(found, model.probabilities([3]), atol=0.035)  # 4 deviations
    text = model.sample(random, max_new_tokens=200, end_id=5)
    assert text.index(5) == len(text) - 1
    assert len(model.sample(random, max_new_tokens=7)) == 7


def test_save_and_load(tmp_path):
    model, path = train(3, 12, *draw()), tmp_path / "model.npz"
    save_ngram(model, path)
    again = load_ngram(path)
    assert (again.vocab_size, again.order, again.discounts) == (12, 3, model.discounts)
    np.testing.assert_array_equal(again.probabilities([1, 2]), model.probabilities([1, 2]))

    whole = path.read_bytes()
    for content in (whole[:-100], whole[:50], b"", b"no model", b"\x80\x04N."):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"model\.npz"):
            load_ngram(path)
    with pytest.raises(InputError, match="absent"):
        load_ngram(tmp_path / "absent.npz")
    keys = (model.keys[0], model.keys[1][::-1], model.keys[2])
    save_ngram(dataclasses.replace(model, keys=keys), path)
    with pytest.raises(InputError, match="order 2 is damaged"):
        load_ngram(path)


@pytest.mark.parametrize(
    ("tokens", "lengths", "fragment"),
    [([0, 5], [2], "token 0 or 5"), ([-1], [1], "outside"), ([1, 2], [1], "1 tokens do not fit")],
)
def test_text_that_does_not_fit_is_refused(tokens, lengths, fragment):
    with pytest.raises(InputError, match=fragment):
        add_documents(empty_counts(5, 2), np.array(tokens), np.array(lengths))


def test_sizes_that_no_model_has_are_refused():
    with pytest.raises(InputError) as error:
        empty_counts(0, 0)
    assert [problem.split(":")[0] for problem in error.value.problems] == [
        "--model.vocab-size 0", "--model.order 0"
    ]  # fmt: skip
