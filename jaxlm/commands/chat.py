"""`jaxlm chat`: type, and the model goes on."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Annotated, Literal

import jax
import tyro

from jaxlm import platform
from jaxlm.commands.load import LoadedModel, load_model
from jaxlm.commands.options import parse, write_now
from jaxlm.errors import InputError
from jaxlm.generation import SamplingOptions, stream_text
from jaxlm.generation.text import encode_prompt

DESCRIPTION = """Talk with a trained model: it continues the text so far, your lines included.

Example: jaxlm chat runs/quickstart --temperature 0.7"""

HELP = """/reset            forget the text so far
/temperature T    0 always takes the most probable token
/tokens N         length of an answer, in tokens
/quit             leave (or Ctrl-D)"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Arguments of `jaxlm chat`."""

    run: Annotated[str, tyro.conf.Positional]
    """A run directory, or a checkpoint in it."""
    tokens: int | None = None
    """Length of an answer at most; by default 100, or half of the context."""
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = 0.95
    seed: int = 0
    platform: Literal["auto", "cpu", "gpu", "tpu"] = "auto"


class Conversation:
    """The text so far as tokens, and the settings of the answers."""

    def __init__(self, loaded: LoadedModel, options: Options):
        self._loaded = loaded
        self.sampling = SamplingOptions(options.temperature, options.top_k, options.top_p)
        self.length = min(100, self.context // 2) if options.tokens is None else options.tokens
        self._key = jax.random.key(options.seed)
        self._turns = 0
        self.reset()

    @property
    def context(self) -> int:
        """Tokens that the model can see."""
        return self._loaded.config.model.context_length

    def problems(self) -> list[str]:
        """What is wrong with the settings."""
        found = self.sampling.problems()
        if not 1 <= self.length < self.context:
            found.append(
                f"tokens {self.length}: must be at least 1 and below the context of {self.context}"
            )
        return found

    def reset(self) -> None:
        """Forgets the text so far."""
        self._tokens = encode_prompt(self._loaded.tokenizer, "")

    def answer(self, line: str) -> None:
        """Appends the line and streams the continuation."""
        loaded = self._loaded
        self._tokens += loaded.tokenizer.encode(line + "\n")
        room = self.context - self.length
        if len(self._tokens) > room:
            print(f"[only the last {room} tokens fit into the context of {self.context}]")
            self._tokens = self._tokens[-room:]
        self._turns += 1

        new = stream_text(
            loaded.model,
            loaded.params,
            loaded.tokenizer,
            self._tokens,
            max_new_tokens=self.length,
            options=self.sampling,
            key=jax.random.fold_in(self._key, self._turns),
            write=write_now,
        )
        if new and new[-1] == loaded.tokenizer.eos_id:
            new = new[:-1]
        self._tokens += new + loaded.tokenizer.encode("\n")
        write_now("\n")


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    options = parse(Options, arguments, program="jaxlm chat", description=DESCRIPTION)
    if not 0 <= options.seed < 2**32:
        raise InputError(f"--seed {options.seed}: must lie in [0, 2^32)")
    platform.configure(options.platform, log=lambda line: None)
    platform.check_devices(options.platform)
    loaded = load_model(options.run)
    conversation = Conversation(loaded, options)
    if problems := conversation.problems():
        raise InputError(problems)
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - line editing and history for input()
    print(f"{loaded.checkpoint}: a base model, it continues your text. /help lists commands.")
    while True:
        try:
            line = input("> ")
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print()
            continue
        if line.startswith("/"):
            if _command(conversation, line):
                return 0
        elif line.strip():
            try:
                conversation.answer(line)
            except KeyboardInterrupt:
                print("\n[stopped]")
            except InputError as error:
                print(f"[{error}]")


def _command(conversation: Conversation, line: str) -> bool:
    """Carries out a slash command; True to leave."""
    name, _, value = line.partition(" ")
    before = conversation.sampling, conversation.length
    try:
        if name in ("/quit", "/exit"):
            return True
        if name == "/reset":
            conversation.reset()
            print("[forgotten]")
        elif name == "/temperature":
            conversation.sampling = dataclasses.replace(
                conversation.sampling, temperature=float(value)
            )
        elif name == "/tokens":
            conversation.length = int(value)
        elif name == "/help":
            print(HELP)
        else:
            print(f"[unknown command {name}]\n{HELP}")
    except ValueError:
        print(f"[{name} takes a number, got {value!r}]")
    if problems := conversation.problems():
        conversation.sampling, conversation.length = before
        print(f"[{'; '.join(problems)}]")
    return False
