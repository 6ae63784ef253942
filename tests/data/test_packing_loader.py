"""Every transition once, every row once an epoch, and batches equal to plain Python's."""

import itertools
import os
import pickle
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxlm.data.loader import BatchLoader, ContiguousLoader, permute
from jaxlm.data.packing import plan_rows
from jaxlm.data.token_files import TokenFiles
from jaxlm.errors import DamageError, InputError

LENGTHS = st.lists(st.integers(0, 40), max_size=60)


def transitions(lengths):
    """Position of the first token of every transition of every document."""
    starts = np.cumsum(lengths) - lengths
    return sorted(s + i for s, n in zip(starts, lengths, strict=True) for i in range(n - 1))


PACKINGS = st.sampled_from(["best_fit", "concatenate"])


@given(lengths=LENGTHS, context=st.integers(1, 17), packing=PACKINGS)
@settings(max_examples=300, deadline=None)
def test_every_transition_exactly_once(lengths, context, packing):
    plan = plan_rows(np.array(lengths, int), context, packing)
    slots = [s + i for s, n in zip(plan.token_start, plan.length, strict=True) for i in range(n)]
    assert sorted(slots) == transitions(np.array(lengths, int))
    used = np.array(
        [
            plan.length[a:b].sum()
            for a, b in np.stack([plan.row_starts[:-1], plan.row_starts[1:]], 1)
        ]
    )
    assert (used <= context).all()
    assert (used > 0).all()
    assert (plan.length > 0).all()
    starts = np.cumsum(lengths) - np.array(lengths, int)
    document = np.searchsorted(starts, plan.token_start, side="right") - 1
    while len(document) and (empty := np.array(lengths)[document] < 2).any():
        document = document - empty  # documents without a transition share their start
    fragments = np.bincount(document, minlength=1) if len(document) else np.zeros(1)
    assert plan.documents_cut == (fragments > 1).sum()


@given(lengths=LENGTHS, context=st.integers(1, 17))
@settings(deadline=None)
def test_concatenation_is_the_plain_one(lengths, context):
    plan = plan_rows(np.array(lengths, int), context, "concatenate")
    slots = [s + i for s, n in zip(plan.token_start, plan.length, strict=True) for i in range(n)]
    assert slots == transitions(np.array(lengths, int))  # in order, nothing left free but the end
    used = [plan.length[a:b].sum() for a, b in itertools.pairwise(plan.row_starts)]
    assert all(n == context for n in used[:-1])


def test_what_is_cut():
    lengths = np.array([5, 3, 9, 2])  # 4, 2, 8 and 1 transitions
    best = plan_rows(lengths, 6)
    assert best.documents_cut == 1  # only the one longer than a row
    assert best.rows == 3
    assert best.fill == 15 / 18
    plain = plan_rows(lengths, 6, "concatenate")
    # 4 + 2 fill the first row, 6 of 8 the second, 2 + 1 the third
    assert plain.row_starts.tolist() == [0, 2, 3, 5]
    assert plain.token_start.tolist() == [0, 5, 8, 14, 17]
    assert plain.length.tolist() == [4, 2, 6, 2, 1]
    assert plain.documents_cut == 1


@given(lengths=st.lists(st.integers(2, 18), min_size=1, max_size=60), context=st.just(17))
def test_best_fit_decreasing_is_the_textbook_one(lengths, context):
    rooms = []
    for size in sorted((n - 1 for n in lengths), reverse=True):
        fitting = [(room, i) for i, room in enumerate(rooms) if room >= size]
        if fitting:
            rooms[min(fitting)[1]] -= size
        else:
            rooms.append(context - size)
    plan = plan_rows(np.array(lengths), context)
    used = np.add.reduceat(plan.length, plan.row_starts[:-1])
    assert sorted(context - used) == sorted(rooms)


