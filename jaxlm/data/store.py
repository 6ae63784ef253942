"""Documents between two stages: a folder of shards of compressed JSON Lines, and a manifest.

Any tool that reads Dolma's layout (`id`, `source`, `metadata`, `text`) in `.jsonl.zst` reads them.
A shard is one file, or several if it is large: each is a unit of the next stage.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import zstandard

from jaxlm.data.compression import open_stream
from jaxlm.data.documents import Document, from_line, to_line
from jaxlm.data.stages import Unit, check_file, read_manifest
from jaxlm.errors import DamageError, InputError

DOCUMENTS = "documents.jsonl.zst"
# Of one file: what a stage holds of a unit is bounded, however large a file of the corpus is.
_MAX_DOCUMENTS = 1 << 17
_MAX_BYTES = 256 << 20


@dataclasses.dataclass(frozen=True)
class DocumentStore:
    """A finished stage whose shards hold documents."""

    directory: Path
    manifest: dict[str, Any]

    @property
    def units(self) -> list[Unit]:
        """Each file of documents as a unit of the next stage: its path, and what it must hold."""
        return [
            {"documents": str(self.directory / shard["name"] / name), **shard["files"][name]}
            for shard in self.manifest["shards"]
            for name in _names(shard["files"])
        ]

    def documents(self) -> Iterator[Document]:
        """Every document, in order."""
        for unit in self.units:
            yield from read_unit(unit)


def open_store(directory: str | Path, *, verify: bool = False) -> DocumentStore:
    """Opens what a stage wrote; `verify` compares checksums.

    Raises:
      InputError: there is no finished store of documents.
      DamageError: a file is missing or differs from what was written.
    """
    manifest = read_manifest(directory, verify=verify)
    for shard in manifest["shards"]:
        if DOCUMENTS not in shard["files"]:
            raise InputError(
                f"{directory} is of the stage {manifest['stage']!r} and holds no documents; name a "
                "folder that collect, clean or deduplicate wrote"
            )
    return DocumentStore(Path(directory), manifest)


def write_shard(
    directory: Path,
    documents: Iterable[Document],
    *,
    max_documents: int = _MAX_DOCUMENTS,
    max_bytes: int = _MAX_BYTES,
) -> dict[str, int]:
    """Streams documents into `directory`; returns how many "documents", "characters", "bytes".

    The same documents give the same bytes.

    Args:
      directory: gets `documents.jsonl.zst`, then `documents-1.jsonl.zst` and so on.
      documents: any number; one is held at a time.
      max_documents: in one file.
      max_bytes: of text, from which on a file is complete.
    """
    total = {"documents": 0, "characters": 0, "bytes": 0}
    remaining = iter(documents)
    document = next(remaining, None)
    number = 0
    while True:
        count = size = 0
        compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
        path = directory / _name(number)
        with path.open("wb") as file, compressor.stream_writer(file) as stream:
            while document is not None and count < max_documents and size < max_bytes:
                stream.write(to_line(document))
                count += 1
                size += len(document.text.encode())
                total["characters"] += len(document.text)
                document = next(remaining, None)
        total["documents"] += count
        total["bytes"] += size
        if document is None:
            return total
        number += 1


def read_unit(unit: Unit) -> Iterator[Document]:
    """The documents of one of `DocumentStore.units`, streamed after a comparison of checksums.

    Raises:
      DamageError: the file differs from what was written.
    """
    check_file(Path(unit["documents"]), unit, verify=True)
    yield from read_shard(unit["documents"])


def read_shard(path: str | Path) -> Iterator[Document]:
    """The documents of one shard, streamed.

    Raises:
      DamageError: the file ends early or is not what was written.
    """
    number = 0
    try:
        with open_stream(Path(path)) as stream:
            for line in stream:
                yield from_line(line)
                number += 1
    except (ValueError, KeyError, zstandard.ZstdError, EOFError) as error:
        raise DamageError(
            f"{path} is damaged after document {number} ({error}); delete its folder and give the "
            "command that made it again"
        ) from None


def _name(number: int) -> str:
    """The name of a shard's file of this number."""
    return f"documents-{number}.jsonl.zst" if number else DOCUMENTS


def _names(files: Mapping[str, Any]) -> Iterator[str]:
    """The names of a shard's files of documents, in order."""
    return itertools.takewhile(files.__contains__, map(_name, itertools.count()))
