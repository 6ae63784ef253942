"""Row plans of large corpora, kept beside the tokens: planned once, then mapped into memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from jaxlm.data.packing import Packing, RowPlan, plan_rows
from jaxlm.data.shards import TokenShards
from jaxlm.data.stages import file_digest
from jaxlm.files import directory_atomic

# Fewer documents are planned in less than about a second.
_MANY_DOCUMENTS = 1_000_000
_FORMAT = 1
_ARRAYS = ("row_starts", "token_start", "length")


def stored_plan(shards: TokenShards, context_length: int, packing: Packing) -> RowPlan:
    """What `plan_rows` gives for `shards`; of a million documents and more it is kept.

    It lies in the first of their directories, appears whole, and is compared with its checksums
    when it is opened. Ten million documents of a thousand tokens take about 10 s and 2 GB to plan,
    and less than a second and no memory of one's own to open again. Where it cannot be written it
    is planned each time.

    Args:
      shards: opened tokens.
      context_length: slots of a row, at least 1.
      packing: as for `plan_rows`.

    Raises:
      InputError: a context length below 1.
    """
    if len(shards.offsets) <= _MANY_DOCUMENTS:
        return plan_rows(shards.lengths, context_length, packing)
    name = f"rows-{packing}-{context_length}-{shards.fingerprint[:16]}"
    directory = shards.directories[0] / name
    if (stored := _open(directory)) is not None:
        return stored
    plan = plan_rows(shards.lengths, context_length, packing)
    try:
        with directory_atomic(directory) as temporary:
            _write(plan, temporary)
    except OSError:  # a read-only disk, or another process was first
        return _open(directory) or plan
    return _open(directory) or plan


def _write(plan: RowPlan, directory: Path) -> None:
    for name in _ARRAYS:
        np.save(directory / f"{name}.npy", getattr(plan, name))
    about = {
        "format": _FORMAT,
        "context_length": plan.context_length,
        "documents_cut": plan.documents_cut,
        "blake2b": [file_digest(directory / f"{name}.npy") for name in _ARRAYS],
    }
    (directory / "plan.json").write_text(json.dumps(about))


def _open(directory: Path) -> RowPlan | None:
    """The plan in `directory`, or None if there is none or it is damaged."""
    try:
        about = json.loads((directory / "plan.json").read_bytes())
        files = [directory / f"{name}.npy" for name in _ARRAYS]
        if about["format"] != _FORMAT or about["blake2b"] != [file_digest(f) for f in files]:
            return None
        starts, tokens, lengths = (np.asarray(np.load(file, mmap_mode="r")) for file in files)
        return RowPlan(about["context_length"], starts, tokens, lengths, about["documents_cut"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
