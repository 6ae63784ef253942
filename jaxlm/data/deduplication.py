"""Exact duplicates: texts that differ in nothing but white space, or case and punctuation too."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Iterator

import numpy as np

from jaxlm.data.documents import Document
from jaxlm.data.sources import DocumentCounts

_PUNCTUATION = re.compile(r"[^\w\s]|_")


@dataclasses.dataclass(frozen=True)
class ExactConfig:
    """Exact duplicates: texts that differ in nothing but white space. The first one is kept."""

    enabled: bool = True
    """Remove exact duplicates."""
    ignore_case: bool = False
    """Texts that differ in case are duplicates too."""
    ignore_punctuation: bool = False
    """Texts that differ in characters that are no letters or digits are duplicates too."""


def text_digest(text: str, config: ExactConfig | None = None) -> bytes:
    """16 bytes (BLAKE2b) that are equal for exact duplicates."""
    config = config or ExactConfig()
    if config.ignore_case:
        text = text.casefold()
    if config.ignore_punctuation:
        text = _PUNCTUATION.sub(" ", text)
    return hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()


def first_of_equals(digests: np.ndarray) -> np.ndarray:
    """For each row of `digests` (uint64 [documents, 2]) the first row that equals it: int64.

    Holds 40 bytes for each document.
    """
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: equal rows stay in order
    ordered = digests[order]
    begins = np.ones(len(order), bool)
    begins[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(order), np.int64)
    first[order] = order[np.flatnonzero(begins)][np.cumsum(begins) - 1]
    return first


def without_duplicates(
    documents: Iterable[Document], counts: DocumentCounts | None = None
) -> Iterator[Document]:
    """The first of all documents whose texts differ in nothing but white space.

    Holds 16 bytes for each distinct text; `counts.duplicates` and `counts.kept` are filled in.
    """
    counts = DocumentCounts() if counts is None else counts
    seen: set[bytes] = set()
    for document in documents:
        digest = text_digest(document.text)
        if digest in seen:
            counts.duplicates += 1
            continue
        seen.add(digest)
        counts.kept += 1
        yield document
