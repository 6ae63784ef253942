"""Every mesh gives the losses, gradients and parameters of one device."""

import sys
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

sys.path.insert(0, str(Path(__file__).parent.parent / "training"))
from toy import CONFIG, Toy, batch, float64, host

from jaxlm.errors import InputError
from jaxlm.sharding import MeshConfig, constrain, make_mesh, partition_spec
from jaxlm.training.state import digest

MESHES = [
    MeshConfig(data=2, fsdp=2, tensor=2),
    MeshConfig(data=8),
    MeshConfig(fsdp=8),
    MeshConfig(tensor=4),
    MeshConfig(data=2, tensor=4),
]
NAMES = ["data2-fsdp2-tensor2", "data8", "fsdp8", "tensor4", "data2-tensor4"]


def curves(config, mesh, accumulate=1):
    """Ten losses, the first gradient, the initial parameters and their digest."""
    toy = Toy(config, mesh=mesh, accumulate=accumulate)
    initial, word = host(toy.state.params), host(jax.jit(digest)(toy.state))
    _, gradient = toy.gradient(batch())
    losses = [toy.run(batch(step))["loss"] for step in range(10)]
    assert toy.step._cache_size() == 1
    return losses, gradient, initial, word


@pytest.fixture(scope="module")
def one_device():
    with jax.enable_x64(True):
        wide = curves(float64(), MeshConfig())
    return wide, curves(CONFIG, MeshConfig())


@pytest.mark.parametrize("mesh", MESHES, ids=NAMES)
def test_float64_agrees_to_twelve_digits(one_device, mesh):
    with jax.enable_x64(True):
        losses, gradient, initial, word = curves(float64(), mesh)
    expected = one_device[0]
    np.testing.assert_allclose(losses, expected[0], rtol=1e-12)
    for found, wanted in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected[1]), strict=True):
        assert np.linalg.norm(found - wanted) <= 1e-12 * np.linalg.norm(wanted)
    chex.assert_trees_all_equal(initial, expected[2])
    np.testing.assert_array_equal(word, expected[3])


@pytest.mark.parametrize("mesh", MESHES[:1], ids=NAMES[:1])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_float32_agrees_to_five_digits(one_device, mesh, accumulate):
    losses, gradient, initial, word = curves(CONFIG, mesh, accumulate)
    expected = one_device[1]
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5)
    chex.assert_trees_all_close(gradient, expected[1], rtol=1e-4, atol=1e-6)
    chex.assert_trees_all_equal(initial, expected[2])
    np.testing.assert_array_equal(word, expected[3])


def test_arrays_lie_where_the_rules_say():
    toy = Toy(mesh=MESHES[0])
    query = toy.state.params["blocks"]["attention"]["query"]
    assert query.sharding.spec == P(None, "fsdp", "tensor", None)
    assert query.addressable_shards[0].data.shape == (2, 16, 4, 8)
    specs = jax.tree.map(lambda a: a.sharding.spec, toy.state.params)
    attention, feed_forward = specs["blocks"]["attention"], specs["blocks"]["feed_forward"]
    assert attention["key"] == attention["value"] == P(None, "fsdp", "tensor", None)
    assert attention["out"] == P(None, "tensor", None, "fsdp")
    assert feed_forward["up"] == feed_forward["gate"] == P(None, "fsdp", "tensor")
    assert feed_forward["down"] == P(None, "tensor", "fsdp")
    assert specs["embedding"]["token"] == P("tensor", "fsdp")
    assert specs["final_norm"]["scale"] == P(None)
    moments = [a for a in jax.tree.leaves(toy.state.optimizer) if a.shape == query.shape]
    assert len(moments) == 2
    assert all(m.sharding.is_equivalent_to(query.sharding, m.ndim) for m in moments)
    toy.run(batch())  # the step keeps them there
    after = toy.state.params["blocks"]["attention"]["query"]
    assert after.sharding.is_equivalent_to(query.sharding, 4)


def test_rules_are_strict():
    assert partition_spec(("batch", "length")) == P(("data", "fsdp"), None)
    with pytest.raises(ValueError, match="'embedd'"):
        partition_spec(("vocab", "embedd"))
    with pytest.raises(ValueError, match="two dimensions"):
        partition_spec(("batch", "embed"))


def test_constrain_without_a_mesh_does_nothing_and_a_small_batch_stays_whole():
    x = jnp.ones((3, 4))
    assert constrain(x, ("batch", "length")) is x
    with jax.set_mesh(make_mesh(MeshConfig(data=2))):
        jax.jit(lambda x: constrain(x, ("batch", "length")))(x)
        with pytest.raises(ValueError, match="unknown logical axis"):
            constrain(x, ("batch", "lenght"))


def test_too_few_devices_is_an_input_error():
    with pytest.raises(InputError, match="needs 64 devices"):
        make_mesh(MeshConfig(data=64))
