"""Rows through Grain are those of the loader."""

import numpy as np
import pytest

from jaxlm.data.grain import GrainSource
from jaxlm.data.loader import BatchLoader
from jaxlm.data.packing import plan_rows

grain = pytest.importorskip("grain", reason="Grain is not installed")


def test_grain_reads_shuffles_and_resumes():
    lengths = np.random.default_rng(0).integers(2, 20, 50)
    tokens = np.arange(lengths.sum(), dtype=np.uint16)
    loader = BatchLoader(tokens, plan_rows(lengths, 8), batch_size=4, seed=0, shuffle=False)
    source = GrainSource(loader)
    for name, array in loader.batch(3).items():
        np.testing.assert_array_equal(array, np.stack([source[i][name] for i in range(3, 7)]))
    with pytest.raises(IndexError, match="of"):
        source[len(source)]

    def batches():
        return iter(grain.MapDataset.source(source).shuffle(seed=1).batch(4).to_iter_dataset())

    first = batches()
    everything = list(first)
    seen = np.concatenate([b["tokens"][b["mask"]] for b in everything])
    rows = len(source) // 4 * 4
    assert len(everything) == -(-len(source) // 4)
    assert len(seen) == len(set(seen))
    assert rows <= len(source)
    again = batches()
    next(again)
    state = again.get_state()
    resumed = batches()
    resumed.set_state(state)
    np.testing.assert_array_equal(next(resumed)["tokens"], everything[1]["tokens"])
