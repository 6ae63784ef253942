"""Which special token has which role: said by the files beside a vocabulary, or by its spelling."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

ROLES = ("bos", "eos", "unk", "pad", "mask", "cls", "sep")
# The spellings of published models, the more telling first: SentencePiece, Llama 3, Gemma, GPT-2,
# RoBERTa, BERT, T5.
_SPELLINGS = {
    "bos": ("<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>", "<|endoftext|>"),
    "eos": ("</s>", "<|end_of_text|>", "<eos>", "<|endoftext|>"),
    "unk": ("<unk>", "[UNK]"),
    "pad": ("<pad>", "[PAD]", "<|pad|>"),
    "mask": ("<mask>", "[MASK]"),
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
}


def guess_roles(special: Container[str], unknown: str | None = None) -> dict[str, str]:
    """The spelling of each role that is found among the special tokens.

    Args:
      special: spellings of the special tokens.
      unknown: the spelling for unknown text, if the vocabulary names one.
    """
    roles = {"unk": unknown} if unknown is not None else {}
    for role, spellings in _SPELLINGS.items():
        found = next((spelling for spelling in spellings if spelling in special), None)
        if found is not None:
            roles.setdefault(role, found)
    return roles


def declared_roles(content: Mapping[str, Any]) -> dict[str, str]:
    """The roles in a `special_tokens_map.json` or `tokenizer_config.json` of Hugging Face."""
    roles = {}
    for role in ROLES:
        value = content.get(f"{role}_token")
        if isinstance(value, Mapping):
            value = value.get("content")
        if isinstance(value, str):
            roles[role] = value
    return roles


def usual_spellings() -> list[str]:
    """Every spelling that has a role in some published model."""
    return list(dict.fromkeys(s for spellings in _SPELLINGS.values() for s in spellings))
