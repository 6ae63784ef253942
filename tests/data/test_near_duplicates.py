"""Word hashes, MinHash and banding against pure Python, and planted near duplicates."""

import hashlib
import random
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm.data import word_hashes
from jaxlm.data.duplicate_clusters import connect, find_clusters, roots
from jaxlm.data.near_duplicates import (
    NearConfig,
    agreement,
    band_keys,
    banding,
    candidate_probability,
    describe_banding,
    jaccard,
    shingles,
    signature,
    signatures,
    similarity,
)
from jaxlm.data.word_hashes import grams, words
from jaxlm.errors import InputError

CONFIG = NearConfig()
TEXTS = st.text(st.sampled_from("abZ9É_ -\n\u0301ß語あก\U00020000\U0001f600İ"), max_size=60)


def split(text):
    """The words of a text, character by character."""
    found, current = [], ""
    for character in text:
        alone = character in "語あก\U00020000"
        letter = unicodedata.category(character)[0] in "LNM"
        if current and (not letter or alone):
            found.append(current)
            current = ""
        if alone:
            found.append(character)
        elif letter:
            lower = character.lower()
            current += lower if len(lower) == 1 else character
    return [*found, current] if current else found


def mix(value):
    mask = (1 << 64) - 1
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & mask
    value ^= value >> 33
    value = value * 0xC4CEB9FE1A85EC53 & mask
    return value ^ value >> 33


def word_hash(word):
    codes = [ord(c) | (1 << 31 if c in "語あก\U00020000" else 0) for c in word]
    return mix(sum(c * word_hashes._BASE**i for i, c in enumerate(codes)) % (1 << 64))


def gram_hash(run):
    total = 0
    for word in run:
        total = (total * word_hashes._GRAM_BASE + word_hash(word)) % (1 << 64)
    return mix(total)


@given(st.lists(TEXTS, max_size=4), st.sampled_from([1 << 15, 7]))
@settings(max_examples=150, deadline=None)
def test_words_are_those_of_a_plain_loop(texts, block):
    original, word_hashes._BLOCK = word_hashes._BLOCK, max(block, 7)
    try:
        found = words(texts)
    finally:
        word_hashes._BLOCK = original
    joined = "\n".join(texts)
    expected = [split(text) for text in texts]
    if block > 100:  # else words of more than a block are cut
        assert np.diff(found.bounds).tolist() == [len(e) for e in expected]
        assert found.hashes.tolist() == [word_hash(w) for e in expected for w in e]
    spans = [joined[a:b] for a, b in zip(found.starts, found.ends, strict=True)]
    assert "".join(split(" ".join(spans))) == "".join(w for e in expected for w in e)
    for i, text in enumerate(texts):
        assert joined[found.places[i] :].startswith(text)


def test_blocks_are_cut_between_words(monkeypatch):
    text = " ".join(f"word{i}" for i in range(400)) + " 語語語 end"
    whole = words([text])
    monkeypatch.setattr(word_hashes, "_BLOCK", 50)
    pieces = words([text])
    for name in ("hashes", "starts", "ends", "bounds"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name))


@given(st.lists(TEXTS, max_size=5), st.integers(1, 4), st.booleans())
@settings(max_examples=150, deadline=None)
def test_grams_stay_inside_a_text(texts, size, shorter):
    numbers, starts = grams(words(texts), size, shorter=shorter)
    expected, first = [], 0
    for found in map(split, texts):
        runs = [found[i : i + size] for i in range(len(found) - size + 1)]
        if shorter and 0 < len(found) < size:
            runs = [found]
        expected += [(gram_hash(run), first + i) for i, run in enumerate(runs)]
        first += len(found)
    assert list(zip(numbers.tolist(), starts.tolist(), strict=True)) == expected


