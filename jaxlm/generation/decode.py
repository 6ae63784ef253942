"""Token-level generation: prefill the prompts, then one token per row and iteration."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlm import functional
from jaxlm.errors import InputError
from jaxlm.models.decoder import Cache, Decoder, init_cache, unembedding, unstack


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
    """How the next token is chosen, in this order: temperature, top-k, top-p, min-p."""

    temperature: float = 1.0
    """0 takes the most probable token."""
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None

    def problems(self) -> list[str]:
        """What is wrong with the fields."""
        checks = (
            (self.temperature >= 0, f"--temperature {self.temperature}: must not be negative"),
            (self.top_k is None or self.top_k >= 1, f"--top-k {self.top_k}: must be at least 1"),
            (
                self.top_p is None or 0 < self.top_p <= 1,
                f"--top-p {self.top_p}: must lie in (0, 1]",
            ),
            (
                self.min_p is None or 0 <= self.min_p <= 1,
                f"--min-p {self.min_p}: must lie in [0, 1]",
            ),
        )
        return [message for holds, message in checks if not holds]


class Decoding(NamedTuple):
    """The state of a generation, and its result.

    Attributes:
      made: int32, tokens generated per row so far (finished rows hold their place).
      tokens_bn: int32, the generated tokens; the end-of-text token is included.
      mask_bn: bool, True for generated tokens, end-of-text included; False after it.
      logprobs_bn: float32, log-probability of each token at the sampling temperature, before
        top-k, top-p and min-p (at temperature 0: of the unscaled logits).
      finished_b: bool, whether the row ended with end-of-text.
      logits_bv: for the next token.
      lengths_b: int32, prompt and generated tokens of each row that are in the cache.
      keys_b: one JAX key per row, so that no row depends on its neighbours.
      cache: of the decoder.
    """

    made: jax.Array
    tokens_bn: jax.Array
    mask_bn: jax.Array
    logprobs_bn: jax.Array
    finished_b: jax.Array
    logits_bv: jax.Array
    lengths_b: jax.Array
    keys_b: jax.Array
    cache: Cache


class Generator(NamedTuple):
    """Jitted functions of one decoder.

    Attributes:
      prefill: (params, prompt_bt, lengths_b, key, max_new_tokens=, cache_length=) -> Decoding.
      advance: (params, decoding, until, temperature, top_p, min_p, top_k=, end_id=) -> Decoding
        with `until` tokens made, or fewer when every row has finished. `until` may vary without
        compiling again, so the same program streams and runs to the end.
    """

    prefill: Callable[..., Decoding]
    advance: Callable[..., Decoding]


def make_generator(model: Decoder) -> Generator:
    """Jits prefill and decoding for a decoder; the cache is donated."""

    def prefill(params, prompt_bt, lengths_b, key, *, max_new_tokens, cache_length):
        b = prompt_bt.shape[0]
        cache = init_cache(model.config, b, cache_length)
        output: Any = model.apply({"params": params}, prompt_bt, cache=cache)
        last_b1d = jnp.take_along_axis(output.hidden_btd, (lengths_b - 1)[:, None, None], axis=1)
        logits_b1v = functional.unembed(
            last_b1d,
            unembedding(params),
            vocab_size=model.config.vocab_size,
            softcap=model.config.logit_softcap,
        )
        shape = (b, max_new_tokens)
        return Decoding(
            made=jnp.zeros((), jnp.int32),
            tokens_bn=jnp.zeros(shape, jnp.int32),
            mask_bn=jnp.zeros(shape, bool),
            logprobs_bn=jnp.zeros(shape, jnp.float32),
            finished_b=jnp.zeros(b, bool),
            logits_bv=logits_b1v[:, 0],
            lengths_b=lengths_b,
            keys_b=jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(b)),
            cache=output.cache,
        )

    def advance(params, decoding, until, temperature, top_p, min_p, *, top_k, end_id):
        def body(d):
            keys_b = jax.vmap(jax.random.fold_in, (0, None))(d.keys_b, d.made)
            token_b = functional.sample(
                keys_b, d.logits_bv, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p
            )
            scaled_bv = d.logits_bv / jnp.where(temperature > 0, temperature, 1.0)
            logprob_b = jnp.take_along_axis(
                jax.nn.log_softmax(scaled_bv, axis=-1), token_b[:, None], axis=-1
            )[:, 0]
            active_b = ~d.finished_b
            finished_b = d.finished_b
            if end_id is not None:
                finished_b |= active_b & (token_b == end_id)
            output: Any = model.apply(
                {"params": params},
                token_b[:, None],
                positions_bt=d.lengths_b[:, None],
                cache=d.cache,
            )

            def put(buffer_bn, value_b, otherwise):
                value_b = jnp.where(active_b, value_b, otherwise).astype(buffer_bn.dtype)
                return jax.lax.dynamic_update_slice_in_dim(
                    buffer_bn, value_b[:, None], d.made, axis=1
                )

            return Decoding(
                made=d.made + 1,
                tokens_bn=put(d.tokens_bn, token_b, 0),
                mask_bn=put(d.mask_bn, active_b, False),
                logprobs_bn=put(d.logprobs_bn, logprob_b, 0.0),
                finished_b=finished_b,
                logits_bv=output.logits_btv[:, 0],
                # A finished row writes its ignored tokens over one slot, never past the cache.
                lengths_b=d.lengths_b + (active_b & ~finished_b),
                keys_b=d.keys_b,
                cache=output.cache,
            )

        def go_on(d):
            return (d.made < until) & ~jnp.all(d.finished_b)

        return jax.lax.while_loop(go_on, body, decoding)

    return Generator(
        prefill=jax.jit(prefill, static_argnames=("max_new_tokens", "cache_length")),
        advance=jax.jit(advance, static_argnames=("top_k", "end_id"), donate_argnums=1),
    )


# The same decoder compiles once per process, however often it is asked to generate.
cached_generator = functools.lru_cache(maxsize=8)(make_generator)


def decode(
    model: Decoder,
    params: Any,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    options: SamplingOptions,
    key: jax.Array,
    end_id: int | None = None,
    on_tokens: Callable[[np.ndarray, np.ndarray], None] | None = None,
    chunk: int = 8,
) -> Decoding:
    """Continues each prompt by up to `max_new_tokens` tokens.

    Prompts may differ in length; each row is what it would be alone.

    Args:
      model, params: a decoder and its parameters.
      prompts: token ids, at least one per prompt.
      max_new_tokens: per row, end-of-text included.
      options: how tokens are chosen.
      key: a JAX key.
      end_id: the end-of-text token, or None to go on to the limit.
      on_tokens: called after every `chunk` tokens with the new (tokens, mask) [b, n].
      chunk: tokens between calls of `on_tokens`.

    Returns:
      `Decoding`.

    Raises:
      InputError: for an empty prompt, bad options, or a prompt that with `max_new_tokens` exceeds
        the context.
    """
    problems = options.problems()
    context = model.config.context_length
    lengths = [len(prompt) for prompt in prompts]
    if max_new_tokens < 1:
        problems.append(f"--tokens {max_new_tokens}: must be at least 1")
    if not lengths or min(lengths) == 0:
        problems.append("the prompt is empty: give at least one token (or character)")
    elif max(lengths) + max_new_tokens > context:
        problems.append(
            f"the prompt of {max(lengths)} tokens and {max_new_tokens} new ones exceed the "
            f"model's context of {context}: shorten the prompt or ask for at most "
            f"{max(context - max(lengths), 0)} tokens"
        )
    if problems:
        raise InputError(problems)

    # Lengths in buckets bound the number of compiled programs.
    prompt_length = min(_bucket(max(lengths)), context)
    prompt_bt = np.zeros((len(prompts), prompt_length), np.int32)
    for row, prompt in zip(prompt_bt, prompts, strict=True):
        row[: len(prompt)] = prompt
    capacity = min(_bucket(max_new_tokens), context)
    generator = cached_generator(model)
    params = _unstack(params, model.config)
    decoding = generator.prefill(
        params,
        prompt_bt,
        np.asarray(lengths, np.int32),
        key,
        max_new_tokens=capacity,
        cache_length=min(_bucket(prompt_length + capacity), context),
    )
    until = 0
    while until < max_new_tokens:
        before = until
        until = max_new_tokens if on_tokens is None else min(until + chunk, max_new_tokens)
        decoding = generator.advance(
            params,
            decoding,
            until,
            options.temperature,
            options.top_p,
            options.min_p,
            top_k=options.top_k,
            end_id=end_id,
        )
        if on_tokens is not None:
            on_tokens(
                np.asarray(decoding.tokens_bn[:, before:until]),
                np.asarray(decoding.mask_bn[:, before:until]),
            )
            if bool(jnp.all(decoding.finished_b)):
                break
    return decoding._replace(
        tokens_bn=decoding.tokens_bn[:, :max_new_tokens],
        mask_bn=decoding.mask_bn[:, :max_new_tokens],
        logprobs_bn=decoding.logprobs_bn[:, :max_new_tokens],
    )


# Parameters that are one tree per layer already pass through without a copy.
_unstack = jax.jit(unstack, static_argnums=1)


def _bucket(length: int) -> int:
    """The next power of two from 32 on."""
    return max(32, 1 << (length - 1).bit_length())
