"""Passages of evaluation sets in training text, found by runs of words.

A document is contaminated if it shares a run of 13 words with an evaluation text, both in lower
case and without punctuation: Brown et al. 2020, appendix C (https://arxiv.org/abs/2005.14165). As
there, evaluation texts down to 8 words count as runs of their own length.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from jaxlm.data.documents import Document
from jaxlm.data.sources import OptionNames, read_documents
from jaxlm.data.stages import MANIFEST
from jaxlm.data.store import open_store
from jaxlm.data.word_hashes import Words, grams, words

_FILTER_BITS = 24
_OPTIONS = OptionNames("--decontamination.evaluation", "--decontamination.text-fields")


@dataclasses.dataclass(frozen=True)
class DecontaminationConfig:
    """Overlap with evaluation sets."""

    evaluation: tuple[str, ...] = ()
    """Files, folders or document stores that hold the evaluation texts; none: nothing is done."""
    text_fields: tuple[str, ...] = ("text",)
    """Fields of their records that hold text, each a text by itself."""
    words: int = 13
    """Words in a run that both share."""
    min_words: int = 8
    """An evaluation text of fewer words than `words` is one run, if it has at least so many."""
    action: Literal["drop", "cut"] = "drop"
    """Drop the document, or cut the passage out of it."""
    margin: int = 200
    """Characters cut on each side of the passage; a shorter rest is cut too."""

    def problems(self) -> list[str]:
        """What is wrong with the fields by themselves."""
        found = []
        if not 1 <= self.min_words <= self.words:
            found.append(
                f"--decontamination.min-words {self.min_words}: must be from 1 up to "
                f"--decontamination.words {self.words}"
            )
        if self.margin < 0:
            found.append(f"--decontamination.margin {self.margin}: must not be negative")
        if self.evaluation and not self.text_fields:
            found.append("--decontamination.text-fields is empty: name at least one field")
        return found


@dataclasses.dataclass(frozen=True)
class EvaluationRuns:
    """The runs of words of the evaluation sets.

    Attributes:
      names: of the sets.
      runs: by the number of words, the sorted runs (uint64) and the set of each (uint16); a run of
        several sets occurs several times.
      texts: texts of each set.
      too_short: those of fewer than `min_words` words, which cannot be looked for.
    """

    names: tuple[str, ...]
    runs: Mapping[int, tuple[np.ndarray, np.ndarray]]
    texts: tuple[int, ...]
    too_short: tuple[int, ...]

    @functools.cached_property
    def digest(self) -> str:
        """16 bytes (BLAKE2b) of everything in it, in hexadecimal."""
        digest = hashlib.blake2b(json.dumps([self.names, self.texts]).encode(), digest_size=16)
        for size, arrays in sorted(self.runs.items()):
            digest.update(f"{size} {len(arrays[0])}".encode())
            for array in arrays:
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @functools.cached_property
    def filters(self) -> dict[int, np.ndarray]:
        """By the number of words, whether any run has these low bits: most text ends there."""
        result = {}
        for size, (hashes, _) in self.runs.items():
            bits = min(max((16 * len(hashes)).bit_length(), 10), _FILTER_BITS)
            result[size] = np.zeros(1 << bits, bool)
            result[size][hashes & np.uint64((1 << bits) - 1)] = True
        return result


@dataclasses.dataclass(frozen=True)
class Contamination:
    """What a text shares with evaluation sets.

    Attributes:
      passages: the places (start, end) of shared words in the text, in order, not overlapping.
      sets: the names of the evaluation sets.
    """

    passages: tuple[tuple[int, int], ...]
    sets: tuple[str, ...]


def read_evaluation(config: DecontaminationConfig) -> Iterator[tuple[str, Iterator[Document]]]:
    """Each evaluation set by its name, with its texts.

    Raises:
      InputError: something cannot be read.
    """
    for entry in config.evaluation:
        yield entry, _read_set(entry, config.text_fields)


def evaluation_runs(
    sets: Iterable[tuple[str, Iterable[Document]]], config: DecontaminationConfig
) -> EvaluationRuns:
    """The runs to look for; holds about 16 bytes for each word of the evaluation sets."""
    names: list[str] = []
    texts: list[int] = []
    too_short: list[int] = []
    runs: dict[int, list[tuple[np.ndarray, int]]] = {}
    for number, (name, documents) in enumerate(sets):
        names.append(name)
        texts.append(0)
        too_short.append(0)
        for document in documents:
            found = words([document.text])
            size = min(len(found.hashes), config.words)
            texts[-1] += 1
            if size < config.min_words:
                too_short[-1] += 1
            else:
                runs.setdefault(size, []).append((grams(found, size)[0], number))
    joined = {}
    for size, pieces in sorted(runs.items()):
        hashes = np.concatenate([piece for piece, _ in pieces])
        owners = np.repeat(
            np.array([number for _, number in pieces], np.uint16), [len(p) for p, _ in pieces]
        )
        order = np.lexsort((owners, hashes))
        hashes, owners = hashes[order], owners[order]
        new = np.ones(len(hashes), bool)
        new[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
        joined[size] = hashes[new], owners[new]
    return EvaluationRuns(tuple(names), joined, tuple(texts), tuple(too_short))


def find_contamination(found: Words, runs: EvaluationRuns) -> dict[int, Contamination]:
    """Of several texts, by their number, those that share a run of words with an evaluation set."""
    spans: dict[int, list[tuple[int, int]]] = {}
    sets: dict[int, set[int]] = {}
    for size, (hashes, owners) in runs.runs.items():
        numbers, starts = grams(found, size)
        filtered = runs.filters[size]
        likely = filtered[numbers & np.uint64(len(filtered) - 1)]
        numbers, starts = numbers[likely], starts[likely]
        first = np.searchsorted(hashes, numbers)
        after = np.searchsorted(hashes, numbers, side="right")
        hits = np.flatnonzero(after > first)
        for hit, text in zip(hits, found.texts_of(starts[hits]), strict=True):
            place, start = int(found.places[text]), starts[hit]
            span = (int(found.starts[start]) - place, int(found.ends[start + size - 1]) - place)
            spans.setdefault(int(text), []).append(span)
            sets.setdefault(int(text), set()).update(owners[first[hit] : after[hit]].tolist())
    return {
        text: Contamination(
            tuple(_united(spans[text])), tuple(runs.names[number] for number in sorted(sets[text]))
        )
        for text in sorted(spans)
    }


def cut_passages(text: str, passages: Sequence[tuple[int, int]], margin: int) -> str:
    """The text without passages and `margin` characters on each side of them.

    The cuts are widened to white space; a rest of fewer than `margin` characters between two cuts
    is cut too. The rests are joined by an empty line. Nothing may be left.
    """
    cuts = []
    for start, end in passages:
        start, end = max(0, start - margin), min(len(text), end + margin)
        while start > 0 and not text[start - 1].isspace():
            start -= 1
        while end < len(text) and not text[end].isspace():
            end += 1
        cuts.append((start, end))
    rests, place = [], 0
    for start, end in [*_united(cuts), (len(text), len(text))]:
        rest = text[place:start].strip()
        if len(rest) >= max(margin, 1):
            rests.append(rest)
        place = end
    return "\n\n".join(rests)


def save_runs(directory: Path, runs: EvaluationRuns) -> None:
    """Writes `runs` into a directory."""
    about = {"names": runs.names, "texts": runs.texts, "too_short": runs.too_short}
    about["sizes"] = tuple(runs.runs)
    (directory / "evaluation.json").write_text(json.dumps(about), encoding="utf-8")
    for size, (hashes, owners) in runs.runs.items():
        np.save(directory / f"runs-{size}.npy", hashes)
        np.save(directory / f"sets-{size}.npy", owners)


def load_runs(directory: Path) -> EvaluationRuns:
    """What `save_runs` wrote, as memory maps."""
    about = json.loads((directory / "evaluation.json").read_bytes())
    runs = {
        size: (
            np.load(directory / f"runs-{size}.npy", mmap_mode="r"),
            np.load(directory / f"sets-{size}.npy", mmap_mode="r"),
        )
        for size in about["sizes"]
    }
    counts = (tuple(about[name]) for name in ("texts", "too_short"))
    return EvaluationRuns(tuple(about["names"]), runs, *counts)


def _read_set(entry: str, fields: Sequence[str]) -> Iterator[Document]:
    if (Path(entry) / MANIFEST).is_file():
        yield from open_store(entry).documents()
        return
    for field in fields:
        yield from read_documents([entry], text_field=field, options=_OPTIONS)


def _united(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    result: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(end, result[-1][1])
        else:
            result.append((start, end))
    return result