def test_a_signature_is_the_minimum_in_each_bin():
    config = NearConfig(bands=3, rows=4, shingle=2)
    text = "one two three four five six"
    found = split(text)
    bins = {}
    for i in range(5):
        number = gram_hash(found[i : i + 2])
        place, value = (number >> 32) * 12 >> 32, number & 0xFFFFFFFF
        bins[place] = min(value, bins.get(place, value))
    result = signature(text, config)
    assert {place: int(result[place]) for place in bins} == bins
    assert set(result.tolist()) == set(bins.values())  # the others are copies
    assert result.dtype == np.uint32
    assert result.shape == (12,)


def test_signatures_never_change():
    text = " ".join(f"w{i * i % 91} é語" for i in range(60))
    digest = hashlib.blake2b(signature(text, CONFIG).astype("<u4").tobytes(), digest_size=8)
    assert digest.hexdigest() == "35a9ef2532c843e9"


def test_signatures_of_a_batch_are_those_of_each():
    texts = ["", "one", "one two", " ".join(map(str, range(300))), "?!", "ONE, two!"]
    batch = signatures(words(texts), CONFIG)
    assert np.array_equal(batch, [signature(text, CONFIG) for text in texts])
    assert np.array_equal(batch[2], batch[5])
    keys = band_keys(batch, CONFIG)
    assert keys.shape == (26, 6)
    assert not keys[:, [0, 4]].any()
    assert keys[:, [1, 2, 3, 5]].all()


def planted(generator, length, target):
    """Two texts of `length` words whose Jaccard similarity (of shingles) is near `target`."""
    first = [f"w{generator.getrandbits(40)}" for _ in range(length)]
    total = length - CONFIG.shingle + 1
    # Changed shingles c at both: J = (total - c) / (total + c).
    changed = round(total * (1 - target) / (1 + target))
    second = list(first)
    for i in range(changed):  # a run at the end: each word more changes one shingle more
        second[length - 1 - i] = f"x{generator.getrandbits(40)}"
    return " ".join(first), " ".join(second)


@pytest.mark.parametrize("length", [30, 120, 250, 2000])
def test_estimates_are_unbiased(length):
    generator = random.Random(length)
    errors = []
    for _ in range(150):
        pair = planted(generator, length, 0.8)
        estimate = agreement(*(signature(text, CONFIG)[None] for text in pair))[0]
        errors.append(estimate - similarity(*pair, CONFIG))
    # Independent minima have a standard error of sqrt(0.8 * 0.2 / 208) = 0.028.
    assert abs(np.mean(errors)) < 0.01
    assert np.std(errors) < 0.045


def test_jaccard_by_hand():
    config = NearConfig(shingle=2)
    # {ab, bc, cd} and {ab, bc, ce}: 2 of 4.
    assert similarity("a b c d", "A, b: c e", config) == 0.5
    assert similarity("a", "a", config) == 1
    assert similarity("a", "b", config) == 0
    assert similarity("", "?", config) == 0
    assert jaccard(shingles("a b", config), shingles("", config)) == 0


def test_candidate_probability_by_hand():
    # 0.8^8 = 0.16777216
    assert candidate_probability(0.8, 14, 8) == pytest.approx(1 - 0.83222784**14)
    assert candidate_probability(0.5, 1, 2) == 0.25
    assert candidate_probability(0.5, 2, 1) == 0.75


@given(st.floats(0.3, 0.99), st.floats(0.5, 0.999), st.integers(128, 512))
@settings(max_examples=60, deadline=None)
def test_banding_is_the_steepest_that_keeps_the_recall(threshold, recall, permutations):
    try:
        bands, rows = banding(threshold, recall, permutations)
    except InputError:
        assert candidate_probability(threshold, permutations, 1) < recall
        return
    assert bands * rows <= permutations
    assert candidate_probability(threshold, bands, rows) >= recall - 1e-12
    assert bands == 1 or candidate_probability(threshold, bands - 1, rows) < recall + 1e-12
    widest = permutations // (rows + 1)
    assert widest == 0 or candidate_probability(threshold, widest, rows + 1) < recall + 1e-12


