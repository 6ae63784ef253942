"""The last stage of the data line: documents to tokens of a training and a held-out split."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxlm.data.documents import Document
from jaxlm.data.shards import MANIFEST, TokenShards, TokenWriter, open_tokens
from jaxlm.data.stages import (
    Engine,
    Progress,
    Unit,
    check_file,
    in_process,
    read_manifest,
    run_stage,
)
from jaxlm.data.store import open_store, read_unit
from jaxlm.errors import InputError
from jaxlm.tokenizers.base import Tokenizer, document_ends, load_tokenizer

SPLITS = ("train", "heldout")
_BATCH = 1_000_000  # characters that are encoded together
_Part = tuple[str, str, str]  # which document, name of the split, text


@dataclasses.dataclass(frozen=True)
class Split:
    """Which documents, or parts of long ones, are held out.

    Attributes:
      heldout_fraction: parts whose rank in [0, 1) is at most this are held out.
      seed: of the rank, a hash of (seed, source, identifier, number of the part).
      part_characters: longer documents are divided into parts of at most so many characters; None
        divides none.
    """

    heldout_fraction: float
    seed: int
    part_characters: int | None = None

    def parts(self, document: Document) -> Iterator[tuple[str, str]]:
        """(name of the split, text) of every part of a document; together they are its text."""
        for rank, text in self.ranks(document):
            yield ("train" if rank > self.heldout_fraction else "heldout"), text

    def ranks(self, document: Document) -> Iterator[tuple[float, str]]:
        """(rank, text) of every part of a document."""
        limit = self.part_characters or len(document.text)
        for number, part in enumerate(divide(document.text, limit)):
            key = json.dumps([self.seed, document.source, document.identifier, number]).encode()
            digest = hashlib.blake2b(key, digest_size=6).digest()
            yield int.from_bytes(digest, "big") / 2**48, part


def divide(text: str, limit: int) -> Iterator[str]:
    """Parts of at most `limit` characters that together are `text`.

    They end with a paragraph, else a line, else a word, where one ends in the second half.
    """
    start = 0
    while len(text) - start > limit:
        middle, end = start + limit // 2, start + limit
        for mark in ("\n\n", "\n", " "):
            found = text.rfind(mark, middle, end)
            if found >= 0:
                end = found + len(mark)
                break
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def tokenize_store(
    store_directory: str | Path,
    directory: str | Path,
    tokenizer_directory: str | Path,
    split: Split,
    *,
    engine: Engine = in_process,
    part: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
) -> dict[str, Any] | None:
    """Writes the tokens of a store; returns the manifest, or None if other parts are missing.

    Each shard becomes token files (`jaxlm.data.shards`) of both splits. Its statistics: for
    "train" and "heldout" the "documents" (parts), "tokens", "bytes" and "characters".

    Raises:
      InputError: no store or tokenizer, a directory of other settings, or a document that the
        tokenizer has no ids for.
      DamageError: a shard of the store is damaged.
    """
    store = open_store(store_directory)
    tokenizer = load_tokenizer(tokenizer_directory)
    return run_stage(
        directory,
        store.units,
        functools.partial(tokenize_unit, str(tokenizer_directory), split),
        stage="tokenize",
        settings={**dataclasses.asdict(split), "tokenizer": tokenizer.fingerprint},
        engine=engine,
        part=part,
        progress=progress,
    )


def tokenize_unit(
    tokenizer_directory: str, split: Split, unit: Unit, directory: Path
) -> dict[str, Any]:
    """The tokens of one shard: the work of the stage."""
    tokenizer = _loaded(tokenizer_directory)
    begin, end = document_ends(tokenizer)
    writers = {
        name: TokenWriter(directory / name, tokenizer.vocab_size, tokenizer.fingerprint)
        for name in SPLITS
    }
    characters = dict.fromkeys(SPLITS, 0)
    parts = (
        (f"{document.source} {document.identifier}", *part)
        for document in read_unit(unit)
        for part in split.parts(document)
    )
    for batch in _batches(parts):
        for (_, name, text), ids in zip(batch, _encoded(tokenizer, batch), strict=True):
            characters[name] += len(text)
            writers[name].add(begin + ids + end, len(text.encode()))
    for writer in writers.values():
        writer.finish()
    return {
        name: {
            "documents": writer.documents,
            "tokens": writer.tokens,
            "bytes": writer.bytes,
            "characters": characters[name],
        }
        for name, writer in writers.items()
    }


def open_token_store(directory: str | Path, split: str, *, verify: bool = False) -> TokenShards:
    """The tokens of one split of all shards, as if they were one file; nothing is copied.

    In memory are 8 bytes for each document; the tokens stay in the files.

    Args:
      directory: that `tokenize_store` wrote.
      split: "train" or "heldout".
      verify: compares checksums.

    Raises:
      InputError: no finished tokens, or a shard of another tokenizer.
      DamageError: a file is missing or damaged.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    if manifest["stage"] != "tokenize":
        raise InputError(f"{directory} holds no tokens, it is of the stage {manifest['stage']!r}")
    shards = [directory / about["name"] / split for about in manifest["shards"]]
    tokens = open_tokens(*shards, verify=verify, tokenizer=manifest["settings"]["tokenizer"])
    for path, about in zip(shards, manifest["shards"], strict=True):
        # It holds the checksums of the others.
        check_file(path / MANIFEST, about["files"][f"{split}/{MANIFEST}"], verify=True)
    return tokens


@functools.lru_cache(maxsize=1)
def _loaded(directory: str) -> Tokenizer:
    """Once in each process."""
    return load_tokenizer(directory)


def _encoded(tokenizer: Tokenizer, parts: Sequence[_Part]) -> list[list[int]]:
    try:
        return tokenizer.encode_batch([text for *_, text in parts])
    except InputError:
        for document, _, text in parts:
            try:
                tokenizer.encode(text)
            except InputError as error:
                raise InputError(f"{document}: {error}") from None
        raise


def _batches(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    batch: list[_Part] = []
    characters = 0
    for part in parts:
        batch.append(part)
        characters += len(part[-1])
        if characters >= _BATCH:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
