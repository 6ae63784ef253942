"""jaxlm: every stage of a large language model as pure JAX functions.

Three levels: `jaxlm.functional` (arrays in, arrays out; imports only jax), modules and factories
(`jaxlm.models`, `jaxlm.training`, ...), and recipes (`experiments/`, the `jaxlm` command).
Importing any part has no side effect.
"""

__version__ = "0.1.0"
