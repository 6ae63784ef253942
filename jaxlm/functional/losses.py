"""Losses of language modelling: each returns (sum, count), divided once per optimiser step."""

import functools

import jax
import jax.numpy as jnp


def cross_entropy(logits_btv, targets_bt, mask_bt=None):
    """Negative log-likelihood of the targets, in nats, summed over the counted tokens.

    Args:
      logits_btv: logits; entries of padded vocabulary rows are minus infinity.
      targets_bt: int token ids.
      mask_bt: bool or 0/1, True where the target counts; None counts all.

    Returns:
      (sum, count): scalars in at least float32; the mean is sum / count.
    """
    wide = jnp.promote_types(logits_btv.dtype, jnp.float32)
    logits_btv = logits_btv.astype(wide)
    log_normaliser = jax.nn.logsumexp(logits_btv, axis=-1)
    target_logit = jnp.take_along_axis(logits_btv, targets_bt[..., None], axis=-1)[..., 0]
    losses_bt = log_normaliser - target_logit
    if mask_bt is None:
        return jnp.sum(losses_bt), jnp.asarray(losses_bt.size, wide)
    # where, not a product: a masked token may have an infinite loss.
    mask_bt = jnp.asarray(mask_bt, bool)
    return jnp.sum(jnp.where(mask_bt, losses_bt, 0.0)), jnp.sum(mask_bt, dtype=wide)


def chunked_cross_entropy(
    hidden_btd, unembedding_vd, targets_bt, mask_bt=None, *, vocab_size=None, softcap=None
):
    """`cross_entropy(unembed(hidden), targets, mask)` without the [b, t, v] array of logits.

    The time axis is processed in chunks, each with the whole batch, so that a sharded batch stays
    sharded. Differentiating computes the gradients of a chunk together with its loss instead of
    recomputing its logits later.

    Args:
      hidden_btd: final hidden states.
      unembedding_vd: output embedding, cast to the dtype of `hidden_btd`; its gradient is summed
        in at least float32 and keeps its own dtype.
      targets_bt: int token ids.
      mask_bt: bool or 0/1, True where the target counts; None counts all.
      vocab_size: rows of `unembedding_vd` from here on are padding and get no probability.
      softcap: of the logits, as in `unembed`.

    Returns:
      (sum, count) as in `cross_entropy`.
    """
    b, t, _ = hidden_btd.shape
    v = unembedding_vd.shape[0]
    if mask_bt is None:
        mask_bt = jnp.ones((b, t), bool)
    wide = jnp.promote_types(hidden_btd.dtype, jnp.float32)
    mask_bt = mask_bt.astype(bool)
    count = jnp.sum(mask_bt, dtype=wide)
    if b * t == 0:
        return jnp.zeros((), wide), count
    chunk = _chunk_length(b, t, v)
    padding = -t % chunk  # of rows that no chunk length divides; masked
    hidden_btd = jnp.pad(hidden_btd, ((0, 0), (0, padding), (0, 0)))
    targets_bt, mask_bt = (
        jnp.pad(a, ((0, 0), (0, padding))) for a in (targets_bt, mask_bt.astype(bool))
    )
    static = (vocab_size or v, softcap, chunk)
    total = _chunked(static, hidden_btd, unembedding_vd, targets_bt, mask_bt)
    return total, count


def unembed(hidden_btd, unembedding_vd, *, vocab_size=None, softcap=None):
    """Logits [b, t, v] in at least float32; minus infinity from row `vocab_size` on.

    With `softcap` they become softcap * tanh(logits / softcap) (Gemma 2).
    """
    wide = jnp.promote_types(hidden_btd.dtype, jnp.float32)
    unembedding_vd = unembedding_vd.astype(hidden_btd.dtype)
    logits = jnp.einsum("btd,vd->btv", hidden_btd, unembedding_vd, preferred_element_type=wide)
    if softcap is not None:
        logits = softcap * jnp.tanh(logits / softcap)
    v = unembedding_vd.shape[0]
    if vocab_size is None or vocab_size == v:
        return logits
    return jnp.where(jnp.arange(v) < vocab_size, logits, -jnp.inf)


