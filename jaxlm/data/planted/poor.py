"""Texts that published rules of quality and repetition are meant to drop.

Rae et al. 2021 (Gopher), https://arxiv.org/abs/2112.11446, appendix A1.1; each text is far beyond
the threshold that it breaks.
"""

from __future__ import annotations

import random

from jaxlm.data.planted import english

KINDS = {
    "short": "quality", "hashes": "quality", "bullets": "quality", "ellipses": "quality",
    "numbers": "quality", "names": "quality", "long words": "quality",
    "lines": "repetition", "paragraphs": "repetition", "phrase": "repetition",
}  # fmt: skip
"""What is wrong with a text, and which of Gopher's two sets of rules says so."""


def poor_text(random: random.Random, kind: str) -> str:
    """A text with the fault that `kind` names."""
    sentences = english.sentences(random, random.randint(9, 15))
    words = [english.word(random) for _ in range(150)]
    if kind == "short":
        return f"{sentences[0]}\n"
    if kind == "hashes":
        tags = " ".join(f"#{word}" for word in words[:60])
        return f"{' '.join(sentences)}\n{tags}\n"
    if kind == "bullets":
        return "".join(f"- {sentence}\n" for sentence in sentences)
    if kind == "ellipses":
        return "".join(f"{sentence}..\n" for sentence in sentences)
    if kind == "numbers":
        rows = (f"{word} {' '.join(_numbers(random))}\n" for word in words[:20])
        return f"{sentences[0]}\n\n{''.join(rows)}"
    if kind == "names":
        return ", ".join(words) + "\n"
    if kind == "long words":
        pairs = ("/".join(words[at : at + 3]) for at in range(0, 150, 3))
        return f"{sentences[0]} {' and '.join(pairs)}\n"
    if kind == "lines":
        return "".join(f"{sentence}\n" for sentence in sentences[:3] * 5)
    if kind == "paragraphs":
        return f"{' '.join(sentences[:4])}\n\n" * 3 + f"{sentences[5]}\n"
    phrase = " ".join(words[:4])
    return " ".join(f"{phrase} {word}." for word in words[4:44]) + "\n"


def _numbers(random: random.Random) -> list[str]:
    return [str(random.randint(1, 99_999)) for _ in range(7)]
