"""How much arithmetic a token takes, and how much the devices can do."""

from __future__ import annotations

import time

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxlm.layers.declare import Parameter
from jaxlm.models.config import DecoderConfig
from jaxlm.models.decoder import decoder_parameters


def flops_per_token(config: DecoderConfig) -> float:
    """Floating-point operations per trained token: 6 per matrix parameter, 12 L d T attention.

    The convention of Chowdhery et al. (2022), appendix B: the full T, although half of it is
    masked, and nothing for what remat computes again.
    """
    tree = decoder_parameters(config)
    matrices = 0
    for path, p in jax.tree_util.tree_leaves_with_path(
        tree, is_leaf=lambda node: isinstance(node, Parameter)
    ):
        name = jax.tree_util.keystr(path)
        looked_up = "'position'" in name or ("'token'" in name and not config.tied_embeddings)
        if p.decay and not looked_up:
            matrices += jax.ShapeDtypeStruct(p.shape, jnp.float32).size - p.padding
    attention = 12 * config.layers * config.heads * config.head_dim * config.context_length
    return 6.0 * matrices + attention


def measure_matrix_rate(mesh: Mesh, dtype: jnp.dtype, *, seconds: float = 0.3) -> float:
    """Floating-point operations per second of square matrix products on all devices at once.

    Args:
      mesh: its devices are measured together (virtual devices share a processor).
      dtype: of the factors.
      seconds: about how long to measure.

    Returns:
      Operations per second of the whole mesh, the best of several repetitions.
    """
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    size = 1024 if on_cpu else 8192
    count = mesh.devices.size
    every_axis = NamedSharding(mesh, PartitionSpec(mesh.axis_names))
    x = jax.jit(lambda: jnp.ones((count, size, size), dtype) / size, out_shardings=every_axis)()
    product = jax.jit(lambda x: jnp.einsum("zij,zjk->zik", x, x), out_shardings=every_axis)
    product(x).block_until_ready()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        product(x).block_until_ready()
        best = min(best, time.perf_counter() - start)
    return 2.0 * count * size**3 / best
