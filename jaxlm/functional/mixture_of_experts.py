"""Mixture of experts: routing, the experts' feed-forward networks, and the router's losses."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxlm.functional.feed_forward import feed_forward


class Routing(NamedTuple):
    """Which experts a token goes to, and with which weights."""

    logits: jax.Array
    """[..., e] in at least float32, for the router's losses."""
    weights: jax.Array
    """[..., c] in at least float32; the weight of each choice."""
    experts: jax.Array
    """int [..., c]; the choices, best first."""


def route(x, router_de, *, choices, normalize=True):
    """The `choices` most probable experts of every token (Shazeer et al. 2017, eq. 3 to 5).

    Args:
      x: [..., d].
      router_de: kernel of the router.
      choices: c, experts per token.
      normalize: whether the weights of a token sum to 1 (Mixtral), or stay the probabilities
        among all experts (Switch).

    Returns:
      `Routing`.
    """
    wide = jnp.promote_types(x.dtype, jnp.float32)
    logits = jnp.einsum("...d,de->...e", x, router_de.astype(x.dtype), preferred_element_type=wide)
    weights, experts = jax.lax.top_k(jax.nn.softmax(logits, axis=-1), choices)
    if normalize:
        weights = weights / jnp.sum(weights, axis=-1, keepdims=True)
    return Routing(logits, weights, experts)


