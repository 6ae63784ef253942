"""How a corpus is composed: sources, languages, and how often it names groups of people.

Bias in the data becomes bias in the model; these counts make it visible. They judge nothing: that
one word is more frequent than another may be right for the purpose of a corpus.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from jaxlm.data.documents import Document

IDENTITY_TERMS: dict[str, tuple[str, ...]] = {
    "gender": ("he", "she", "man", "men", "woman", "women", "male", "female", "boy", "girl",
               "nonbinary", "transgender"),
    "religion": ("christian", "christians", "muslim", "muslims", "jew", "jews", "jewish", "hindu",
                 "hindus", "buddhist", "buddhists", "sikh", "atheist", "atheists"),
    "origin": ("african", "american", "arab", "asian", "black", "chinese", "european", "indian",
               "indigenous", "latino", "white", "immigrant", "immigrants", "refugee", "refugees"),
    "orientation": ("gay", "lesbian", "bisexual", "straight", "queer", "homosexual",
                    "heterosexual"),
    "age": ("young", "old", "elderly", "teenager", "teenagers", "child", "children", "adult",
            "adults"),
    "disability": ("blind", "deaf", "disabled", "disability", "wheelchair", "autistic"),
}  # fmt: skip
"""English terms by group; counted as whole words, whatever their case."""

_WORD = re.compile(r"[a-z]+")
_TERMS = frozenset(term for terms in IDENTITY_TERMS.values() for term in terms)
_MOST = 200  # distinct names kept, so that a corpus of a million sources stays small
_OTHERS = "(others)"


class Balance:
    """Sums over documents; `result` is JSON values that `jaxlm.data.stages.merge` adds up."""

    def __init__(self) -> None:
        self._sources: dict[str, dict[str, int]] = {}
        self._languages: dict[str, dict[str, int]] = {}
        self._terms: Counter[str] = Counter()

    def add(self, document: Document) -> None:
        """Counts one document."""
        size = len(document.text)
        count(self._sources, source_group(document.source), size, _MOST)
        if language := document.metadata.get("language"):
            count(self._languages, str(language), size, _MOST)
        words = _WORD.findall(document.text.lower())
        self._terms.update(word for word in words if word in _TERMS)

    def result(self) -> dict[str, Any]:
        """The counts so far: "sources", "languages", "identity_terms"."""
        return {
            "sources": dict(sorted(self._sources.items())),
            "languages": dict(sorted(self._languages.items())),
            "identity_terms": {
                group: {term: self._terms[term] for term in terms if self._terms[term]}
                for group, terms in IDENTITY_TERMS.items()
            },
        }


def source_group(source: str) -> str:
    """The first part of a source's name: the folder, file or data set that was given."""
    return source.partition("/")[0]


def count(table: dict[str, dict[str, int]], name: str, characters: int, most: int) -> None:
    """Adds a document to `table[name]`; beyond `most` names to those of all others together."""
    if name not in table and len(table) >= most:
        name = _OTHERS
    entry = table.setdefault(name, {"documents": 0, "characters": 0})
    entry["documents"] += 1
    entry["characters"] += characters
