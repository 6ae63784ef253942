"""Byte-level BPE in the manner of GPT-2: merges of bytes inside of words, nothing unknown.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tokenizers

from jaxlm.errors import InputError
from jaxlm.tokenizers.byte_alphabet import CHARACTER_OF_BYTE
from jaxlm.tokenizers.special_ids import usual_spellings
from jaxlm.tokenizers.tokenizer_json import JsonTokenizer
from jaxlm.tokenizers.training_text import chunks, sample

_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
_SPECIALS = {"bos": "<s>", "eos": "</s>"}


def train_byte_bpe(
    texts: Iterable[str], vocab_size: int, *, seed: int = 0, max_characters: int = 100_000_000
) -> JsonTokenizer:
    """Trains a byte-level BPE of exactly `vocab_size` tokens.

    The same texts and settings give the same bytes. `<s>` and `</s>` are ids 0 and 1, the 256
    bytes and the merges, in their order, follow. Of more than `max_characters` a sample drawn with
    `seed` is used.

    Raises:
      InputError: a vocabulary larger or smaller than the texts allow.
    """
    smallest = len(_SPECIALS) + 256
    if vocab_size < smallest:
        raise InputError(
            f"--vocab-size {vocab_size}: the 256 bytes and the special tokens need {smallest}"
        )
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(_SPECIALS.values()),
        initial_alphabet=list(CHARACTER_OF_BYTE.values()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample(chunks(texts, 100_000), seed, max_characters), trainer)
    found = tokenizer.get_vocab_size()
    if found < vocab_size:
        raise InputError(
            f"--vocab-size {vocab_size:,} is more than the text allows, which is at most "
            f"{found:,}: give less, or more text"
        )
    model = json.loads(tokenizer.to_str())["model"]
    content = byte_bpe_json(model["vocab"], model["merges"], _SPECIALS.values())
    return JsonTokenizer(content, _SPECIALS)


def byte_bpe_json(
    vocabulary: Mapping[str, int],
    merges: Sequence[Sequence[str]],
    special: Iterable[str],
    pattern: str | None = None,
) -> bytes:
    """The `tokenizer.json` of a byte-level BPE.

    Args:
      vocabulary: the id of each piece, in the alphabet of `byte_alphabet`.
      merges: pairs of pieces, the first to be merged first.
      special: spellings of the special tokens, all of them in the vocabulary.
      pattern: a regular expression that divides text before merging, instead of that of GPT-2.
    """
    pre_tokenizer: dict[str, Any] = _BYTE_LEVEL
    if pattern is not None:
        split = {
            "type": "Split",
            "pattern": {"Regex": pattern},
            "behavior": "Isolated",
            "invert": False,
        }
        parts = [split, {**_BYTE_LEVEL, "use_regex": False}]
        pre_tokenizer = {"type": "Sequence", "pretokenizers": parts}
    return json_bytes(
        {"type": "BPE", "vocab": dict(vocabulary), "merges": [list(pair) for pair in merges]},
        {spelling: vocabulary[spelling] for spelling in special},
        pre_tokenizer=pre_tokenizer,
        decoder=_BYTE_LEVEL,
    )


def json_bytes(model: Mapping[str, Any], special: Mapping[str, int], **components: Any) -> bytes:
    """A `tokenizer.json` of a model, its special tokens and its other components."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    content = {
        "version": "1.0",
        "added_tokens": [
            {"id": i, "content": spelling, **flags, "special": True}
            for spelling, i in sorted(special.items(), key=lambda entry: entry[1])
        ],
        **components,
        "model": dict(model),
    }
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def gpt2_json(vocabulary: Mapping[str, int], merges: Sequence[Sequence[str]]) -> bytes:
    """The `tokenizer.json` of a GPT-2 vocabulary and its merges."""
    special = [spelling for spelling in usual_spellings() if spelling in vocabulary]
    return byte_bpe_json(vocabulary, merges, special)
