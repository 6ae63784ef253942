"""Byte-level BPE by `tiktoken`, where it is certain to give the ids of `tokenizers`.

`tokenizers` merges the pair that stands first in the list of merges, `tiktoken` the pair whose
result has the lowest rank, whether that pair is in the list or not. With ranks in the order of the
merges they agree on every text if each merged token, encoded alone, is itself: what happens
between two places that no merge crosses depends on the bytes between them alone, so these bytes
have, when their turn comes, just the two parts of their merge.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import tiktoken
import tokenizers

from jaxlm.tokenizers.byte_alphabet import CHARACTER_OF_BYTE, piece_to_bytes

# The pattern of the released GPT-2 encoder, and how `tokenizers` divides text by default.
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# The same on what is left between digits that stand alone: there, a digit ends the text.
_SINGLE_DIGITS_PATTERN = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"
)
_SPACE_BLOCK = 250
_GROUP = 100_000  # characters that a thread encodes before it is given more
# Letters, digits and signs of Unicode 13 to 17, which the tables of a library may not know.
_RECENT_CHARACTERS = (
    0x10E80, 0x11FB0, 0x12FA0, 0x1E290, 0x11F50, 0x1E4F0, 0x31350, 0x2EBF0, 0x105C0,
    0x10D40, 0x10D50, 0x11BF0, 0x1C89, 0xA7CB, 0x16EA0, 0x323B0, 0x1DF25,
)  # fmt: skip
_PROBES = (
    "it's, we'll, I'M  they'VE\t don\u2019t  '1 1's ''s",
    " leading,  double   triple and trailing  ",
    "0 12 345 6789 1234567890 3.14159 1,000,000 \u00bd \u0664\u0665 \u2167 x2y3  4   5",
    "a\tb\n\n\nc   d\r\ne \n \n\t\n  f\u00a0g\u3000h\u2003 i\x0b\x0c\x85\x1c \u2028\u2029",
    "def f(x):\n    return x**2  # ok\n\n\n\tif x!=y: {[(<>)]}\n",
    "na\u00efve e\u0301 \u00e9 \ufb01 \u01c4 \u00df \u0130 \u65e5\u672c \ud55c\uad6d \u0645\u0631",
    "\U0001f600\U0001f44d\U0001f3fd\u200d\U0001f469 \U0001f1eb\U0001f1f7\ufeff\x00\x07 \u200b",
    "<|endoftext|><s></s>[CLS] ##a </w> \u2581 \u0120 \u010a",
    "a" * 300 + "1" * 300 + "!" * 300 + " " * 240 + "x" + "\n" * 240 + "x",
    *(
        "".join(f"a{c} {c}1{c}!{c}" for c in map(chr, range(start, start + 3)))
        for start in _RECENT_CHARACTERS
    ),
)


class FastEncoding:
    """Encoding by `tiktoken`, except for what it cannot do.

    Args:
      ranks: the id of every byte and every merged token.
      pattern: the regular expression whose matches are encoded one by one.
    """

    def __init__(self, ranks: Mapping[bytes, int], pattern: str):
        ranks = dict(ranks)
        self._end = max(ranks.values()) + 1
        missing = [bytes([b]) for b in range(256) if bytes([b]) not in ranks]
        # It would panic at a byte without an id; `tokenizers` leaves such bytes out.
        ranks |= {byte: self._end + i for i, byte in enumerate(missing)}
        self._has_missing = bool(missing)
        self._encoding = tiktoken.Encoding(
            "jaxlm", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}
        )
        self._threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4

    def encode(self, text: str) -> list[int] | None:
        """The ids, or None for a text that has to be encoded otherwise."""
        if has_long_space(text):
            return None
        return self._known(self._encoding.encode_ordinary(text))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int] | None]:
        """The ids of each text, or None; several processor cores share the work."""
        groups = list(_groups(texts))
        if self._threads == 1 or len(groups) < 2:
            return [self.encode(text) for text in texts]
        with ThreadPoolExecutor(self._threads) as pool:
            return [ids for group in pool.map(self._encode_group, groups) for ids in group]

    def _encode_group(self, texts: Sequence[str]) -> list[list[int] | None]:
        return [self.encode(text) for text in texts]

    def _known(self, ids: list[int]) -> list[int]:
        return [i for i in ids if i < self._end] if self._has_missing else ids


def has_long_space(text: str) -> bool:
    """Whether there may be so much white space in a row that `tiktoken` panics.

    Its pattern goes back there character by character until the stack ends. Every run of 499 is
    found, none below 250, at the cost of a look at every 250th character.
    """
    return any(
        text[end].isspace() and text[end - _SPACE_BLOCK + 1 : end + 1].isspace()
        for end in range(_SPACE_BLOCK - 1, len(text), _SPACE_BLOCK)
    )


def _groups(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Divides texts, in their order, into groups of about `_GROUP` characters."""
    start = characters = 0
    for position, text in enumerate(texts, 1):
        characters += len(text)
        if characters >= _GROUP:
            yield texts[start:position]
            start, characters = position, 0
    if start < len(texts):
        yield texts[start:]


