"""The dense (affine) map, with a weight gradient that suits the platform."""

import math

import jax
import jax.numpy as jnp


def dense(x, kernel, bias=None, *, contract=1, implementation="auto"):
    """Contracts the last `contract` axes of `x` with the first `contract` axes of `kernel`.

    Args:
      x: [..., in axes].
      kernel: [in axes, out axes], cast to the dtype of `x`.
      bias: [out axes] or None, cast to the dtype of `x`.
      contract: how many axes are contracted, for example 2 for `nh` in `btnh,nhd->btd`.
      implementation: "plain" differentiates the contraction as JAX does; "fused" computes the
        kernel's gradient as one product over the token axis of both operands, without the
        transposed copy that XLA:CPU makes of it (reverse mode only); "auto" is "fused" on a CPU.

    Returns:
      [..., out axes] in the dtype of `x`.

    Raises:
      ValueError: if the contracted axes differ, or for an unknown implementation.
    """
    in_axes, out_axes = kernel.shape[:contract], kernel.shape[contract:]
    if x.shape[x.ndim - contract :] != in_axes:
        raise ValueError(f"dense: x {x.shape} does not end in the kernel's input axes {in_axes}")
    kernel = kernel.astype(x.dtype)
    if implementation == "auto":
        implementation = "fused" if jax.default_backend() == "cpu" else "plain"
    if implementation == "plain":
        y = jnp.tensordot(x, kernel, axes=contract)
    elif implementation == "fused":
        batch_axes = x.shape[: x.ndim - contract]
        x_mk = x.reshape(-1, math.prod(in_axes))
        y_mn = _matmul(x_mk, kernel.reshape(math.prod(in_axes), math.prod(out_axes)))
        y = y_mn.reshape(*batch_axes, *out_axes)
    else:
        raise ValueError(f"dense: unknown implementation {implementation!r}")
    return y if bias is None else y + bias.astype(x.dtype)


def _product(x_mk, w_kn):
    return jax.lax.dot_general(x_mk, w_kn, (((1,), (0,)), ((), ())))


_matmul = jax.custom_vjp(_product)


def _matmul_forward(x_mk, w_kn):
    # The plain product, since a checkpoint policy cannot see into a custom rule.
    return _product(x_mk, w_kn), (x_mk, w_kn)


def _matmul_backward(residuals, g_mn):
    x_mk, w_kn = residuals
    dx_mk = jax.lax.dot_general(g_mn, w_kn, (((1,), (1,)), ((), ())))
    dw_kn = jax.lax.dot_general(x_mk, g_mn, (((0,), (0,)), ((), ())))
    return dx_mk, dw_kn


_matmul.defvjp(_matmul_forward, _matmul_backward)
