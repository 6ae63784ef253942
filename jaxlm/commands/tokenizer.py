"""`jaxlm tokenizer`: train a tokenizer, compare several, look at the pieces of a text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, get_args

import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jaxlm.commands.options import READING, parse, run_action
from jaxlm.data.documents import Document
from jaxlm.data.sources import read_documents
from jaxlm.data.stages import MANIFEST
from jaxlm.data.store import open_store
from jaxlm.errors import InputError
from jaxlm.tokenizers.base import Tokenizer, save_tokenizer
from jaxlm.tokenizers.evaluation import TokenizerEvaluation, TokenizerScore, evaluate_tokenizers
from jaxlm.tokenizers.pretrained import read_pretrained
from jaxlm.tokenizers.train import Kind, train_tokenizer

DESCRIPTION = """Tokenizers: text to ids and back.

  train      from a corpus
  evaluate   several side by side: bytes per token, fertility, unknown, losses, by source
  show       the pieces of a text

example: jaxlm tokenizer train --corpus embedded --kind bpe --vocab-size 4096 --output tok/bpe
         jaxlm tokenizer evaluate tok/bpe --corpus embedded
         jaxlm tokenizer show tok/bpe "Hello, world"
`jaxlm tokenizer ACTION --help` lists the options.
"""
_TRAIN = """Train a tokenizer on a corpus. The same corpus and options give the same bytes.

Example: jaxlm tokenizer train --corpus my_texts/ --kind byte_bpe --vocab-size 8000 --output tok"""
_EVALUATE = """Compare tokenizers on a corpus.

Example: jaxlm tokenizer evaluate tok gpt2/tokenizer.json --corpus other_texts/"""
_SHOW = """Print the pieces of a text: id, piece, place in the text, bytes.

Example: jaxlm tokenizer show tok "naïve 😀" """
_MOST_SOURCES = 20


@dataclasses.dataclass(frozen=True)
class Corpus:
    """What is read."""

    corpus: tuple[str, ...]
    """Files, folders, globs, names of tensorflow-datasets, stores of documents, or `embedded`."""
    text_field: str = "text"
    encoding: str = "utf-8"
    on_error: Literal["stop", "skip"] = "stop"

    def documents(self) -> Iterator[Document]:
        """Every document: first those of stores, then all others."""
        stores = [entry for entry in self.corpus if (Path(entry) / MANIFEST).is_file()]
        others = [entry for entry in self.corpus if entry not in stores]
        for store in stores:
            yield from open_store(store).documents()
        if others or not stores:
            yield from read_documents(
                others,
                text_field=self.text_field,
                encoding=self.encoding,
                on_error=self.on_error,
                options=READING,
            )


@dataclasses.dataclass(frozen=True)
class Train(Corpus):
    """Arguments of `jaxlm tokenizer train`."""

    output: str = tyro.MISSING
    """The directory that is written."""
    kind: Kind = "bpe"
    """bpe and unigram are SentencePiece's; character and bytes have a vocabulary of their own."""
    vocab_size: int = 32_000
    max_characters: int = 100_000_000
    """Of a larger corpus a sample of this size is used."""
    seed: int = 0
    """Of the sample."""


@dataclasses.dataclass(frozen=True)
class Evaluate(Corpus):
    """Arguments of `jaxlm tokenizer evaluate`."""

    tokenizers: Annotated[tuple[str, ...], tyro.conf.Positional] = tyro.MISSING
    """Each a directory that `train` wrote, a run directory, a directory in the layout of Hugging
    Face, or a tokenizer.json, vocab.json (GPT-2), vocab.txt (BERT) or SentencePiece .model."""
    json: bool = False
    """Print one JSON object instead of tables."""


@dataclasses.dataclass(frozen=True)
class Show:
    """Arguments of `jaxlm tokenizer show`."""

    tokenizer: Annotated[str, tyro.conf.Positional]
    """As of `jaxlm tokenizer evaluate`."""
    text: Annotated[str, tyro.conf.Positional]
    allow_special: bool = False
    """Takes the spelling of a special token, such as </s>, for that token."""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    actions = {"train": train, "evaluate": evaluate, "show": show}
    return run_action("jaxlm tokenizer", DESCRIPTION, actions, arguments)