def fast_encoding(
    description: Mapping[str, Any], reference: tokenizers.Tokenizer, reserved: Collection[int]
) -> FastEncoding | None:
    """Encoding by `tiktoken` with the ids of `reference`, or None where that is not certain.

    Args:
      description: the content of the `tokenizer.json` of `reference`.
      reference: a byte-level BPE that takes the spelling of special tokens for text.
      reserved: ids of special tokens, which no text leads to.
    """
    model = description["model"]
    pattern = _pattern(description["pre_tokenizer"])
    if (
        pattern is None
        or description["normalizer"] is not None
        or model.get("type", "BPE") != "BPE"
        or any(not added["special"] for added in description["added_tokens"])
        or any(
            model.get(name)
            for name in ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")
        )
    ):
        return None
    vocabulary: dict[str, int] = model["vocab"]
    merges = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
    merged = [first + second for first, second in merges]
    ids = [vocabulary[piece] for piece in merged]
    alphabet = [c for c in CHARACTER_OF_BYTE.values() if c in vocabulary]
    usable = {piece for piece, i in vocabulary.items() if i not in reserved}
    if any(a >= b for a, b in itertools.pairwise(ids)) or usable != {*alphabet, *merged}:
        return None
    bpe = reference.model
    if model.get("ignore_merges"):  # which would take every piece for itself
        plain = {**description, "model": {**model, "ignore_merges": False}}
        bpe = tokenizers.Tokenizer.from_str(json.dumps(plain)).model
    if any([token.id for token in bpe.tokenize(piece)] != [vocabulary[piece]] for piece in merged):
        return None
    ranks = {piece_to_bytes(piece): vocabulary[piece] for piece in usable}
    fast = FastEncoding(ranks, pattern)
    for probe in _PROBES:
        if fast.encode(probe) != reference.encode(probe, add_special_tokens=False).ids:
            return None
        if not _divides_alike(pattern, reference, probe):
            return None
    return fast


def _divides_alike(pattern: str, reference: tokenizers.Tokenizer, probe: str) -> bool:
    """Whether a text is divided before merging as by `reference`.

    Its parts are made the tokens of a vocabulary without merges, where `tiktoken` finds a part
    only if it is the whole of what the pattern matches.
    """
    parts = [piece_to_bytes(part) for part, _ in reference.pre_tokenizer.pre_tokenize_str(probe)]
    ranks = {bytes([byte]): byte for byte in range(256)}
    for part in parts:
        ranks.setdefault(part, len(ranks))
    return FastEncoding(ranks, pattern).encode(probe) == [ranks[part] for part in parts]


def _pattern(pre_tokenizer: Mapping[str, Any] | None) -> str | None:
    """The regular expression that divides text as a pre-tokenizer does, if one is known."""
    match pre_tokenizer:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}:
            return GPT2_PATTERN
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Digits", "individual_digits": True},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            ],
        }:
            return _SINGLE_DIGITS_PATTERN
        case {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": str(pattern)},
                    "behavior": "Isolated",
                    "invert": False,
                },
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return pattern
    return None