def test_packing_is_full_and_deterministic():
    generator = np.random.default_rng(0)
    lengths = generator.lognormal(5, 1.2, 100_000).astype(int) + 2
    plan = plan_rows(lengths, 512)
    assert plan.fill > 0.999
    again = plan_rows(lengths, 512)
    for name in ("row_starts", "token_start", "length"):
        np.testing.assert_array_equal(getattr(plan, name), getattr(again, name))


def test_bad_context():
    with pytest.raises(InputError, match="context-length 0"):
        plan_rows(np.array([3]), 0)


def by_hand(tokens, plan, row):
    """One row of a batch in plain Python."""
    columns = {"tokens": [], "targets": [], "positions": [], "segment_ids": [], "mask": []}
    for segment, f in enumerate(range(plan.row_starts[row], plan.row_starts[row + 1]), 1):
        for i in range(plan.length[f]):
            at = plan.token_start[f] + i
            entry = (tokens[at], tokens[at + 1], i, segment, True)
            for column, value in zip(columns.values(), entry, strict=True):
                column.append(int(value))
    for column in columns.values():
        column += [0] * (plan.context_length - len(column))
    return columns


@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=30).filter(lambda n: max(n) > 1),
    context=st.integers(1, 12),
    batch_size=st.integers(1, 9),
    consumed=st.integers(0, 10**9),
    shuffle=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_batch_equals_gather_by_hand(lengths, context, batch_size, consumed, shuffle):
    tokens = np.random.default_rng(0).integers(0, 60_000, sum(lengths)).astype(np.uint16)
    plan = plan_rows(np.array(lengths), context)
    loader = BatchLoader(tokens, plan, batch_size=batch_size, seed=7, shuffle=shuffle)
    batch = loader.batch(consumed)
    for i in range(batch_size):
        epoch, row = divmod(consumed + i, plan.rows)
        if shuffle:
            row = int(permute(np.array([row]), plan.rows, 7, np.array([epoch]))[0])
        expected = by_hand(tokens, plan, row)
        for name, array in batch.items():
            assert array.shape == (batch_size, context)
            assert array.dtype == (bool if name == "mask" else np.int32)
            np.testing.assert_array_equal(array[i], np.array(expected[name]), err_msg=name)


@given(size=st.integers(1, 3000), seed=st.integers(-(2**70), 2**70), epoch=st.integers(0, 2**40))
@settings(deadline=None)
def test_permutation_is_one(size, seed, epoch):
    order = permute(np.arange(size), size, seed, np.full(size, epoch))
    np.testing.assert_array_equal(np.sort(order), np.arange(size))


def test_permutation_differs_by_epoch_and_seed_and_looks_random():
    size = 5000
    orders = [
        permute(np.arange(size), size, seed, np.full(size, epoch))
        for seed, epoch in ((0, 0), (0, 1), (1, 0))
    ]
    for i in range(3):
        # Fixed points and rank correlation of a random permutation: about 1, and 0 +- 1/sqrt(n).
        assert np.sum(orders[i] == np.arange(size)) < 8
        assert abs(np.corrcoef(orders[i], np.arange(size))[0, 1]) < 0.06
        assert abs(np.corrcoef(orders[i], orders[i - 1])[0, 1]) < 0.06
    # Where one element goes is uniform over seeds (chi-square, 15 degrees of freedom).
    places = [permute(np.array([3]), 16, seed, np.array([0]))[0] for seed in range(1600)]
    assert np.sum((np.bincount(places, minlength=16) - 100) ** 2 / 100) < 45


