"""Evaluation: perplexity, bits per byte, baselines, the report of a run."""
