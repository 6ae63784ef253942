"""Recurrent networks: cells for one step, and whole sequences by a scan over time.

A state is a tuple of arrays [b, f], the cell's output first: (h,), or (h, c) for the LSTM. It is
always passed explicitly, and kept in at least float32.
"""

import functools

import jax
import jax.numpy as jnp

from jaxlm.functional.linear import dense

# Gates per unit, in the order of the kernels' gate axis.
GATES = {"rnn": 1, "gru": 3, "lstm": 4}


def rnn_cell(x_bgf, h_bgf, state):
    """h' = tanh(W x + b + U h) (Elman 1990).

    Args:
      x_bgf: W x + b, [b, 1, f].
      h_bgf: U h, [b, 1, f].
      state: (h [b, f],).

    Returns:
      The new state, (h',).
    """
    return (jnp.tanh(x_bgf[:, 0] + h_bgf[:, 0]),)


def gru_cell(x_bgf, h_bgf, state):
    """The gated recurrent unit (Cho et al. 2014, eq. 5 to 8), in the form of cuDNN and PyTorch.

    r = sigmoid(x_r + h_r), z = sigmoid(x_z + h_z), n = tanh(x_n + r * h_n),
    h' = (1 - z) * n + z * h: the reset gate applies after the product with h, and z keeps the
    old state.

    Args:
      x_bgf: W x + b, [b, 3, f], in the order r, z, n.
      h_bgf: U h, [b, 3, f], with a bias of its own in n.
      state: (h [b, f],).

    Returns:
      The new state, (h',).
    """
    reset_bf = jax.nn.sigmoid(x_bgf[:, 0] + h_bgf[:, 0])
    keep_bf = jax.nn.sigmoid(x_bgf[:, 1] + h_bgf[:, 1])
    new_bf = jnp.tanh(x_bgf[:, 2] + reset_bf * h_bgf[:, 2])
    return ((1 - keep_bf) * new_bf + keep_bf * state[0],)