def make_loader(batch_size, seed=0, context=8):
    lengths = np.random.default_rng(1).integers(2, 30, 40)
    tokens = np.arange(lengths.sum(), dtype=np.uint16)  # a token names its place
    plan = plan_rows(lengths, context)
    return BatchLoader(tokens, plan, batch_size=batch_size, seed=seed), lengths


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_each_epoch_holds_every_transition_once(batch_size):
    loader, lengths = make_loader(batch_size)
    rows = loader.rows_per_epoch
    epochs = max(2, 2 * batch_size // rows)
    batches = [loader.batch(n) for n in range(0, epochs * rows, batch_size)]
    tokens, mask = (
        np.concatenate([b[n] for b in batches])[: epochs * rows] for n in ("tokens", "mask")
    )
    for epoch in range(epochs):
        part = slice(epoch * rows, (epoch + 1) * rows)
        assert sorted(tokens[part][mask[part]]) == transitions(lengths)


def test_batch_is_a_function_of_rows_consumed():
    loader, _ = make_loader(6)
    small, _ = make_loader(3)
    assert loader.fingerprint == small.fingerprint
    for n in (0, 5, 123_456_789):
        first, second = small.batch(n), small.batch(n + 3)
        for name, array in loader.batch(n).items():
            np.testing.assert_array_equal(array, np.concatenate([first[name], second[name]]))
    for count in (1, 2, 3, 6):  # hosts that read their own rows alone
        parts = [
            loader.batch(77, slice(i * 6 // count, (i + 1) * 6 // count)) for i in range(count)
        ]
        for name, array in loader.batch(77).items():
            np.testing.assert_array_equal(array, np.concatenate([part[name] for part in parts]))
    with mock.patch.object(loader, "_gather", wraps=loader._gather) as gather:
        loader.batch(10_000_000 * 6)  # a jump gathers the rows that it is asked for, and no others
    assert [len(call.args[0]) for call in gather.call_args_list] == [6]
    assert loader.fingerprint != make_loader(6, seed=1)[0].fingerprint
    assert loader.fingerprint != make_loader(6, context=9)[0].fingerprint


def test_evaluation_covers_everything_once():
    loader, lengths = make_loader(4)
    batches = list(loader.evaluation_batches(7))
    assert {b["tokens"].shape for b in batches} == {(7, 8)}
    seen = np.concatenate([b["tokens"][b["mask"]] for b in batches])
    assert sorted(seen) == transitions(lengths)
    targets = np.concatenate([b["targets"][b["mask"]] for b in batches])
    np.testing.assert_array_equal(targets, seen + 1)


def write_files(folder, arrays):
    """Token files that hold the arrays, opened as one."""
    paths = [folder / f"{i}.bin" for i in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        array.tofile(path)
    return TokenFiles(paths, [len(array) for array in arrays], arrays[0].dtype)


@given(
    sizes=st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any),
    dtype=st.sampled_from(["<u2", "<u4"]),
    data=st.data(),
)
@settings(deadline=None)
def test_many_files_are_one_array(tmp_path_factory, sizes, dtype, data):
    whole = np.random.default_rng(0).integers(0, 60_000, sum(sizes)).astype(dtype)
    parts = np.split(whole, np.cumsum(sizes)[:-1])
    files = write_files(tmp_path_factory.mktemp("files"), parts)
    assert (len(files), files.dtype) == (len(whole), whole.dtype)
    np.testing.assert_array_equal(np.asarray(files), whole)
    spans = data.draw(st.lists(st.tuples(*[st.integers(0, len(whole))] * 2), max_size=20))
    spans = np.sort(np.array(spans, int).reshape(-1, 2))
    found = files.spans(spans[:, 0], spans[:, 1] - spans[:, 0])
    expected = [whole[:0], *(whole[begin:end] for begin, end in spans)]
    np.testing.assert_array_equal(found, np.concatenate(expected))
    places = data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=20))
    index = np.array(places, int)
    np.testing.assert_array_equal(files[index], whole[index])
    np.testing.assert_array_equal(files[3:11], whole[3:11])
    with pytest.raises(IndexError, match="outside"):
        files[np.array([len(whole)])]
    with pytest.raises(IndexError, match="step"):
        files[::2]


def test_files_that_shrink_or_vanish_are_named(tmp_path):
    files = write_files(tmp_path, [np.arange(100, dtype="<u2"), np.arange(100, dtype="<u2")])
    os.truncate(tmp_path / "1.bin", 100)
    np.testing.assert_array_equal(files[120:150], np.arange(20, 50))
    with pytest.raises(DamageError, match=r"1\.bin is damaged: it ends before byte 102"):
        files[120:151]
    (tmp_path / "0.bin").unlink()
    with pytest.raises(DamageError, match=r"0\.bin cannot be read"):
        files[3:4]


def test_rows_of_many_files_are_those_of_one(tmp_path):
    loader, lengths = make_loader(16)
    tokens = np.arange(lengths.sum(), dtype=np.uint16)
    cuts = np.cumsum(lengths)[[3, 11, 12, 30]]
    plan = plan_rows(lengths, 8)
    files = write_files(tmp_path, np.split(tokens, cuts))
    many = BatchLoader(files, plan, batch_size=16, seed=0)
    there = pickle.loads(pickle.dumps(many))  # as it goes to another process
    for start in (0, 5, 1000):
        for name, array in loader.batch(start).items():
            np.testing.assert_array_equal(many.batch(start)[name], array)
            np.testing.assert_array_equal(there.batch(start)[name], array)
    assert many.fingerprint == loader.fingerprint


def test_loader_refuses_bad_input():
    empty = plan_rows(np.array([1, 0]), 4)
    plan = plan_rows(np.array([5]), 4)
    tokens = np.arange(5)
    with pytest.raises(InputError, match="nothing to train on"):
        BatchLoader(tokens, empty, batch_size=1, seed=0)
    with pytest.raises(InputError, match="larger token file"):
        BatchLoader(tokens[:4], plan, batch_size=1, seed=0)
    with pytest.raises(InputError, match="at least 1 row"):
        BatchLoader(tokens, plan, batch_size=0, seed=0)
    with pytest.raises(InputError, match="negative"):
        BatchLoader(tokens, plan, batch_size=1, seed=0).batch(-1)
    with pytest.raises(InputError, match="5 tokens are too few for a context of 5"):
        ContiguousLoader(tokens, context_length=5, batch_size=1, seed=0)


@given(size=st.integers(2, 60), context=st.integers(1, 20), batch_size=st.integers(1, 5))
@settings(deadline=None)
def test_contiguous_windows(size, context, batch_size):
    if size <= context:
        return
    tokens = np.arange(size, dtype=np.uint16)
    loader = ContiguousLoader(tokens, context_length=context, batch_size=batch_size, seed=3)
    batch = loader.batch(11)
    start = batch["tokens"][:, :1]
    np.testing.assert_array_equal(batch["tokens"], start + np.arange(context))
    np.testing.assert_array_equal(batch["targets"], batch["tokens"] + 1)
    assert batch["targets"].max() < size
    assert batch["mask"].all()
    assert (batch["segment_ids"] == 1).all()
    np.testing.assert_array_equal(batch["positions"][0], np.arange(context))
    np.testing.assert_array_equal(loader.batch(10)["tokens"][1:], batch["tokens"][:-1])
    evaluation = list(loader.evaluation_batches(batch_size))
    seen = np.concatenate([b["tokens"][b["mask"]] for b in evaluation])
    np.testing.assert_array_equal(seen, np.arange(size - 1))
    targets = np.concatenate([b["targets"][b["mask"]] for b in evaluation])
    np.testing.assert_array_equal(targets, np.arange(1, size))


def test_contiguous_reaches_both_ends_evenly():
    loader = ContiguousLoader(np.arange(14), context_length=4, batch_size=5000, seed=0)
    starts = np.bincount(loader.batch(0)["tokens"][:, 0], minlength=10)
    assert starts.shape == (10,)  # 0 .. 9: the last window's target is the last token
    assert np.sum((starts - 500) ** 2 / 500) < 30  # chi-square, 9 degrees of freedom
