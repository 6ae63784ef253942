"""`jaxlm generate`: continue a prompt, streaming to the terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

import jax
import tyro

from jaxlm import platform
from jaxlm.commands.load import load_model
from jaxlm.commands.options import parse, write_now
from jaxlm.errors import InputError
from jaxlm.generation import SamplingOptions, stream_text
from jaxlm.generation.text import encode_prompt

DESCRIPTION = """Continue a prompt with a trained model.

Example: jaxlm generate runs/quickstart --prompt "json.dumps(" --temperature 0.7"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Arguments of `jaxlm generate`."""

    run: Annotated[str, tyro.conf.Positional]
    """A run directory, or a checkpoint in it."""
    prompt: str = ""
    """The text to continue; without one, a document is begun."""
    tokens: int | None = None
    """New tokens at most; by default 200, or what the context leaves."""
    temperature: float = 0.8
    """0 always takes the most probable token."""
    top_k: int | None = None
    """Only the k most probable tokens."""
    top_p: float | None = 0.95
    """Only the most probable tokens that together reach this probability."""
    samples: int = 1
    seed: int = 0
    platform: Literal["auto", "cpu", "gpu", "tpu"] = "auto"


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    options = parse(Options, arguments, program="jaxlm generate", description=DESCRIPTION)
    sampling = SamplingOptions(options.temperature, options.top_k, options.top_p)
    problems = sampling.problems()
    if options.samples < 1:
        problems.append(f"--samples {options.samples}: must be at least 1")
    if options.tokens is not None and options.tokens < 1:
        problems.append(f"--tokens {options.tokens}: must be at least 1")
    if not 0 <= options.seed < 2**32:
        problems.append(f"--seed {options.seed}: must lie in [0, 2^32)")
    if problems:
        raise InputError(problems)
    platform.configure(options.platform, log=lambda line: None)
    platform.check_devices(options.platform)
    loaded = load_model(options.run)
    prompt = encode_prompt(loaded.tokenizer, options.prompt)
    tokens = options.tokens
    if tokens is None:
        tokens = max(1, min(200, loaded.config.model.context_length - len(prompt)))

    for number in range(options.samples):
        if number:
            write_now("\n---\n")
        write_now(options.prompt)
        stream_text(
            loaded.model,
            loaded.params,
            loaded.tokenizer,
            prompt,
            max_new_tokens=tokens,
            options=sampling,
            key=jax.random.fold_in(jax.random.key(options.seed), number),
            write=write_now,
        )
    write_now("\n")
    return 0
