"""Position information: rotary and sinusoidal embeddings, slopes of linear biases."""

import math
from typing import NamedTuple

import jax.numpy as jnp


class RotaryScaling(NamedTuple):
    """How rotary frequencies are stretched to contexts longer than the one trained on."""

    kind: str
    """"linear" (Chen et al. 2023), "llama3" (Grattafiori et al. 2024) or "yarn" (Peng et al.
    2024)."""
    factor: float
    """Of the stretching."""
    original_length: int
    """Context before it; not read by "linear"."""
    low_rotations: float = 1.0
    """Frequencies with fewer rotations in the original context are divided by the factor."""
    high_rotations: float = 4.0
    """Frequencies with more stay as they are; between the two is a ramp."""
    magnitude: float = 1.0
    """Factor of the rotated vectors; YaRN has 0.1 ln(factor) + 1 (eq. 22)."""


def rotary(x_btnh, positions_bt, *, theta=10_000.0, scaling=None):
    """Rotary position embedding (Su et al. 2021, eq. 34), halves layout as in Llama weights.

    Channel i of the first half is rotated with channel i of the second half by the angle
    position * theta^(-2i/h). Angles are computed in at least float32: bfloat16 would round
    position 257 to 256.

    Args:
      x_btnh: queries or keys; h must be even.
      positions_bt: int positions, one per token.
      theta: the base of the frequencies.
      scaling: `RotaryScaling` or None.

    Returns:
      [b, t, n, h] in the dtype of `x_btnh`.

    Raises:
      ValueError: if h is odd.
    """
    head_dim = x_btnh.shape[-1]
    if head_dim % 2:
        raise ValueError(f"rotary: the head dimension must be even, got {head_dim}")
    wide = jnp.promote_types(x_btnh.dtype, jnp.float32)
    frequencies_f = rotary_frequencies(head_dim, theta=theta, scaling=scaling, dtype=wide)
    angles_bt1f = positions_bt[..., None, None].astype(wide) * frequencies_f
    cos, sin = jnp.cos(angles_bt1f), jnp.sin(angles_bt1f)
    if scaling is not None and scaling.magnitude != 1.0:
        cos, sin = cos * scaling.magnitude, sin * scaling.magnitude
    first, second = jnp.split(x_btnh.astype(wide), 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x_btnh.dtype)


def rotary_frequencies(head_dim, *, theta=10_000.0, scaling=None, dtype=jnp.float32):
    """theta^(-2i/h) for i < h/2, in radians per position, scaled if asked.

    With r the rotations of a frequency f within the original context: "linear" gives f / factor;
    "llama3" f where r >= high, f / factor where r <= low, and a blend linear in r between;
    "yarn" the same two ends with a blend linear in the channel i between the channels, rounded
    outwards, where r equals `high_rotations` and `low_rotations` (NTK by parts, eq. 17 to 19).

    Args:
      head_dim: h.
      theta: the base.
      scaling: `RotaryScaling` or None.
      dtype: of the result.

    Returns:
      [h / 2].

    Raises:
      ValueError: for an unknown kind of scaling.
    """
    frequencies = theta ** (-jnp.arange(0, head_dim, 2, dtype=dtype) / head_dim)
    if scaling is None:
        return frequencies
    kind, factor, length, low, high, _ = scaling
    slow = frequencies / factor
    if kind == "linear":
        return slow
    if kind == "llama3":
        kept = jnp.clip((length * frequencies / (2 * math.pi) - low) / (high - low), 0.0, 1.0)
    elif kind == "yarn":

        def channel(rotations):
            turns = length / (2 * math.pi * rotations)
            return head_dim * math.log(turns) / (2 * math.log(theta))

        first = max(math.floor(channel(high)), 0)
        last = min(math.ceil(channel(low)), head_dim - 1)
        channels = jnp.arange(head_dim // 2, dtype=dtype)
        kept = 1.0 - jnp.clip((channels - first) / max(last - first, 0.001), 0.0, 1.0)
    else:
        raise ValueError(f"rotary: unknown scaling {kind!r}; known are linear, llama3, yarn")
    return (1.0 - kept) * slow + kept * frequencies


def alibi_slopes(heads, *, dtype=jnp.float32):
    """Slopes of attention with linear biases (Press et al. 2022, section 3 and its code).

    For a power of two the geometric sequence from 2^(-8/n) with that ratio. Otherwise that of the
    next lower power of two, then every second slope of the next higher one.

    Returns:
      [n].
    """
    lower = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8.0 * (i + 1) / lower) for i in range(lower)]
    slopes += [2.0 ** (-4.0 * (2 * i + 1) / lower) for i in range(heads - lower)]
    return jnp.asarray(slopes, dtype)


def sinusoidal(positions_bt, width, *, dtype=jnp.float32):
    """Fixed sine and cosine positions (Vaswani et al. 2017, section 3.5).

    Channel 2i is sin(position / 10000^(2i/width)), channel 2i+1 the cosine of the same angle.

    Args:
      positions_bt: int positions.
      width: d, even.
      dtype: of the result; angles are computed in at least float32.

    Returns:
      [b, t, d].

    Raises:
      ValueError: if `width` is odd.
    """
    if width % 2:
        raise ValueError(f"sinusoidal: the width must be even, got {width}")
    wide = jnp.promote_types(dtype, jnp.float32)
    frequencies = 10_000.0 ** (-jnp.arange(0, width, 2, dtype=wide) / width)
    angles = positions_bt[..., None].astype(wide) * frequencies
    pairs = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return pairs.reshape(*positions_bt.shape, width).astype(dtype)
