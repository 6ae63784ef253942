"""Documents to a tokenizer and token files of a training and a held-out split."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxlm.data.deduplication import without_duplicates
from jaxlm.data.documents import Document
from jaxlm.data.shards import MANIFEST, TokenShards, TokenWriter, open_tokens
from jaxlm.data.sources import DocumentCounts
from jaxlm.errors import InputError, JaxlmError
from jaxlm.files import directory_atomic, write_atomic
from jaxlm.tokenizers.base import Tokenizer, document_ends, load_tokenizer, save_tokenizer

Progress = Callable[[str, int, int | None], None]
"""Called with the name of the stage, what is done of it, and of how much (if it is known)."""

_FORMAT = 1
_STORE = "documents.jsonl"
_SECTIONS = ("train", "heldout")


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """A finished directory: its tokenizer, its two splits, and the manifest's numbers.

    `manifest` holds "settings", "counts" (of `DocumentCounts`), and for "train" and "heldout" the
    "documents" (parts), "characters", "bytes" and "tokens".
    """

    directory: Path
    tokenizer: Tokenizer
    train: TokenShards
    heldout: TokenShards
    manifest: dict[str, Any]


def prepare(
    documents: Iterable[Document],
    directory: str | Path,
    *,
    train_tokenizer: Callable[[Iterable[str]], Tokenizer],
    settings: Mapping[str, Any],
    context_length: int,
    seed: int,
    heldout_fraction: float = 0.02,
    counts: DocumentCounts | None = None,
    progress: Progress | None = None,
) -> PreparedData:
    """Writes `directory` (atomically), or opens it if it was finished with the same settings.

    Exact duplicates are left out. Long documents are divided at the ends of paragraphs or lines
    into parts of at most min(32768, max(1024, total characters // 64)) characters, so that the
    held-out split of a small corpus is no single document; parts of one document may fall on both
    sides. A part is held out by a hash of (seed, source, identifier, part). The tokenizer sees
    training text only. Memory grows by 16 bytes for each document.

    Args:
      documents: read only if there is something to do.
      directory: gets `tokenizer/`, `train/`, `heldout/` and `manifest.json`.
      train_tokenizer: a tokenizer from the texts of the training split.
      settings: JSON values that tell these documents and this tokenizer from others.
      context_length: slots of a row; the training split must fill one.
      seed: of the split.
      heldout_fraction: share of the parts that is held out; at least one part always is.
      counts: those that `documents` fills in, to be completed and recorded.
      progress: is told about stages "documents", "tokenizer" and "tokens".

    Raises:
      InputError: too little text, or a directory of other settings.
      JaxlmError: the disk cannot be written.
    """
    directory = Path(directory)
    if not 0 < heldout_fraction < 1:
        raise InputError(
            f"--data.heldout-fraction {heldout_fraction}: a number between 0 and 1 is needed"
        )
    # Through JSON, to compare equal with what is read back (tuples become lists).
    identity = json.loads(json.dumps(dict(settings)))
    identity |= {"format": _FORMAT, "seed": seed, "heldout_fraction": heldout_fraction}
    if (directory / MANIFEST).is_file():
        return _reopen(directory, identity, context_length)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory} exists and holds other things; choose another directory")
    report = progress or (lambda stage, done, total: None)
    counts = counts or DocumentCounts()
    try:
        with directory_atomic(directory) as temporary:
            _write(documents, temporary, train_tokenizer, identity, context_length, counts, report)
    except OSError as error:
        raise JaxlmError(
            f"{directory} cannot be written ({error.strerror or error}); make room, or choose "
            "another directory"
        ) from None
    return open_prepared(directory)


def open_prepared(directory: str | Path, *, verify: bool = False) -> PreparedData:
    """Opens what `prepare` wrote; `verify` compares checksums.

    Raises:
      InputError: there is no finished directory.
      DamageError: token files are damaged.
    """
    directory = Path(directory)
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
        whole = {**manifest["settings"]} and all(manifest[n]["tokens"] for n in _SECTIONS)
    except (OSError, ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise InputError(
            f"{directory} is no finished prepared data (its {MANIFEST} is missing or damaged); "
            "delete the directory, and it is prepared again"
        )
    tokenizer = load_tokenizer(directory / "tokenizer")
    splits = {n: open_tokens(directory / n, verify=verify) for n in ("train", "heldout")}
    for name, split in splits.items():
        if split.tokenizer != tokenizer.fingerprint:
            raise InputError(f"{directory}: {name} is of another tokenizer; prepare it again")
    return PreparedData(directory, tokenizer, splits["train"], splits["heldout"], manifest)


def _reopen(directory: Path, settings: dict[str, Any], context_length: int) -> PreparedData:
    prepared = open_prepared(directory, verify=True)
    found = prepared.manifest["settings"]
    different = [
        f"{name} is {found.get(name)!r} there and {settings.get(name)!r} here"
        for name in sorted(found.keys() | settings.keys())
        if found.get(name) != settings.get(name)
    ]
    if different:
        raise InputError(
            f"{directory} was prepared with other settings ({'; '.join(different)}); choose "
            "another directory, or delete it"
        )
    _check_context(len(prepared.train.tokens), context_length)
    return prepared


def _write(
    documents: Iterable[Document],
    directory: Path,
    train_tokenizer: Callable[[Iterable[str]], Tokenizer],
    settings: dict[str, Any],
    context_length: int,
    counts: DocumentCounts,
    report: Progress,
) -> None:
    store = directory / _STORE
    characters = 0
    with store.open("w", encoding="utf-8") as file:
        for document in without_duplicates(documents, counts):
            record = [document.text, document.source, document.identifier]
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            characters += len(document.text)
            if counts.kept % 256 == 0:
                report("documents", counts.kept, None)
    # Documents that do not come from files were counted by nobody else.
    counts.read = counts.read or counts.kept + counts.duplicates
    report("documents", counts.kept, counts.kept)
    limit = min(32_768, max(1024, characters // 64))
    ranks = [rank for rank, _ in _parts(store, limit, settings["seed"])]
    if len(ranks) < 2:
        raise InputError(
            f"the corpus is too small for a held-out document: {characters} characters in one "
            "part; give more text with --corpus"
        )
    # The lowest rank is held out even if it lies above the fraction.
    threshold = max(settings["heldout_fraction"], min(ranks))
    if max(ranks) <= threshold:
        raise InputError(
            f"--data.heldout-fraction {settings['heldout_fraction']} leaves no training text of "
            f"{len(ranks)} parts; give more text with --corpus or hold out less"
        )
    total = len(ranks)
    del ranks

    def training_texts() -> Iterator[str]:
        for number, (rank, text) in enumerate(_parts(store, limit, settings["seed"]), 1):
            if rank > threshold:
                yield text
            if number % 256 == 0 or number == total:
                report("tokenizer", number, total)

    tokenizer = train_tokenizer(training_texts())
    save_tokenizer(tokenizer, directory / "tokenizer")
    begin, end = document_ends(tokenizer)
    sizes = {"train": 0, "heldout": 0}
    with contextlib.ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                TokenWriter(directory / name, tokenizer.vocab_size, tokenizer.fingerprint)
            )
            for name in sizes
        }
        done = 0
        for batch in _batches(_parts(store, limit, settings["seed"])):
            encoded = tokenizer.encode_batch([text for _, text in batch])
            for (rank, text), ids in zip(batch, encoded, strict=True):
                name = "train" if rank > threshold else "heldout"
                sizes[name] += len(text)
                writers[name].add(begin + ids + end, len(text.encode()))
            done += len(batch)
            report("tokens", done, total)
        _check_context(writers["train"].tokens, context_length)
    store.unlink()
    manifest: dict[str, Any] = {"settings": settings, "counts": dataclasses.asdict(counts)}
    for name, writer in writers.items():
        manifest[name] = {
            "documents": writer.documents,
            "characters": sizes[name],
            "bytes": writer.bytes,
            "tokens": writer.tokens,
        }
    write_atomic(directory / MANIFEST, json.dumps(manifest, indent=2) + "\n")


def _check_context(tokens: int, context_length: int) -> None:
    if tokens <= context_length:
        raise InputError(
            f"the training text has {tokens:,} tokens, fewer than one row of {context_length:,} "
            "and its targets: give more text with --corpus or a smaller --model.context-length"
        )


def _parts(store: Path, limit: int, seed: int) -> Iterator[tuple[float, str]]:
    """Every part of every stored document, with a number in [0, 1) that decides its split."""
    with store.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            text, source, identifier = json.loads(line)
            for number, part in enumerate(divide(text, limit)):
                key = json.dumps([seed, source, identifier, number]).encode()
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


def _batches(parts: Iterable[tuple[float, str]]) -> Iterator[list[tuple[float, str]]]:
    """Lists of about a million characters."""
    batch: list[tuple[float, str]] = []
    characters = 0
    for part in parts:
        batch.append(part)
        characters += len(part[1])
        if characters >= 1_000_000:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
