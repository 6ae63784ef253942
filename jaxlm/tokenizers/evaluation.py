"""How well tokenizers fit a text: size, words divided, what is unknown or lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

from jaxlm.errors import InputError
from jaxlm.tokenizers.base import Tokenizer

_BATCH = 1_000_000  # characters that are encoded at once


@dataclasses.dataclass
class TokenizerScore:
    """Counts over texts, and the measures that follow from them.

    Attributes:
      texts, characters, bytes, words, tokens: what was encoded; words are what white space
        divides, bytes those of UTF-8.
      unknown: tokens that stand for something unknown.
      failures: texts that do not come back from their ids as they were.
    """

    texts: int = 0
    characters: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    unknown: int = 0
    failures: int = 0

    @property
    def bytes_per_token(self) -> float:
        """How much text a token holds; comparable between tokenizers on one text."""
        return self.bytes / max(self.tokens, 1)

    @property
    def fertility(self) -> float:
        """Tokens for each word (Rust et al. 2021, arXiv:2012.15613)."""
        return self.tokens / max(self.words, 1)

    @property
    def unknown_rate(self) -> float:
        """Share of the tokens that are unknown."""
        return self.unknown / max(self.tokens, 1)

    def metrics(self) -> dict[str, float]:
        """Counts and measures by name."""
        return {
            **dataclasses.asdict(self),
            "bytes_per_token": self.bytes_per_token,
            "fertility": self.fertility,
            "unknown_rate": self.unknown_rate,
        }


@dataclasses.dataclass
class TokenizerEvaluation:
    """One tokenizer on a corpus.

    Attributes:
      vocab_size: its size.
      total: over all texts.
      by_source: over those of each source, in the order in which they came.
      vocabulary_used: share of the ids that occurred.
    """

    vocab_size: int
    total: TokenizerScore
    by_source: dict[str, TokenizerScore]
    vocabulary_used: float

    def metrics(self) -> dict:
        """Everything as JSON values."""
        return {
            "vocab_size": self.vocab_size,
            "vocabulary_used": self.vocabulary_used,
            **self.total.metrics(),
            "by_source": {name: score.metrics() for name, score in self.by_source.items()},
        }


def evaluate_tokenizers(
    tokenizers: Mapping[str, Tokenizer], texts: Iterable[tuple[str, str]]
) -> dict[str, TokenizerEvaluation]:
    """Scores tokenizers side by side on the same texts, which are read once.

    Memory grows with the number of sources, not with the texts.

    Args:
      tokenizers: by the name of their row.
      texts: (source, text) pairs.

    Raises:
      InputError: no text, or one that a tokenizer refuses.
    """
    used = {name: bytearray(t.vocab_size) for name, t in tokenizers.items()}
    scores: dict[str, dict[str, TokenizerScore]] = {name: {} for name in tokenizers}
    for batch in _batches(texts):
        for name, tokenizer in tokenizers.items():
            try:
                encoded = tokenizer.encode_batch([text for _, text in batch])
            except InputError as error:
                raise InputError([f"{name}: {problem}" for problem in error.problems]) from None
            for (source, text), ids in zip(batch, encoded, strict=True):
                for token_id in ids:
                    used[name][token_id] = 1
                score = scores[name].setdefault(source, TokenizerScore())
                _add(score, tokenizer, text, ids)
    if not all(scores.values()):
        raise InputError("there is no text to evaluate tokenizers on")
    return {
        name: TokenizerEvaluation(
            tokenizer.vocab_size,
            _sum(scores[name].values()),
            scores[name],
            sum(used[name]) / tokenizer.vocab_size,
        )
        for name, tokenizer in tokenizers.items()
    }


def _add(score: TokenizerScore, tokenizer: Tokenizer, text: str, ids: Sequence[int]) -> None:
    score.texts += 1
    score.characters += len(text)
    score.bytes += len(text.encode())
    score.words += len(text.split())
    score.tokens += len(ids)
    unknown = tokenizer.special_ids.get("unk")
    # Some vocabularies name their end of text for this role, and never give it for a text.
    score.unknown += 0 if unknown is None else ids.count(unknown)
    score.failures += tokenizer.decode(ids) != text


def _sum(scores: Iterable[TokenizerScore]) -> TokenizerScore:
    total = TokenizerScore()
    for score in scores:
        for name, value in dataclasses.asdict(score).items():
            setattr(total, name, getattr(total, name) + value)
    return total


def _batches(texts: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch: list[tuple[str, str]] = []
    characters = 0
    for source, text in texts:
        batch.append((source, text))
        characters += len(text)
        if characters >= _BATCH:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
