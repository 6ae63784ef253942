"""Texts as trainers want them: in chunks of bounded length, and no more than memory holds."""

from __future__ import annotations

import heapq
import random
import re
from collections.abc import Iterable, Iterator

from jaxlm.tokenizers.base import check_encodable


def chunks(
    texts: Iterable[str], size: int, reserved: re.Pattern[str] | None = None
) -> Iterator[str]:
    """Divides texts at `reserved` and into at most `size` characters, after a space.

    Raises:
      InputError: a text holds a lone surrogate.
    """
    for text in texts:
        check_encodable(text)
        for part in [text] if reserved is None else reserved.split(text):
            start = 0
            while len(part) - start > size:
                end = start + size
                space = max(part.rfind("\n", start, end), part.rfind(" ", start, end))
                end = space + 1 if space > start else end
                yield part[start:end]
                start = end
            if start < len(part):
                yield part[start:]


def sample(pieces: Iterable[str], seed: int, max_characters: int) -> Iterator[str]:
    """The pieces of lowest random rank that fit into `max_characters`, in their order.

    Memory grows to `max_characters`, not with the corpus.
    """
    generator = random.Random(seed)
    kept: list[tuple[float, int, str]] = []
    characters = 0
    for index, piece in enumerate(pieces):
        heapq.heappush(kept, (-generator.random(), index, piece))
        characters += len(piece)
        while characters > max_characters:
            characters -= len(heapq.heappop(kept)[2])
    kept.sort(key=lambda entry: entry[1])
    return (piece for _, _, piece in kept)
