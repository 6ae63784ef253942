"""The one table from logical axis names to mesh axes."""

from __future__ import annotations

import math

import jax
from jax.sharding import PartitionSpec

# What every array axis of the library is called, and which mesh axes it is divided over.
RULES: dict[str, tuple[str, ...]] = {
    # parameters
    "layers": (),
    "vocab": ("tensor",),
    "position": (),
    "embed": ("fsdp",),
    "heads": ("tensor",),
    "kv_heads": ("tensor",),
    "head_dim": (),
    "hidden": ("tensor",),
    "norm": (),
    "experts": (),
    "gates": (),  # of a recurrent cell
    "state": (),  # of a recurrent cell, as an input
    # activations and data
    "batch": ("data", "fsdp"),
    "length": (),
    "features": (),
}


def partition_spec(axes: tuple[str, ...]) -> PartitionSpec:
    """The `PartitionSpec` of an array with these logical axes.

    Raises:
      ValueError: for a name that is not in `RULES`, or two axes on one mesh axis.
    """
    used: set[str] = set()
    entries: list[tuple[str, ...] | str | None] = []
    for axis in axes:
        if axis not in RULES:
            raise ValueError(f"unknown logical axis {axis!r} in {axes}; known are {sorted(RULES)}")
        mesh_axes = RULES[axis]
        if used & set(mesh_axes):
            raise ValueError(f"logical axes {axes} put two dimensions on mesh axis {mesh_axes}")
        used |= set(mesh_axes)
        entries.append(mesh_axes[0] if len(mesh_axes) == 1 else mesh_axes or None)
    return PartitionSpec(*entries)


def constrain(x: jax.Array, axes: tuple[str, ...]) -> jax.Array:
    """Fixes how `x` is divided over the mesh set by `jax.set_mesh`; without one, `x` itself.

    A batch that the mesh does not divide (a single prompt) stays whole.
    """
    spec = partition_spec(axes)
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return x
    batch_shards = math.prod(mesh.shape[name] for name in RULES["batch"])
    whole = [
        axis == "batch" and size % batch_shards != 0
        for axis, size in zip(axes, x.shape, strict=True)
    ]
    spec = PartitionSpec(*(None if w else entry for w, entry in zip(whole, spec, strict=True)))
    return jax.lax.with_sharding_constraint(x, spec)
