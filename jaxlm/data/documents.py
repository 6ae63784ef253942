"""The document, and its form as a line of JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Document:
    """A text, where it came from, and which one of that source it is.

    Attributes:
      text: valid Unicode, without lone surrogates.
      source: the file or data set it was read from.
      identifier: which document of that source; (source, identifier) names a document.
      metadata: JSON values that came with it or were found out about it, such as "url", "format"
        ("html" before extraction), "language".
    """

    text: str
    source: str
    identifier: str
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def replace(self, **changes: Any) -> Document:
        """The document with some fields changed."""
        return dataclasses.replace(self, **changes)


def to_line(document: Document) -> bytes:
    """A line of JSON in the layout of Dolma: `id`, `source`, `metadata`, `text`."""
    record: dict[str, Any] = {"id": document.identifier, "source": document.source}
    if document.metadata:
        record["metadata"] = dict(document.metadata)
    record["text"] = document.text
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def from_line(line: bytes | str) -> Document:
    """The document of a line that `to_line` wrote."""
    record = json.loads(line)
    return Document(record["text"], record["source"], record["id"], record.get("metadata", {}))
