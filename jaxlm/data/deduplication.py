"""Exact duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from jaxlm.data.documents import Document
from jaxlm.data.sources import DocumentCounts


def without_duplicates(
    documents: Iterable[Document], counts: DocumentCounts | None = None
) -> Iterator[Document]:
    """The first of all documents whose texts differ in nothing but white space.

    Holds 16 bytes for each distinct text; `counts.duplicates` and `counts.kept` are filled in.
    """
    counts = DocumentCounts() if counts is None else counts
    seen: set[bytes] = set()
    for document in documents:
        normalised = " ".join(document.text.split())
        digest = hashlib.blake2b(normalised.encode(), digest_size=16).digest()
        if digest in seen:
            counts.duplicates += 1
            continue
        seen.add(digest)
        counts.kept += 1
        yield document
