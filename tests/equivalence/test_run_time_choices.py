"""Scanned or unrolled, rematerialised or not: the same numbers from the same parameters."""

import chex
import jax
import numpy as np
import pytest
from family import FAMILY, LLAMA, loss_of, make

from jaxlm.models import Decoder, unstack


@FAMILY
def test_scan_remat_and_unstacked_layers_equal_plain(config):
    model, params = make(config, scan_layers=False)

    def run(**run_time):
        return jax.jit(jax.value_and_grad(loss_of(Decoder(config, **run_time))))(params)

    expected = run(scan_layers=False)
    for run_time in (
        {"scan_layers": True},
        {"scan_layers": False, "remat": "full"},
        {"scan_layers": True, "remat": "dots"},
    ):
        # float32: XLA fuses, and so rounds, differently
        chex.assert_trees_all_close(run(**run_time), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        jax.jit(loss_of(model))(unstack(params, config)), expected[0], rtol=1e-6
    )


@pytest.mark.parametrize("scan", [False, True])
def test_remat_is_really_on(scan):
    _, params = make(LLAMA)

    def saved(remat):
        """How many numbers the forward pass keeps for the backward pass."""
        loss = loss_of(Decoder(LLAMA, scan_layers=scan, remat=remat))
        pulled = jax.eval_shape(lambda p: jax.vjp(loss, p)[1], params)
        return sum(a.size for a in jax.tree.leaves(pulled))

    none, dots, full = (saved(remat) for remat in ("none", "dots", "full"))
    assert full < dots < none