def mixture_of_experts(
    p, x_btd, *, choices, activation, normalize=True, capacity=None, implementation="auto"
):
    """The weighted sum of the feed-forward networks that each token is routed to.

    Args:
      p: {"router": [d, e], "up": [e, d, f], "down": [e, f, d]}, with "gate": [e, d, f] for the
        gated forms.
      x_btd: inputs.
      choices, normalize: as in `route`.
      activation: as in `feed_forward`.
      capacity: None drops no token. With a factor, an expert takes at most
        ceil(factor * tokens * choices / e) choices of this batch, first choices before second
        ones and earlier tokens first; the others add nothing (Fedus et al. 2022, eq. 3; Lepikhin
        et al. 2021). Fixed shapes, one batched product.
      implementation: of the dropless form. "blocks" sorts the choices by expert and multiplies
        blocks of them with one expert each (Gale et al. 2023); "ragged" calls `jax.lax.ragged_dot`
        (on a CPU it multiplies with every expert); "dense" runs every expert on every token, the
        definition; "auto" is "blocks" on a CPU and "ragged" elsewhere.

    Returns:
      ([b, t, d] in the dtype of `x_btd`, router logits [b, t, e]).

    Raises:
      ValueError: for an unknown implementation, or more choices than experts.
    """
    b, t, d = x_btd.shape
    experts = p["router"].shape[1]
    if not 1 <= choices <= experts:
        raise ValueError(f"mixture_of_experts: {choices} choices among {experts} experts")
    routing = route(x_btd, p["router"], choices=choices, normalize=normalize)
    x_md = x_btd.reshape(-1, d)
    weights_mc = routing.weights.reshape(-1, choices)
    experts_mc = routing.experts.reshape(-1, choices)
    kernels = {name: kernel for name, kernel in p.items() if name != "router"}
    if implementation == "auto":
        implementation = "blocks" if jax.default_backend() == "cpu" else "ragged"
    if capacity is not None:
        slots = -int(-capacity * x_md.shape[0] * choices // experts)
        y_mcd = _in_slots(kernels, x_md, experts_mc, max(slots, 1), activation)
    elif implementation == "blocks":
        y_mcd = _in_blocks(kernels, x_md, experts_mc, activation)
    elif implementation == "ragged":
        y_mcd = _ragged(kernels, x_md, experts_mc, activation)
    elif implementation == "dense":
        x_emd = jnp.broadcast_to(x_md, (experts, *x_md.shape))
        every_emd = _expert_networks(kernels, x_emd, activation)
        y_mcd = every_emd[experts_mc, jnp.arange(x_md.shape[0])[:, None]]
    else:
        raise ValueError(f"mixture_of_experts: unknown implementation {implementation!r}")
    y_md = jnp.einsum("mcd,mc->md", y_mcd.astype(weights_mc.dtype), weights_mc)
    return y_md.astype(x_btd.dtype).reshape(b, t, d), routing.logits


def load_balance_loss(logits, experts, mask=None):
    """e * sum over experts of (share of the choices) * (mean probability).

    Fedus et al. 2022, eq. 4 to 6. 1 when both are uniform. The means are over the tokens given, so
    that splitting a batch into groups changes the value (and nothing else of the model).

    Args:
      logits: router logits [..., e].
      experts: int [..., c], the choices; or c, for the c largest logits.
      mask: [...] bool or 0/1, True for tokens that count; None counts all.

    Returns:
      (sum, count): count is the number of tokens, sum the loss times count.
    """
    e = logits.shape[-1]
    wide = jnp.promote_types(logits.dtype, jnp.float32)
    if isinstance(experts, int):
        experts = jax.lax.top_k(logits, experts)[1]
    mask = _counted(mask, logits.shape[:-1], wide)
    count = jnp.sum(mask)
    tokens = jnp.maximum(count, 1)
    chosen = jnp.mean(jax.nn.one_hot(experts, e, dtype=wide), axis=-2)
    share_e = jnp.einsum("...e,...->e", chosen, mask) / tokens
    probabilities = jax.nn.softmax(logits.astype(wide), axis=-1)
    probability_e = jnp.einsum("...e,...->e", probabilities, mask) / tokens
    return e * jnp.sum(share_e * probability_e) * count, count


def router_z_loss(logits, mask=None):
    """Squared log-sum-exp of the router logits (Zoph et al. 2022, eq. 5), summed over tokens.

    Args:
      logits: router logits [..., e].
      mask: [...] bool or 0/1, True for tokens that count; None counts all.

    Returns:
      (sum, count).
    """
    wide = jnp.promote_types(logits.dtype, jnp.float32)
    mask = _counted(mask, logits.shape[:-1], wide)
    squares = jnp.square(jax.nn.logsumexp(logits.astype(wide), axis=-1))
    return jnp.sum(squares * mask), jnp.sum(mask)


def _counted(mask, shape, dtype):
    return jnp.ones(shape, dtype) if mask is None else jnp.asarray(mask, bool).astype(dtype)


def _expert_networks(kernels, x_ecd, activation):
    """Each expert's network on its own rows [e, c, d]."""
    return jax.vmap(functools.partial(feed_forward, activation=activation))(kernels, x_ecd)


def _in_slots(kernels, x_md, experts_mc, slots, activation):
    """[m, c, d]; choices beyond an expert's slots give zeros."""
    e = kernels["up"].shape[0]
    flat_z = experts_mc.T.reshape(-1)  # every first choice before any second one
    one_hot_ze = jax.nn.one_hot(flat_z, e, dtype=jnp.int32)
    slot_z = jnp.sum((jnp.cumsum(one_hot_ze, axis=0) - 1) * one_hot_ze, axis=-1)
    rows_zd = jnp.tile(x_md, (experts_mc.shape[1], 1))
    x_esd = jnp.zeros((e, slots, x_md.shape[1]), x_md.dtype)
    x_esd = x_esd.at[flat_z, slot_z].set(rows_zd, mode="drop")
    y_esd = _expert_networks(kernels, x_esd, activation)
    y_zd = y_esd.at[flat_z, slot_z].get(mode="fill", fill_value=0)
    return y_zd.reshape(experts_mc.shape[1], *x_md.shape).swapaxes(0, 1)


def _sorted_choices(experts_mc, e):
    """Order of the flat choices by expert, and how many each expert has."""
    flat_z = experts_mc.reshape(-1)
    return jnp.argsort(flat_z, stable=True), jnp.bincount(flat_z, length=e)


def _in_blocks(kernels, x_md, experts_mc, activation):
    """[m, c, d]: choices sorted by expert, padded to whole blocks of one expert each."""
    e, z, c = kernels["up"].shape[0], experts_mc.size, experts_mc.shape[1]
    size = max(1, min(64, z // (2 * e)))
    blocks = z // size + min(e, z)  # at least the sum over experts of ceil(choices / size)
    order_z, counts_e = _sorted_choices(experts_mc, e)
    blocks_e = -(-counts_e // size)
    last_block_e = jnp.cumsum(blocks_e)
    expert_z = experts_mc.reshape(-1)[order_z]
    rank_z = jnp.arange(z) - (jnp.cumsum(counts_e) - counts_e)[expert_z]
    place_z = (last_block_e - blocks_e)[expert_z] * size + rank_z
    x_pd = jnp.zeros((blocks * size, x_md.shape[1]), x_md.dtype).at[place_z].set(x_md[order_z // c])
    # Blocks beyond the last one in use hold zeros, whichever expert they get.
    expert_b = jnp.clip(jnp.searchsorted(last_block_e, jnp.arange(blocks), side="right"), 0, e - 1)

    def block(inputs):
        x, expert = inputs
        kernel = {name: kernels[name][expert] for name in kernels}
        return feed_forward(kernel, x, activation=activation)

    y_pd = jax.lax.map(block, (x_pd.reshape(blocks, size, -1), expert_b)).reshape(x_pd.shape)
    y_zd = jnp.zeros((z, x_md.shape[1]), y_pd.dtype).at[order_z].set(y_pd[place_z])
    return y_zd.reshape(*experts_mc.shape, -1)


def _ragged(kernels, x_md, experts_mc, activation):
    """[m, c, d] by products of groups of unequal size."""
    e, c = kernels["up"].shape[0], experts_mc.shape[1]
    order_z, counts_e = _sorted_choices(experts_mc, e)

    def product(x_zi, kernel_eio, _):
        return jax.lax.ragged_dot(x_zi, kernel_eio.astype(x_zi.dtype), counts_e.astype(jnp.int32))

    sorted_zd = feed_forward(kernels, x_md[order_z // c], activation=activation, product=product)
    y_zd = jnp.zeros_like(sorted_zd).at[order_z].set(sorted_zd)
    return y_zd.reshape(*experts_mc.shape, -1)
