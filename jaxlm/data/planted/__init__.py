"""Corpora whose truth is known, because it was planted: what cleaning steps are scored with."""