def _chunk_length(b, t, v):
    """Length of about equal chunks whose logits fit the platform (a CPU: its caches)."""
    most = 2**20 if jax.default_backend() == "cpu" else 2**28
    longest = max(most // (b * v), -(-128 // b), 1)  # but at least 128 tokens in a chunk
    return -(-t // -(-t // longest))


def _chunks(array_bt, chunk):
    """[b, t, ...] -> [t / chunk, b, chunk, ...]."""
    b, t = array_bt.shape[:2]
    return jnp.moveaxis(array_bt.reshape(b, t // chunk, chunk, *array_bt.shape[2:]), 1, 0)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _chunked(static, hidden_btd, unembedding_vd, targets_bt, mask_bt):
    vocab_size, softcap, chunk = static

    def step(total, inputs):
        hidden, targets, mask = inputs
        logits = unembed(hidden, unembedding_vd, vocab_size=vocab_size, softcap=softcap)
        return total + cross_entropy(logits, targets, mask)[0], None

    wide = jnp.promote_types(hidden_btd.dtype, jnp.float32)
    inputs = [_chunks(a, chunk) for a in (hidden_btd, targets_bt, mask_bt)]
    return jax.lax.scan(step, jnp.zeros((), wide), inputs)[0]


def _chunked_forward(static, hidden_btd, unembedding_vd, targets_bt, mask_bt):
    vocab_size, softcap, chunk = static
    wide = jnp.promote_types(hidden_btd.dtype, jnp.float32)

    def step(carry, inputs):
        total, d_unembedding = carry
        hidden, targets, mask = inputs
        logits = unembed(hidden, unembedding_vd, vocab_size=vocab_size, softcap=softcap)
        peak = jnp.max(logits, axis=-1, keepdims=True)
        weights = jnp.exp(logits - peak)
        normaliser = jnp.sum(weights, axis=-1, keepdims=True)
        target_logit = jnp.take_along_axis(logits, targets[..., None], axis=-1)
        losses = (jnp.log(normaliser) + peak - target_logit)[..., 0]
        total = total + jnp.sum(jnp.where(mask, losses, 0.0))
        is_target = jnp.arange(logits.shape[-1]) == targets[..., None]
        d_logits = jnp.where(mask[..., None], weights / normaliser - is_target, 0.0)
        if softcap is not None:  # minus infinity marks padding, whose weight is zero anyway
            capped = jnp.where(jnp.isfinite(logits), logits, 0.0)
            d_logits *= 1.0 - jnp.square(capped / softcap)
        d_logits = d_logits.astype(hidden.dtype)
        d_hidden = jnp.einsum("btv,vd->btd", d_logits, unembedding_vd.astype(hidden.dtype))
        d_unembedding = d_unembedding + jnp.einsum(
            "btv,btd->vd", d_logits, hidden, preferred_element_type=wide
        )
        return (total, d_unembedding), d_hidden

    inputs = [_chunks(a, chunk) for a in (hidden_btd, targets_bt, mask_bt)]
    start = (jnp.zeros((), wide), jnp.zeros(unembedding_vd.shape, wide))
    (total, d_unembedding), d_hidden = jax.lax.scan(step, start, inputs)
    d_hidden = jnp.moveaxis(d_hidden, 0, 1).reshape(hidden_btd.shape)
    return total, (d_hidden, d_unembedding.astype(unembedding_vd.dtype))


def _chunked_backward(static, residuals, g):
    d_hidden, d_unembedding = residuals
    return (
        d_hidden * g.astype(d_hidden.dtype),
        d_unembedding * g.astype(d_unembedding.dtype),
        None,
        None,
    )


_chunked.defvjp(_chunked_forward, _chunked_backward)
