"""A new tokenizer of any kind from texts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Literal

from jaxlm.tokenizers.base import Tokenizer
from jaxlm.tokenizers.byte import ByteTokenizer
from jaxlm.tokenizers.byte_bpe import train_byte_bpe
from jaxlm.tokenizers.character import CharacterTokenizer
from jaxlm.tokenizers.sentencepiece import train_sentencepiece
from jaxlm.tokenizers.word import train_words
from jaxlm.tokenizers.wordpiece import train_wordpiece

Kind = Literal[
    "bpe", "unigram", "byte_bpe", "wordpiece", "word", "word_character", "character", "bytes"
]
SIZED: tuple[Kind, ...] = ("bpe", "unigram", "byte_bpe", "wordpiece", "word", "word_character")
"""The kinds whose vocabulary has the size that is asked for; that of the others is given."""


def train_tokenizer(
    kind: Kind,
    texts: Iterable[str],
    vocab_size: int,
    *,
    seed: int = 0,
    max_characters: int = 100_000_000,
) -> Tokenizer:
    """A tokenizer from the texts; the same texts and settings give the same bytes.

    Args:
      kind: "bpe" and "unigram" are SentencePiece's, "byte_bpe" that of GPT-2, "wordpiece" that of
        BERT, "word_character" words with unknown ones spelled. All but "wordpiece", "word" and
        "character" give every text back as it was.
      texts: are read once; memory grows to `max_characters` and the distinct words in them.
      vocab_size: for the kinds in `SIZED`.
      seed: of the sample that is used of more than `max_characters`.
      max_characters: of the sample; "character" takes all texts.

    Raises:
      InputError: too little text for the vocabulary, or the reverse.
    """
    if kind == "bytes":
        return ByteTokenizer()
    if kind == "character":
        characters: set[str] = set()
        for text in texts:
            characters.update(text)
        return CharacterTokenizer(characters, specials=True)
    trainers: dict[Kind, Callable[..., Tokenizer]] = {
        "bpe": functools.partial(train_sentencepiece, model_type="bpe"),
        "unigram": functools.partial(train_sentencepiece, model_type="unigram"),
        "byte_bpe": train_byte_bpe,
        "wordpiece": train_wordpiece,
        "word": train_words,
        "word_character": functools.partial(train_words, spell_unknown=True),
    }
    return trainers[kind](texts, vocab_size, seed=seed, max_characters=max_characters)