def test_the_default_banding_is_the_one_for_its_threshold():
    assert banding(CONFIG.threshold) == (CONFIG.bands, CONFIG.rows) == (26, 8)
    assert candidate_probability(0.8, 26, 8) > 0.99 > 0.95 > candidate_probability(0.8, 14, 8)
    table = describe_banding(CONFIG)
    assert "26 bands x 8 rows (208 permutations)" in table
    assert "0.80     99.16%  <- threshold" in table


@pytest.mark.parametrize("arguments", [(0, 0.9, 10), (0.8, 1, 10), (0.8, 0.9, 0), (0.1, 0.99, 3)])
def test_banding_refuses(arguments):
    with pytest.raises(InputError):
        banding(*arguments)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"threshold": 0.0}, "--near.threshold 0.0"),
        ({"threshold": 1.5}, "--near.threshold 1.5"),
        ({"threshold": float("nan")}, "--near.threshold nan"),
        ({"shingle": 0}, "--near.shingle 0"),
        ({"bands": 0}, "--near.bands 0"),
        ({"rows": -1}, "--near.rows -1"),
        ({"rows": 100}, "26 x 8"),
        ({"bands": 1000}, "26 x 8"),
    ],
)
def test_bad_settings_name_the_field(fields, named):
    (problem,) = NearConfig(**fields).problems()
    assert named in problem


def test_settings_that_are_fine():
    assert CONFIG.problems() == NearConfig(bands=14, rows=8, threshold=1.0).problems() == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_connected_pairs_are_those_of_a_plain_search(pairs):
    labels = np.arange(31)
    for start in range(0, len(pairs), 7):
        one, other = np.array(pairs[start : start + 7]).T
        connect(labels, one, other)
    expected = {i: {i} for i in range(31)}
    for one, other in pairs:
        union = expected[one] | expected[other]
        for member in union:
            expected[member] = union
    assert roots(labels, np.arange(31)).tolist() == [min(expected[i]) for i in range(31)]


def test_a_long_chain_is_connected():
    labels = np.arange(50_000)
    connect(labels, np.arange(49_999), np.arange(1, 50_000))
    assert not roots(labels, np.arange(50_000)).any()


def clusters(texts, config=CONFIG):
    minima = signatures(words(texts), config)
    labels, pairs = find_clusters(
        band_keys(minima, config), lambda n: minima[n], np.ones(len(texts), bool), config
    )
    exact = np.array([similarity(texts[a], texts[b], config) for a, b in pairs])
    pairs = pairs[exact >= config.threshold] if len(pairs) else pairs
    connect(labels, pairs[:, 0], pairs[:, 1])
    return roots(labels, np.arange(len(texts)))


@pytest.mark.parametrize("length", [24, 80, 400])
def test_planted_duplicates_are_found_and_others_are_not(length):
    generator = random.Random(length)
    texts = []
    for target in (0.68, 0.76, 0.84, 0.9):
        for _ in range(60):
            texts += planted(generator, length, target)
    labels = clusters(texts)
    found = true = both = 0
    for i in range(0, len(texts), 2):
        duplicate = similarity(texts[i], texts[i + 1], CONFIG) >= CONFIG.threshold
        joined = bool(labels[i] == labels[i + 1])
        found, true, both = found + joined, true + duplicate, both + (joined and duplicate)
    assert true >= 60
    assert both / true >= 0.95
    assert both == found  # candidates near the threshold are compared exactly
    assert set(labels) <= set(range(len(texts)))
    assert len(np.unique(labels)) == len(texts) - found


def test_a_crowd_of_duplicates_has_one_survivor():
    generator = random.Random(5)
    base = [f"w{generator.getrandbits(40)}" for _ in range(200)]
    texts = []
    for i in range(300):
        copy = list(base)
        copy[generator.randrange(200)] = f"x{i}"
        texts.append(" ".join(copy))
    labels = clusters(["something else entirely", *texts])
    assert labels.tolist() == [0] + [1] * 300
