"""Recurrent cells against PyTorch's values, loops in float64 NumPy, and plain autodiff."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlm import functional
from jaxlm.functional.recurrent import (
    CELLS,
    GATES,
    initial_state,
    read_state,
    segment_starts,
    write_states,
)

EVERY_CELL = pytest.mark.parametrize("cell", sorted(CELLS))


def wave(shape, phase):
    return np.sin(np.arange(np.prod(shape)) * 1.3 + phase).reshape(shape)


def draw(cell, b=2, t=4, d=3, f=2):
    g = GATES[cell]
    p = {
        "input": wave((d, g, f), 0.0),
        "recurrent": wave((f, g, f), 1.0),
        "bias": wave((g, f), 2.0),
    }
    if cell == "gru":
        p["recurrent_bias"] = wave((f,), 3.0)
    state = (wave((b, f), 5.0), wave((b, f), 6.0))[: 2 if cell == "lstm" else 1]
    return p, wave((b, t, d), 4.0), state


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_loops(cell, p, x, state, starts):
    """The equations, one row, token and gate at a time, in float64."""
    b, t, _ = x.shape
    f = p["bias"].shape[1]
    outputs = np.zeros((b, t, f))
    for row in range(b):
        h, c = state[0][row], state[-1][row]
        for at in range(t):
            if starts[row, at]:
                h, c = np.zeros(f), np.zeros(f)
            wx = [x[row, at] @ p["input"][:, g] + p["bias"][g] for g in range(GATES[cell])]
            uh = [h @ p["recurrent"][:, g] for g in range(GATES[cell])]
            if cell == "rnn":
                h = np.tanh(wx[0] + uh[0])
            elif cell == "gru":
                r, z = sigmoid(wx[0] + uh[0]), sigmoid(wx[1] + uh[1])
                h = (1 - z) * np.tanh(wx[2] + r * (uh[2] + p["recurrent_bias"])) + z * h
            else:
                i, forget, o = (sigmoid(wx[g] + uh[g]) for g in (0, 1, 3))
                c = forget * c + i * np.tanh(wx[2] + uh[2])
                h = o * np.tanh(c)
            outputs[row, at] = h
    return outputs


# torch.nn.RNN, GRU and LSTM (PyTorch 2.13, float64) with the weights of `draw`: the second row's
# outputs, and of the sum of all squared outputs the gradients of the last gate's recurrent
# kernel and of the first token.
PYTORCH = {
    "rnn": (
        [[0.972830512765, 0.074024638774], [0.663695850278, -0.064881473852],
         [0.973567715671, 0.83713851585], [0.860580767314, -0.701960475709]],
        [[2.614129974369, -0.664575295736], [0.780088677091, -1.982037027774]],
        [-1.079604150357, 0.721835093884, -0.157460597116],
    ),
    "gru": (
        [[0.742252412646, 0.929525666407], [0.983426640025, 0.641340731873],
         [0.078620897318, 0.700805041972], [0.940342920589, 0.828571755612]],
        [[1.128499818632, 1.355573758541], [0.740991661845, 0.780847562211]],
        [-0.498542013648, 0.661522360045, 0.569927447943],
    ),
    "lstm": (
        [[0.11170493365, 0.054178700484], [0.145264204637, 0.026915271536],
         [0.074382233605, 0.226548533827], [0.127388736314, 0.106204012241]],
        [[-0.005993919158, 0.005972260673], [0.019114400301, 0.011245876029]],
        [0.02291464281, -0.030955999487, 0.01181701396],
    ),
}  # fmt: skip


@EVERY_CELL
def test_pytorch_gives_the_same(cell):
    outputs, of_kernel, of_input = PYTORCH[cell]
    with jax.enable_x64(True):
        p, x, state = draw(cell)

        def loss(p, x):
            found = functional.recurrent(p, x, cell=cell, state=state)[0]
            return jnp.sum(found**2), found

        p, x, state = jax.tree.map(jnp.asarray, (p, x, state))
        (_, found), (d_p, d_x) = jax.value_and_grad(loss, (0, 1), has_aux=True)(p, x)
        np.testing.assert_allclose(found[1], outputs, atol=1e-11)
        np.testing.assert_allclose(d_p["recurrent"][:, -1], of_kernel, atol=1e-11)
        np.testing.assert_allclose(d_x[0, 0], of_input, atol=1e-11)


def test_one_step_by_hand():
    # All pre-activations are 0 but the candidate's: every gate is 1/2.
    x, h = jnp.zeros((1, 4, 1)).at[0, 2].set(jnp.arctanh(0.5)), jnp.zeros((1, 4, 1))
    new_h, new_c = functional.lstm_cell(x, h, (jnp.ones((1, 1)), jnp.full((1, 1), 0.6)))
    assert float(new_c[0, 0]) == pytest.approx(0.5 * 0.6 + 0.5 * 0.5)
    assert float(new_h[0, 0]) == pytest.approx(0.5 * np.tanh(0.55))
    # r = 1/2 of U h + b = 2 arctanh(0.5): the candidate is 0.5; z = 1/2 keeps half of 0.8.
    x, h = jnp.zeros((1, 3, 1)), jnp.zeros((1, 3, 1)).at[0, 2].set(2 * jnp.arctanh(0.5))
    (new_h,) = functional.gru_cell(x, h, (jnp.full((1, 1), 0.8),))
    assert float(new_h[0, 0]) == pytest.approx(0.5 * 0.5 + 0.5 * 0.8)


@EVERY_CELL
def test_documents_in_a_row_against_loops(cell):
    p, x, state = draw(cell, b=3, t=9, d=4, f=5)
    segments = np.array([[1] * 9, [1] * 4 + [2] * 3 + [0] * 2, [3, 1, 2, 2, 2, 7, 7, 7, 8]])
    starts = segment_starts(jnp.asarray(segments))
    assert starts.astype(int).tolist() == [
        [0] * 9, [0, 0, 0, 0, 1, 0, 0, 1, 0], [0, 1, 1, 0, 0, 1, 0, 0, 1]
    ]  # fmt: skip
    expected = by_loops(cell, p, x, state, np.asarray(starts))
    arguments = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (p, x, state))
    found, states = jax.jit(
        lambda p, x, state: functional.recurrent(p, x, cell=cell, state=state, starts_bt=starts)
    )(*arguments)
    chex.assert_shape(states, (3, 9, 5))
    np.testing.assert_allclose(found, expected, atol=1e-6)  # float32, 9 steps
    np.testing.assert_array_equal(found, states[0])


@EVERY_CELL
def test_gradients_equal_those_of_an_unrolled_loop(cell):
    with jax.enable_x64(True):
        p, x, state = jax.tree.map(jnp.asarray, draw(cell, b=2, t=6, d=3, f=4))
        starts = jnp.asarray([[0, 0, 1, 0, 0, 1], [1, 0, 0, 0, 0, 0]], bool)
        weights = jnp.asarray(wave((2, 6, 4), 7.0))

        def unrolled(p, x, state):
            total, last = 0.0, None
            for at in range(6):
                state = tuple(jnp.where(starts[:, at, None], 0, a) for a in state)
                wx = jnp.einsum("bd,dgf->bgf", x[:, at], p["input"]) + p["bias"]
                uh = jnp.einsum("bh,hgf->bgf", state[0], p["recurrent"])
                if cell == "gru":
                    uh = uh.at[:, 2].add(p["recurrent_bias"])
                state = CELLS[cell](wx, uh, state)
                total, last = total + jnp.sum(weights[:, at] * state[0]), state[-1]
            return total + jnp.sum(last**2)

        def scanned(p, x, state):
            found, states = functional.recurrent(p, x, cell=cell, state=state, starts_bt=starts)
            return jnp.sum(weights * found) + jnp.sum(states[-1][:, -1] ** 2)

        expected = jax.jit(jax.value_and_grad(unrolled, (0, 1, 2)))(p, x, state)
        found = jax.jit(jax.value_and_grad(scanned, (0, 1, 2)))(p, x, state)
        chex.assert_trees_all_close(found, expected, rtol=1e-12, atol=1e-13)


@EVERY_CELL
def test_bfloat16_inputs_keep_a_float32_state(cell):
    p, x, state = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), draw(cell, t=20, f=8))
    wide, _ = functional.recurrent(p, x, cell=cell, state=state)
    narrow, states = functional.recurrent(p, x.astype(jnp.bfloat16), cell=cell, state=state)
    assert narrow.dtype == jnp.bfloat16
    assert {a.dtype.name for a in states} == {"float32"}
    # 8 bits of mantissa in every pre-activation of 20 steps.
    np.testing.assert_allclose(narrow.astype(jnp.float32), wide, atol=0.1)
    gradient = jax.grad(
        lambda p: jnp.sum(
            functional.recurrent(p, x.astype(jnp.bfloat16), cell=cell)[0].astype(jnp.float32)
        )
    )(p)
    assert {a.dtype.name for a in jax.tree.leaves(gradient)} == {"float32"}
    chex.assert_tree_all_finite(gradient)


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_the_ring_gives_back_the_state_before_each_position(slots):
    new = (jnp.arange(2 * 7 * 1.0).reshape(2, 7, 1) + 1,)
    empty = (jnp.full((2, slots, 1), -1.0),)
    ring = write_states(empty, new, jnp.asarray([0, 5]))
    for back in range(min(slots, 7)):
        found = read_state(ring, jnp.asarray([7, 12]) - back)
        np.testing.assert_array_equal(found[0], new[0][:, 6 - back])
    np.testing.assert_array_equal(read_state(ring, jnp.asarray([0, 0]))[0], jnp.zeros((2, 1)))


def test_what_does_not_fit_is_refused():
    p, x, _ = draw("gru")
    with pytest.raises(ValueError, match="unknown cell 'elman'; known are rnn, gru, lstm"):
        functional.recurrent(p, jnp.asarray(x), cell="elman")
    assert [a.shape for a in initial_state("lstm", 2, 3)] == [(2, 3), (2, 3)]
