"""Mixtures hold their proportions exactly, and are a function of the rows consumed."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm.data.loader import BatchLoader
from jaxlm.data.mixture import BLOCK, MixtureLoader, rows_in_block
from jaxlm.data.packing import plan_rows
from jaxlm.errors import InputError


def source(rows, first):
    """A loader whose row i holds 4 tokens from first + 5 i on; each row is a document."""
    tokens = first + np.arange(5 * rows)
    return BatchLoader(tokens, plan_rows(np.full(rows, 5), 4), batch_size=1, seed=first)


SOURCES = [source(3000, 0), source(100, 100_000), source(17, 200_000)]
WEIGHTS = [0.7, 0.2, 0.1]


def mixture(batch_size=8, weights=WEIGHTS, seed=0):
    return MixtureLoader(SOURCES, weights, batch_size=batch_size, seed=seed)


def rows(loader, start, count):
    """The first token of each of `count` rows."""
    return loader.rows(np.arange(start, start + count))["tokens"][:, 0]


@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=9))
def test_rows_in_a_block(weights):
    if min(weights) / sum(weights) * BLOCK < 1:
        return
    counts = rows_in_block(weights)
    exact = np.array(weights) / np.sum(weights) * BLOCK
    assert counts.sum() == BLOCK
    assert (np.abs(counts - exact) < 1).all()
    np.testing.assert_array_equal(rows_in_block(3 * np.array(weights)), counts)


@pytest.mark.parametrize("block", [0, 1, 1000])
def test_every_block_has_the_proportions(block):
    found = rows(mixture(), block * BLOCK, BLOCK) // 100_000
    assert np.bincount(found).tolist() == rows_in_block(WEIGHTS).tolist() == [2867, 819, 410]
    # and they are spread over it: each sixteenth of a block holds about its share
    parts = [np.bincount(part, minlength=3) for part in np.split(found, 16)]
    assert np.ptp(parts, axis=0).max() < 70


def test_each_source_goes_on_in_its_own_order():
    found = rows(mixture(), 0, 3 * BLOCK)
    for number, loader in enumerate(SOURCES):
        own = found[found // 100_000 == number]
        np.testing.assert_array_equal(np.sort(own), np.sort(rows(loader, 0, len(own))))


@settings(deadline=None, max_examples=30)
@given(start=st.integers(0, 10**12), batch_size=st.integers(1, 20), hosts=st.integers(1, 5))
def test_a_function_of_rows_consumed(start, batch_size, hosts):
    loader, one = mixture(batch_size), mixture(1)
    batch = loader.batch(start)
    cuts = [i * batch_size // hosts for i in range(hosts + 1)]
    parts = [loader.batch(start, slice(*cut)) for cut in itertools.pairwise(cuts)]
    for name, array in batch.items():
        assert array.shape == (batch_size, 4)
        joined = np.concatenate([part[name] for part in parts if part])
        np.testing.assert_array_equal(array, joined)
        single = [one.batch(start + i)[name] for i in range(batch_size)]
        np.testing.assert_array_equal(array, np.concatenate(single))


def test_fingerprint_and_epochs():
    assert mixture().fingerprint == mixture(batch_size=3).fingerprint
    assert mixture().fingerprint != mixture(seed=1).fingerprint
    assert mixture().fingerprint != mixture(weights=[0.6, 0.3, 0.1]).fingerprint
    seen = mixture().epochs(10 * BLOCK)
    assert seen == pytest.approx([28670 / 3000, 8190 / 100, 4100 / 17])


def test_evaluation_covers_every_source_once():
    batches = list(mixture().evaluation_batches(64))
    seen = np.concatenate([b["tokens"][b["mask"]] for b in batches])
    assert len(seen) == len(set(seen)) == 4 * (3000 + 100 + 17)


@pytest.mark.parametrize(
    ("weights", "match"),
    [([1, 0, 1], "positive"), ([1, np.nan, 1], "positive"), ([1, 1], "2 weights for 3"),
     ([1, 1, 1e-6], "the smallest gives 0.002 rows"), ([], "positive")],
)  # fmt: skip
def test_bad_weights(weights, match):
    with pytest.raises(InputError, match=match):
        mixture(weights=weights)
