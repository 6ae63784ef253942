"""Documents into rows of equal length, without losing a token and with next to no padding.

Offline best-fit-decreasing: the largest pieces first, each into the fullest row that has room.
Only documents longer than a row are cut (Ding et al. 2024, "Fewer truncations improve language
modeling", arXiv:2404.10830). Or end to end, as most codebases do, cut where a row ends.
"""

from __future__ import annotations

import bisect
import dataclasses
from typing import Literal

import numpy as np

from jaxlm.errors import InputError

Packing = Literal["best_fit", "concatenate"]


@dataclasses.dataclass(frozen=True)
class RowPlan:
    """Which fragments of the token file stand in which row.

    Fragment f takes `length[f]` slots of its row: inputs `tokens[s : s + n]` and targets
    `tokens[s + 1 : s + n + 1]`, with s = `token_start[f]`, n = `length[f]`.

    Attributes:
      context_length: slots of a row.
      row_starts: int64 [rows + 1]; row r holds fragments `row_starts[r]` to `row_starts[r + 1]`.
      token_start: int64 [fragments].
      length: int64 [fragments].
      documents_cut: how many documents stand in more than one fragment.
    """

    context_length: int
    row_starts: np.ndarray
    token_start: np.ndarray
    length: np.ndarray
    documents_cut: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.row_starts) - 1

    @property
    def fill(self) -> float:
        """Share of all slots that hold a token."""
        return float(self.length.sum()) / max(1, self.rows * self.context_length)


def plan_rows(
    document_lengths: np.ndarray,
    context_length: int,
    packing: Packing = "best_fit",
) -> RowPlan:
    """Packs documents that lie one after another in a token file into rows.

    A document of L tokens has L - 1 transitions (a token and the one after it), and each stands in
    exactly one slot; fragments of a long document therefore overlap by one token. Documents of
    less than two tokens take no room. The result depends on the arguments alone.

    Args:
      document_lengths: integers [documents], tokens of each document.
      context_length: slots of a row, at least 1.
      packing: "best_fit" cuts only documents longer than a row; "concatenate" puts them end to
        end in their order, so that about one document a row is cut.

    Raises:
      InputError: a context length below 1.
    """
    if context_length < 1:
        raise InputError(f"--model.context-length {context_length}: at least 1 is needed")
    lengths = np.asarray(document_lengths, np.int64)
    document_start = np.cumsum(lengths) - lengths
    slots = np.maximum(lengths - 1, 0)
    if packing == "concatenate":
        return _concatenated(document_start, slots, context_length)
    # Whole rows of long documents, then what remains of every document.
    whole = slots // context_length
    rows = int(whole.sum())
    nth = np.arange(rows) - np.repeat(np.cumsum(whole) - whole, whole)
    whole_start = np.repeat(document_start, whole) + nth * context_length
    rest = slots % context_length
    kept = np.flatnonzero(rest)
    rest_start = (document_start + whole * context_length)[kept]
    row, first_slot, bins = _best_fit_decreasing(rest[kept], context_length)

    row = np.concatenate([np.arange(rows), rows + row])
    first_slot = np.concatenate([np.zeros(rows, np.int64), first_slot])
    token_start = np.concatenate([whole_start, rest_start])
    length = np.concatenate([np.full(rows, context_length), rest[kept]])
    order = np.lexsort((first_slot, row))
    counts = np.bincount(row, minlength=rows + bins)
    row_starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    cut = int((slots > context_length).sum())
    return RowPlan(context_length, row_starts, token_start[order], length[order], cut)


def _concatenated(document_start: np.ndarray, slots: np.ndarray, context_length: int) -> RowPlan:
    kept = np.flatnonzero(slots)
    begin = np.cumsum(slots[kept]) - slots[kept]  # the first slot of each document
    total = int(slots.sum())
    rows = -(-total // context_length)
    # A fragment begins with a document and with a row.
    starts = np.concatenate([begin, np.arange(rows) * context_length])
    starts.sort(kind="stable")  # a merge of two sorted runs
    starts = starts[np.diff(starts, prepend=-1) > 0]
    document = np.searchsorted(begin, starts, side="right") - 1
    return RowPlan(
        context_length,
        np.searchsorted(starts, np.arange(rows + 1) * context_length),
        document_start[kept][document] + starts - begin[document],
        np.diff(starts, append=total),
        int((np.bincount(document) > 1).sum()) if rows else 0,
    )


def _best_fit_decreasing(sizes: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The bin and the first slot in it of each item (1 <= size < capacity), and the bin count.

    Items of one size are placed together: the fullest bin with room for such an item stays the
    fullest while it has room for another, so that best fit fills one bin after the other.
    """
    bin_of = np.empty(len(sizes), np.int64)
    first_slot = np.empty(len(sizes), np.int64)
    order = np.argsort(-sizes, kind="stable")
    by_size = np.searchsorted(-sizes[order], np.arange(-capacity, 1))
    # Bins by the room that is left in them, and the rooms for which there are any, sorted.
    with_room: dict[int, list[np.ndarray]] = {}
    rooms: list[int] = []
    bins = 0

    def put_back(room: int, which: np.ndarray) -> None:
        if room and len(which):
            if room not in with_room:
                bisect.insort(rooms, room)
            with_room.setdefault(room, []).append(which)

    for size in range(capacity - 1, 0, -1):
        items = order[by_size[capacity - size] : by_size[capacity - size + 1]]
        while len(items):
            at = bisect.bisect_left(rooms, size)
            room = rooms[at] if at < len(rooms) else capacity
            each = room // size
            needed = -(-len(items) // each)
            if at < len(rooms):
                candidates = np.concatenate(with_room.pop(room))
                del rooms[at]
                used = candidates[:needed]
                put_back(room, candidates[needed:])
            else:
                used = np.arange(bins, bins + needed)
                bins += needed
            placed, items = items[: len(used) * each], items[len(used) * each :]
            nth = np.arange(len(placed))
            bin_of[placed] = used[nth // each]
            first_slot[placed] = capacity - room + nth % each * size
            last = len(placed) - (len(used) - 1) * each
            put_back(room - each * size, used[:-1])
            put_back(room - last * size, used[-1:])
    return bin_of, first_slot, bins