def lstm_cell(x_bgf, h_bgf, state):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate of Gers et al. 2000).

    i, f, o = sigmoid(x + h), g = tanh(x_g + h_g), c' = f * c + i * g, h' = o * tanh(c').

    Args:
      x_bgf: W x + b, [b, 4, f], in the order i, f, g, o.
      h_bgf: U h, [b, 4, f].
      state: (h [b, f], c [b, f]).

    Returns:
      The new state, (h', c').
    """
    gates_bgf = x_bgf + h_bgf
    write_bf = jax.nn.sigmoid(gates_bgf[:, 0])
    keep_bf = jax.nn.sigmoid(gates_bgf[:, 1])
    new_bf = jnp.tanh(gates_bgf[:, 2])
    read_bf = jax.nn.sigmoid(gates_bgf[:, 3])
    cell_bf = keep_bf * state[1] + write_bf * new_bf
    return (read_bf * jnp.tanh(cell_bf), cell_bf)


CELLS = {"rnn": rnn_cell, "gru": gru_cell, "lstm": lstm_cell}


def recurrent(p, x_btd, *, cell, state=None, starts_bt=None):
    """Runs a cell over a sequence.

    Differentiates in reverse mode only: the gradient of the recurrent kernel is one product over
    all tokens, not a sum of one per step.

    Args:
      p: {"input": W [d, g, f], "bias": b [g, f], "recurrent": U [f, g, f]}, and for "gru"
        "recurrent_bias" [f], of U h in the gate n; g gates in the order of the cell.
      x_btd: inputs.
      cell: "rnn", "gru" or "lstm".
      state: before the first token; None for zeros.
      starts_bt: bool, True where the state is zero before the token (a document begins).

    Returns:
      (outputs [b, t, f] in the dtype of `x_btd`, states after every token: a tuple of
      [b, t, f] in at least float32, the outputs first).

    Raises:
      ValueError: for an unknown cell.
    """
    if cell not in CELLS:
        raise ValueError(f"recurrent: unknown cell {cell!r}; known are {', '.join(CELLS)}")
    b, t = x_btd.shape[:2]
    gates, hidden = p["bias"].shape
    wide = jnp.promote_types(x_btd.dtype, jnp.float32)
    if state is None:
        state = initial_state(cell, b, hidden, wide)
    state = jax.tree.map(lambda a: a.astype(wide), state)
    if starts_bt is None:
        starts_bt = jnp.zeros((b, t), bool)
    recurrent_bias_gf = jnp.zeros((gates, hidden), wide)
    if "recurrent_bias" in p:
        recurrent_bias_gf = recurrent_bias_gf.at[-1].set(p["recurrent_bias"].astype(wide))

    # All inputs at once: one product of [b * t, d] instead of t of [b, d]. Batch first, since
    # rows of [t * b, d] could not stay divided over the devices of the batch.
    x_tbgf = jnp.moveaxis(dense(x_btd, p["input"], p["bias"]), 1, 0)
    kernel_fgh = p["recurrent"].astype(x_btd.dtype)
    states = _scan(cell, kernel_fgh, recurrent_bias_gf, x_tbgf, state, starts_bt.T)
    states = jax.tree.map(lambda a: jnp.moveaxis(a, 0, 1), states)
    return states[0].astype(x_btd.dtype), states


def initial_state(cell, batch, hidden, dtype=jnp.float32):
    """Zeros: (h,), or (h, c) for "lstm", each [batch, hidden]."""
    return tuple(jnp.zeros((batch, hidden), dtype) for _ in range(2 if cell == "lstm" else 1))


def segment_starts(segment_ids_bt):
    """bool [b, t]: where a segment other than that of the token before begins; False at 0."""
    return jnp.diff(segment_ids_bt, axis=1, prepend=segment_ids_bt[:, :1]) != 0


def read_state(states, positions_b):
    """The state before the token at each position, from a ring in which slot = position mod s.

    Args:
      states: tuple of [b, s, f].
      positions_b: int; position 0 has the zero state before it.

    Returns:
      A tuple of [b, f].
    """

    def read(ring_bsf):
        slots_b = (positions_b - 1) % ring_bsf.shape[1]
        state_bf = jnp.take_along_axis(ring_bsf, slots_b[:, None, None], axis=1)[:, 0]
        return jnp.where(positions_b[:, None] > 0, state_bf, 0)

    return jax.tree.map(read, states)


def write_states(states, new, positions_b):
    """Writes the states after t consecutive tokens per row into the ring.

    Args:
      states: tuple of [b, s, f]; of more than s tokens the last s are kept.
      new: tuple of [b, t, f].
      positions_b: int, of the first of the t tokens.

    Returns:
      The updated ring.
    """

    def write(ring_bsf, new_btf):
        b, s, _ = ring_bsf.shape
        t = new_btf.shape[1]
        slots_bt = (positions_b[:, None] + jnp.arange(t)) % s
        rows_b1 = jnp.arange(b)[:, None]
        kept = slice(max(t - s, 0), t)
        return ring_bsf.at[rows_b1, slots_bt[:, kept]].set(
            new_btf[:, kept].astype(ring_bsf.dtype), unique_indices=True
        )

    return jax.tree.map(write, states, new)


def _step(cell, kernel_fgh, recurrent_bias_gf, state, x_bgf, starts_b):
    """(the state before the token, U h, the state after it)."""
    state = jax.tree.map(lambda a: jnp.where(starts_b[:, None], 0, a), state)
    # Factors in the dtype of the inputs, the sum in at least float32.
    h_bf = state[0].astype(kernel_fgh.dtype)
    h_bgf = jnp.einsum("bf,fgh->bgh", h_bf, kernel_fgh, preferred_element_type=state[0].dtype)
    h_bgf += recurrent_bias_gf
    return state, h_bgf, CELLS[cell](x_bgf, h_bgf, state)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _scan(cell, kernel_fgh, recurrent_bias_gf, x_tbgf, state, starts_tb):
    """The states after every token, a tuple of [t, b, f]."""

    def body(state, inputs):
        _, _, state = _step(cell, kernel_fgh, recurrent_bias_gf, state, *inputs)
        return state, state

    return jax.lax.scan(body, state, (x_tbgf, starts_tb))[1]


def _scan_forward(cell, kernel_fgh, recurrent_bias_gf, x_tbgf, state, starts_tb):
    def body(state, inputs):
        before, h_bgf, state = _step(cell, kernel_fgh, recurrent_bias_gf, state, *inputs)
        return state, (before, h_bgf, state)

    _, (before, h_tbgf, states) = jax.lax.scan(body, state, (x_tbgf, starts_tb))
    return states, (kernel_fgh, x_tbgf, starts_tb, before, h_tbgf)


def _scan_backward(cell, residuals, d_states):
    kernel_fgh, x_tbgf, starts_tb, before, h_tbgf = residuals
    # Transposed once, not at every step: XLA:CPU needs 2.5 times as long for a transposed factor.
    kernel_ghf = jax.lax.optimization_barrier(kernel_fgh.transpose(1, 2, 0))

    def body(d_state, inputs):
        d_output, x_bgf, starts_b, state, h_bgf = inputs
        d_state = jax.tree.map(jnp.add, d_state, d_output)
        _, pull = jax.vjp(CELLS[cell], x_bgf, h_bgf, state)
        d_x_bgf, d_h_bgf, d_state = pull(d_state)
        d_h_bf = jnp.einsum(
            "bgh,ghf->bf",
            d_h_bgf.astype(kernel_ghf.dtype),
            kernel_ghf,
            preferred_element_type=d_h_bgf.dtype,
        )
        d_state = (d_state[0] + d_h_bf, *d_state[1:])
        d_state = jax.tree.map(lambda a: jnp.where(starts_b[:, None], 0, a), d_state)
        return d_state, (d_x_bgf, d_h_bgf)

    zero = jax.tree.map(lambda a: jnp.zeros_like(a[0]), d_states)
    d_state, (d_x_tbgf, d_h_tbgf) = jax.lax.scan(
        body, zero, (d_states, x_tbgf, starts_tb, before, h_tbgf), reverse=True
    )
    d_kernel_fgh = jnp.einsum(
        "tbf,tbgh->fgh",
        before[0].astype(kernel_fgh.dtype),
        d_h_tbgf.astype(kernel_fgh.dtype),
        preferred_element_type=d_h_tbgf.dtype,
    )
    d_bias_gf = jnp.sum(d_h_tbgf, axis=(0, 1))
    return d_kernel_fgh.astype(kernel_fgh.dtype), d_bias_gf, d_x_tbgf, d_state, None


_scan.defvjp(_scan_forward, _scan_backward)