def train(arguments: Sequence[str]) -> int:
    """`jaxlm tokenizer train`."""
    options = parse(Train, arguments, program="jaxlm tokenizer train", description=_TRAIN)
    for name in ("vocab_size", "max_characters"):
        if getattr(options, name) < 1:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(f"{flag} {getattr(options, name)}: must be at least 1")
    assert options.kind in get_args(Kind)
    texts = (document.text for document in options.documents())
    try:
        tokenizer = train_tokenizer(
            options.kind,
            texts,
            options.vocab_size,
            seed=options.seed,
            max_characters=options.max_characters,
        )
    except InputError as error:
        problems = [p.replace("--model.vocab-size", "--vocab-size") for p in error.problems]
        raise InputError(problems) from None
    save_tokenizer(tokenizer, options.output)
    print(f"{options.output}: {options.kind}, {tokenizer.vocab_size:,} tokens")
    return 0


def evaluate(arguments: Sequence[str]) -> int:
    """`jaxlm tokenizer evaluate`."""
    options = parse(Evaluate, arguments, program="jaxlm tokenizer evaluate", description=_EVALUATE)
    if not options.tokenizers:
        raise InputError("TOKENIZERS: name at least one")
    tokenizers = {path: read_pretrained(path) for path in options.tokenizers}
    texts = ((_source(document), document.text) for document in options.documents())
    found = evaluate_tokenizers(tokenizers, texts)
    if options.json:
        print(json.dumps({name: one.metrics() for name, one in found.items()}))
        return 0
    console = Console()
    console.print(_totals(found))
    for table in _by_source(found):
        console.print(table)
    return 0


def show(arguments: Sequence[str]) -> int:
    """`jaxlm tokenizer show`."""
    options = parse(Show, arguments, program="jaxlm tokenizer show", description=_SHOW)
    tokenizer = read_pretrained(options.tokenizer)
    Console().print(pieces_table(tokenizer, options.text, allow_special=options.allow_special))
    return 0


def pieces_table(tokenizer: Tokenizer, text: str, *, allow_special: bool = False) -> Table:
    """A row for each id of `text`; places are left out where special tokens are allowed."""
    places: list[str]
    if allow_special:
        ids = tokenizer.encode(text, allow_special=True)
        places = [""] * len(ids)
    else:
        ids, offsets = tokenizer.encode_with_offsets(text)
        places = [f"{start}:{end}" for start, end in offsets]
    table = Table("id", "piece", "place", "bytes")
    for token_id, place in zip(ids, places, strict=True):
        piece = _visible(tokenizer.token_text(token_id))
        table.add_row(
            str(token_id), Text(piece), place, tokenizer.token_bytes(token_id).hex(" ").upper()
        )
    size = len(text.encode())
    table.caption = f"{len(ids):,} tokens, {len(text):,} characters, {size:,} bytes"
    return table


def _visible(text: str) -> str:
    """White space and control characters as something to see."""
    marks = {" ": "\u2423", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return "".join(marks.get(c, c if c.isprintable() else f"\\u{ord(c):04x}") for c in text)


def _source(document: Document) -> str:
    """The file, folder or data set; the files of a folder count together."""
    return document.source.split("/")[0]


def _row(score: TokenizerScore) -> list[str]:
    return [
        f"{score.tokens:,}",
        f"{score.bytes_per_token:.3f}",
        f"{score.fertility:.3f}",
        f"{score.unknown_rate:.3%}",
        f"{score.failures:,}",
    ]


_MEASURES = ("tokens", "bytes/token", "tokens/word", "unknown", "not as they were")


def _totals(found: dict[str, TokenizerEvaluation]) -> Table:
    total = next(iter(found.values())).total
    table = Table("tokenizer", "vocabulary", "of it used", *_MEASURES)
    table.title = f"{total.texts:,} documents, {total.bytes:,} bytes, {total.words:,} words"
    for name, one in found.items():
        used = f"{one.vocabulary_used:.1%}"
        table.add_row(Text(name), f"{one.vocab_size:,}", used, *_row(one.total))
    return table


def _by_source(found: dict[str, TokenizerEvaluation]) -> Iterator[Table]:
    """For each of the largest sources a table, if there are several sources."""
    first = next(iter(found.values())).by_source
    if len(first) < 2:
        return
    largest = sorted(first, key=lambda source: -first[source].bytes)[:_MOST_SOURCES]
    for source in largest:
        table = Table("tokenizer", *_MEASURES)
        table.title = f"{source}: {first[source].texts:,} documents"
        for name, one in found.items():
            table.add_row(Text(name), *_row(one.by_source[source]))
        yield table
