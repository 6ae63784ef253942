"""The data of a run: its corpus read, its tokenizer trained, its tokens written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from jaxlm.data.corpus import embedded_documents
from jaxlm.data.documents import Document
from jaxlm.data.prepare import PreparedData, prepare
from jaxlm.data.shards import MANIFEST
from jaxlm.data.sources import DocumentCounts, OptionNames, read_documents
from jaxlm.tokenizers.base import Tokenizer
from jaxlm.tokenizers.character import CharacterTokenizer
from jaxlm.tokenizers.sentencepiece import train_sentencepiece
from jaxlm.training.config import RunConfig
from jaxlm.training.config_file import to_dict
from jaxlm.training.run_directory import RunDirectory

_OPTIONS = OptionNames(
    corpus="--corpus",
    text_field="--data.text-field",
    encoding="--data.encoding",
    skip="with --data.on-error skip",
)


def prepare_data(config: RunConfig, directory: RunDirectory, console: Console) -> PreparedData:
    """The tokenizer and token files of a run, made now or found finished."""
    counts = DocumentCounts()
    documents: Iterable[Document]
    if (directory.data / MANIFEST).is_file():
        documents = ()  # prepared earlier; the corpus need not be there any more
    elif config.corpus:
        documents = read_documents(
            config.corpus,
            text_field=config.data.text_field,
            encoding=config.data.encoding,
            on_error=config.data.on_error,
            counts=counts,
            options=_OPTIONS,
        )
    else:
        documents = embedded_documents()

    def train_tokenizer(texts: Any) -> Tokenizer:
        if config.data.tokenizer == "character":
            characters: set[str] = set()
            for text in texts:
                characters.update(text)
            return CharacterTokenizer(characters, specials=True)
        return train_sentencepiece(
            texts, config.model.vocab_size, model_type=config.data.tokenizer, seed=config.seed
        )

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("reading the corpus")
        names = {
            "documents": "reading the corpus: {done:,} documents",
            "tokenizer": "training the tokenizer: {done:,} of {total:,} documents read",
            "tokens": "tokenising: {done:,} of {total:,} documents",
        }

        def progress(stage: str, done: int, total: int | None) -> None:
            bar.update(task, description=names[stage].format(done=done, total=total or 0))

        vocabulary = None if config.data.tokenizer == "character" else config.model.vocab_size
        prepared = prepare(
            documents,
            directory.data,
            train_tokenizer=train_tokenizer,
            settings={
                "corpus": list(config.corpus),
                "vocabulary": vocabulary,
                **{k: v for k, v in to_dict(config.data).items() if k != "heldout_fraction"},
            },
            context_length=config.model.context_length,
            seed=config.seed,
            heldout_fraction=config.data.heldout_fraction,
            counts=counts,
            progress=progress,
        )
    train, heldout, read = (prepared.manifest[name] for name in ("train", "heldout", "counts"))
    console.print(
        f"corpus: {read['kept']:,} documents ({read['duplicates']:,} duplicates, "
        f"{read['empty']:,} empty, {read['skipped']:,} unreadable left out); training "
        f"{train['tokens']:,} tokens, held out {heldout['tokens']:,} tokens in "
        f"{heldout['documents']:,} parts; {train['bytes'] / train['tokens']:.2f} bytes per token",
        highlight=False,
        soft_wrap=True,
    )
    return prepared
