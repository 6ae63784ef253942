"""From documents to batches: sources, duplicates, splits, token shards, packing, loading."""
