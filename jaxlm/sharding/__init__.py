"""Where arrays live: one mesh with named axes, one table from logical axes to mesh axes."""

from jaxlm.sharding.mesh import MeshConfig, make_mesh, named_shardings
from jaxlm.sharding.rules import RULES, constrain, partition_spec

__all__ = ["RULES", "MeshConfig", "constrain", "make_mesh", "named_shardings", "partition_spec"]
