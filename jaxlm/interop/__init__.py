"""Weights of other libraries."""

from jaxlm.interop.huggingface import read_huggingface

__all__ = ["read_huggingface"]
