"""Packed rows for the users of Grain.

    import grain
    rows = GrainSource(loader)  # a BatchLoader made with shuffle=False
    dataset = grain.MapDataset.source(rows).shuffle(seed=0).repeat().batch(16)

Grain's own state says where it is, but not of which data: compare `fingerprint` when restoring.
jaxlm's training does not need Grain; its loaders are pure functions of the rows consumed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxlm.data.loader import BatchLoader


class GrainSource:
    """Random access to the rows of one epoch (`grain.sources.RandomAccessDataSource`)."""

    def __init__(self, loader: BatchLoader):
        self._loader = loader
        self.fingerprint = loader.fingerprint

    def __len__(self) -> int:
        return self._loader.rows_per_epoch

    def __getitem__(self, record_key: Any) -> dict[str, np.ndarray]:
        """One row: `tokens`, `targets`, `positions`, `segment_ids` int32 [T], `mask` bool [T]."""
        index = int(record_key)
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        rows = self._loader.rows(np.asarray([index], np.int64))
        return {name: array[0] for name, array in rows.items()}

    def __repr__(self) -> str:
        return f"GrainSource({self.fingerprint})"  # Grain compares it when it restores
