"""`jaxlm evaluate`: loss, perplexity and bits per byte of a trained model on text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from jaxlm import platform
from jaxlm.commands.load import load_model
from jaxlm.commands.options import READING, parse
from jaxlm.data.loader import BatchLoader
from jaxlm.data.packing import plan_rows
from jaxlm.data.sources import read_documents
from jaxlm.errors import InputError
from jaxlm.evaluation.perplexity import evaluate, uniform_baseline
from jaxlm.tokenizers.base import document_ends
from jaxlm.training.step import make_loss_step, next_token_loss

DESCRIPTION = """Score a trained model on text that it has not seen.

Example: jaxlm evaluate runs/quickstart --corpus other_texts/"""


@dataclasses.dataclass(frozen=True)
class Options:
    """Arguments of `jaxlm evaluate`."""

    run: Annotated[str, tyro.conf.Positional]
    """A run directory, or a checkpoint in it."""
    corpus: tuple[str, ...]
    """Files, folders, globs or names of tensorflow-datasets."""
    text_field: str = "text"
    encoding: str = "utf-8"
    on_error: Literal["stop", "skip"] = "stop"
    batch_size: int = 16
    json: bool = False
    """Print one JSON object instead of a table."""
    platform: Literal["auto", "cpu", "gpu", "tpu"] = "auto"


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    options = parse(Options, arguments, program="jaxlm evaluate", description=DESCRIPTION)
    if options.batch_size < 1:
        raise InputError(f"--batch-size {options.batch_size}: must be at least 1")
    documents = read_documents(
        options.corpus,
        text_field=options.text_field,
        encoding=options.encoding,
        on_error=options.on_error,
        options=READING,
    )
    platform.configure(options.platform, log=lambda line: None)
    platform.check_devices(options.platform)
    loaded = load_model(options.run)
    tokenizer = loaded.tokenizer
    begin, end = document_ends(tokenizer)
    rows, size = [], 0
    for document in documents:
        rows.append(np.asarray(begin + tokenizer.encode(document.text) + end, np.int32))
        size += len(document.text.encode())
    loader = BatchLoader(
        np.concatenate(rows),
        plan_rows(np.asarray([len(row) for row in rows]), loaded.config.model.context_length),
        batch_size=options.batch_size,
        seed=0,
    )
    score = evaluate(
        make_loss_step(next_token_loss(loaded.model)),
        loaded.params,
        loader.evaluation_batches(options.batch_size),
        utf8_bytes=size,
    )
    uniform = uniform_baseline(score, tokenizer.vocab_size)
    if options.json:
        sizes = {"documents": len(rows), "tokens": score.tokens, "utf8_bytes": size}
        print(json.dumps({**score.metrics(), **sizes, "uniform": uniform.metrics()}))
        return 0
    table = Table(f"{len(rows):,} documents", "loss", "perplexity", "bits per byte")
    for name, metrics in (
        (str(loaded.checkpoint), score.metrics()),
        ("uniform baseline", uniform.metrics()),
    ):
        table.add_row(
            name, *(f"{metrics[k]:,.4f}" for k in ("loss", "perplexity", "bits_per_byte"))
        )
    Console().print(table)
    return 0
