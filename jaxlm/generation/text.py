"""Generation of text: a tokenizer around `decode`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxlm.generation.decode import SamplingOptions, decode
from jaxlm.models.decoder import Decoder
from jaxlm.tokenizers.base import StreamDecoder, Tokenizer, document_ends


def encode_prompt(tokenizer: Tokenizer, prompt: str) -> list[int]:
    """Token ids of a prompt, after the beginning-of-text token where there is one."""
    return document_ends(tokenizer)[0] + tokenizer.encode(prompt)


def generate_text(
    model: Decoder,
    params: Any,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    *,
    max_new_tokens: int,
    options: SamplingOptions,
    key: jax.Array,
) -> list[str]:
    """The continuation of each prompt, without the prompt and without end-of-text.

    Raises:
      InputError: as `decode`.
    """
    decoding = decode(
        model,
        params,
        [encode_prompt(tokenizer, prompt) for prompt in prompts],
        max_new_tokens=max_new_tokens,
        options=options,
        key=key,
        end_id=tokenizer.eos_id,
    )
    rows = zip(np.asarray(decoding.tokens_bn), np.asarray(decoding.mask_bn), strict=True)
    return [tokenizer.decode([int(token) for token in row[mask]]) for row, mask in rows]


def stream_text(
    model: Decoder,
    params: Any,
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    *,
    max_new_tokens: int,
    options: SamplingOptions,
    key: jax.Array,
    write: Callable[[str], None],
) -> list[int]:
    """Continues one prompt of token ids, handing over text as soon as it is complete.

    Args:
      model, params, tokenizer: a decoder, its parameters and its tokenizer.
      prompt: token ids, for example from `encode_prompt`.
      max_new_tokens: end-of-text included.
      options: how tokens are chosen.
      key: a JAX key.
      write: called with pieces of text; a character that spans tokens is held back until whole.

    Returns:
      The generated token ids, end-of-text included.

    Raises:
      InputError: as `decode`.
    """
    decoder = StreamDecoder(tokenizer)
    generated: list[int] = []

    def on_tokens(tokens_bn: np.ndarray, mask_bn: np.ndarray) -> None:
        new = [int(token) for token in tokens_bn[0][mask_bn[0]]]
        generated.extend(new)
        write(decoder.push(new))

    decode(
        model,
        params,
        [prompt],
        max_new_tokens=max_new_tokens,
        options=options,
        key=key,
        end_id=tokenizer.eos_id,
        on_tokens=on_tokens,
    )
    write(decoder.finish())
    return generated
