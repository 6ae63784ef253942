"""Position information: rotary and sinusoidal."""

import jax.numpy as jnp


def rotary(x_btnh, positions_bt, *, theta=10_000.0):
    """Rotary position embedding (Su et al. 2021, eq. 34), halves layout as in Llama weights.

    Channel i of the first half is rotated with channel i of the second half by the angle
    position * theta^(-2i/h). Angles are computed in at least float32: bfloat16 would round
    position 257 to 256.

    Args:
      x_btnh: queries or keys; h must be even.
      positions_bt: int positions, one per token.
      theta: the base of the frequencies.

    Returns:
      [b, t, n, h] in the dtype of `x_btnh`.

    Raises:
      ValueError: if h is odd.
    """
    head_dim = x_btnh.shape[-1]
    if head_dim % 2:
        raise ValueError(f"rotary: the head dimension must be even, got {head_dim}")
    wide = jnp.promote_types(x_btnh.dtype, jnp.float32)
    frequencies = theta ** (-jnp.arange(0, head_dim, 2, dtype=wide) / head_dim)
    angles_bt1f = positions_bt[..., None, None].astype(wide) * frequencies
    cos, sin = jnp.cos(angles_bt1f), jnp.sin(angles_bt1f)
    first, second = jnp.split(x_btnh.astype(wide), 2, axis=-1)
    rotated = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return rotated.astype(x_btnh.dtype)


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
