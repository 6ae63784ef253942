"""The device mesh: a run-time setting, never part of a model."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding

from jaxlm.errors import InputError
from jaxlm.sharding.rules import partition_spec


@dataclasses.dataclass(frozen=True)
class MeshConfig:
    """How many devices each kind of parallelism takes; their product is the device count."""

    data: int = 1
    """Copies of the model, each with its share of the batch."""
    fsdp: int = 1
    """Parameters and optimiser state divided (ZeRO-3); the batch is divided here too."""
    tensor: int = 1
    """Heads, hidden units and vocabulary divided."""

    @property
    def devices(self) -> int:
        """The number of devices in the mesh."""
        return self.data * self.fsdp * self.tensor

    @property
    def batch_shards(self) -> int:
        """Into how many parts the batch is divided."""
        return self.data * self.fsdp

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        return [
            f"--mesh.{name} {size}: must be at least 1"
            for name, size in dataclasses.asdict(self).items()
            if size < 1
        ]


def make_mesh(config: MeshConfig) -> Mesh:
    """The mesh over the first `config.devices` devices, every axis of the type Auto.

    Raises:
      InputError: if there are fewer devices.
    """
    sizes = dataclasses.asdict(config)
    available = jax.devices()
    if len(available) < config.devices:
        raise InputError(
            f"--mesh: {sizes} needs {config.devices} devices, but JAX sees {len(available)} "
            f"({available[0].platform}). Make the mesh smaller, or on a CPU ask for virtual "
            f"devices: XLA_FLAGS=--xla_force_host_platform_device_count={config.devices}"
        )
    return jax.make_mesh(
        tuple(sizes.values()),
        tuple(sizes),
        axis_types=(AxisType.Auto,) * len(sizes),
        devices=available[: config.devices],
    )


def named_shardings(mesh: Mesh, axes: Any) -> Any:
    """A tree of `NamedSharding` from a tree of tuples of logical axes."""
    return jax.tree.map(
        lambda names: NamedSharding(mesh, partition_spec(names)),
        axes,
        is_leaf=lambda node: isinstance(node, tuple),
    )
