"""Position-wise feed-forward networks and their activations."""

import math

import jax
import jax.numpy as jnp

from jaxlm.functional.linear import dense


def gelu(x):
    """Exact GELU, x * Phi(x) (Hendrycks and Gimpel 2016), through `erf`.

    `jax.nn.gelu(approximate=False)` goes through `erfc`, which costs more on a CPU and differs
    only in the relative accuracy of results that are below float32 resolution of x.
    """
    return 0.5 * x * (1.0 + jax.lax.erf(x * math.sqrt(0.5)))


def gelu_tanh(x):
    """The tanh approximation of GELU, as in the GPT-2 weights."""
    return jax.nn.gelu(x, approximate=True)


def relu2(x):
    """Squared ReLU, max(x, 0)^2 (So et al. 2021)."""
    return jnp.square(jax.nn.relu(x))


ACTIVATIONS = {"relu": jax.nn.relu, "relu2": relu2, "gelu": gelu, "gelu_tanh": gelu_tanh}
GATES = {"swiglu": jax.nn.silu, "geglu": gelu, "geglu_tanh": gelu_tanh}


def feed_forward(p, x_btd, *, activation, product=dense):
    """Two dense maps with an activation between, or the gated form of Shazeer (2020).

    Args:
      p: {"up": [d, f], "down": [f, d]}, with "gate": [d, f] for the gated forms, and optional
        "up_bias" [f], "gate_bias" [f], "down_bias" [d].
      x_btd: inputs.
      activation: "relu", "relu2", "gelu", "gelu_tanh", or a gated form: "swiglu", "geglu" (eq. 5
        and 6), "geglu_tanh".
      product: (x, kernel, bias or None) -> the affine map.

    Returns:
      [b, t, d] in the dtype of `x_btd`.

    Raises:
      ValueError: for an unknown activation.
    """
    up_btf = product(x_btd, p["up"], p.get("up_bias"))
    if activation in GATES:
        gate_btf = product(x_btd, p["gate"], p.get("gate_bias"))
        hidden_btf = GATES[activation](gate_btf) * up_btf
    elif activation in ACTIVATIONS:
        hidden_btf = ACTIVATIONS[activation](up_btf)
    else:
        known = ", ".join([*ACTIVATIONS, *GATES])
        raise ValueError(f"feed_forward: unknown activation {activation!r}; known are {known}")
    return product(hidden_btf, p["down"], p.get("down_bias"))


def is_gated(activation):
    """Whether the activation needs the "gate" kernel."""
    return activation in GATES
