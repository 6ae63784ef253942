"""A plan that was kept is the one that was made, or it is made again."""

import numpy as np
import pytest

from jaxlm.data import row_plans
from jaxlm.data.packing import plan_rows
from jaxlm.data.row_plans import stored_plan
from jaxlm.data.shards import TokenWriter, open_tokens

LENGTHS = np.random.default_rng(0).integers(0, 40, 60)


@pytest.fixture
def shards(tmp_path):
    with TokenWriter(tmp_path, 10, "") as writer:
        for length in LENGTHS:
            writer.add(np.zeros(length, int), 1)
    return open_tokens(tmp_path)


@pytest.fixture(autouse=True)
def many(monkeypatch):
    monkeypatch.setattr(row_plans, "_MANY_DOCUMENTS", 60)


def never(*_):
    raise AssertionError("planned again")


def assert_equal(plan, context=16, packing="best_fit"):
    expected = plan_rows(LENGTHS, context, packing)
    for name in ("row_starts", "token_start", "length"):
        np.testing.assert_array_equal(getattr(plan, name), getattr(expected, name))
        assert getattr(plan, name).dtype == np.int64
    assert (plan.context_length, plan.documents_cut) == (context, expected.documents_cut)


@pytest.mark.parametrize("packing", ["best_fit", "concatenate"])
def test_planned_once(shards, packing, monkeypatch):
    assert_equal(stored_plan(shards, 16, packing), packing=packing)
    assert_equal(stored_plan(shards, 17, packing), 17, packing)
    monkeypatch.setattr(row_plans, "plan_rows", never)
    assert_equal(stored_plan(shards, 16, packing), packing=packing)
    assert_equal(stored_plan(shards, 17, packing), 17, packing)


def test_a_damaged_plan_is_made_again(shards, monkeypatch):
    stored_plan(shards, 16, "best_fit")
    for path in sorted(shards.directories[0].glob("rows-*/*")):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        assert_equal(stored_plan(shards, 16, "best_fit"))
        path.unlink()
        assert_equal(stored_plan(shards, 16, "best_fit"))
    monkeypatch.setattr(row_plans, "plan_rows", never)
    assert_equal(stored_plan(shards, 16, "best_fit"))


def test_where_nothing_can_be_written(shards, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(row_plans, "_write", full)
    assert_equal(stored_plan(shards, 16, "best_fit"))
    assert not list(shards.directories[0].glob("*rows-*"))


def test_few_documents_leave_no_files(shards, monkeypatch):
    monkeypatch.setattr(row_plans, "_MANY_DOCUMENTS", 61)
    assert_equal(stored_plan(shards, 16, "best_fit"))
    assert not list(shards.directories[0].glob("*rows-*"))
