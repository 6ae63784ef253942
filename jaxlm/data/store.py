"""Documents between two stages: a folder of shards of compressed JSON Lines, and a manifest.

Any tool that reads Dolma's layout (`id`, `source`, `metadata`, `text`) in `.jsonl.zst` reads them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import zstandard

from jaxlm.data.compression import open_stream
from jaxlm.data.documents import Document, from_line, to_line
from jaxlm.data.stages import Unit, check_file, read_manifest
from jaxlm.errors import DamageError

DOCUMENTS = "documents.jsonl.zst"


@dataclasses.dataclass(frozen=True)
class DocumentStore:
    """A finished stage whose shards hold documents."""

    directory: Path
    manifest: dict[str, Any]

    @property
    def units(self) -> list[Unit]:
        """Each shard as a unit of the next stage: its file, and what it must hold."""
        return [
            {
                "documents": str(self.directory / shard["name"] / DOCUMENTS),
                **shard["files"][DOCUMENTS],
            }
            for shard in self.manifest["shards"]
        ]

    def documents(self) -> Iterator[Document]:
        """Every document, in order."""
        for unit in self.units:
            yield from read_unit(unit)


def open_store(directory: str | Path, *, verify: bool = False) -> DocumentStore:
    """Opens what a stage wrote; `verify` compares checksums.

    Raises:
      InputError: there is no finished store.
      DamageError: a file is missing or differs from what was written.
    """
    manifest = read_manifest(directory, verify=verify)
    for shard in manifest["shards"]:
        if DOCUMENTS not in shard["files"]:
            raise DamageError(f"{directory}: {shard['name']} holds no {DOCUMENTS}; is it a store?")
    return DocumentStore(Path(directory), manifest)


def write_shard(directory: Path, documents: Iterable[Document]) -> dict[str, int]:
    """Streams documents into `directory`; returns how many "documents", "characters", "bytes".

    The same documents give the same bytes.
    """
    count = characters = size = 0
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    with (directory / DOCUMENTS).open("wb") as file, compressor.stream_writer(file) as stream:
        for document in documents:
            line = to_line(document)
            stream.write(line)
            count += 1
            characters += len(document.text)
            size += len(document.text.encode())
    return {"documents": count, "characters": characters, "bytes": size}


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
