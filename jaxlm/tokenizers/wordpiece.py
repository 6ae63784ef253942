"""WordPiece in the manner of BERT: the longest pieces first, no spaces, unknown words `[UNK]`.

Schuster and Nakajima 2012, "Japanese and Korean Voice Search"; Devlin et al. 2018, "BERT"
(arXiv:1810.04805). The text does not come back as it was.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import tokenizers

from jaxlm.errors import InputError
from jaxlm.tokenizers.byte_bpe import json_bytes
from jaxlm.tokenizers.special_ids import guess_roles
from jaxlm.tokenizers.tokenizer_json import JsonTokenizer
from jaxlm.tokenizers.training_text import chunks, sample

_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PREFIX = "##"
_ALPHABET = 1000  # rarer characters are unknown


def train_wordpiece(
    texts: Iterable[str],
    vocab_size: int,
    *,
    lowercase: bool = True,
    seed: int = 0,
    max_characters: int = 100_000_000,
) -> JsonTokenizer:
    """Trains a WordPiece vocabulary of at most `vocab_size`.

    The same texts and settings give the same bytes. `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]` and
    `[MASK]` are the ids 0 to 4. Of more than `max_characters` a sample drawn with `seed` is used.

    Args:
      texts: the training text.
      vocab_size: number of pieces.
      lowercase: also removes accents, as BERT's uncased vocabularies do.

    Raises:
      InputError: no text, or a vocabulary that has no room for its characters.
    """
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    drawn = list(sample(chunks(texts, 100_000), seed, max_characters))
    characters: Counter[str] = Counter()
    for chunk in drawn:
        characters.update(tokenizer.normalizer.normalize_str(chunk))
    ranked = sorted(characters, key=lambda c: (-characters[c], c))
    alphabet = sorted([c for c in ranked if not c.isspace()][:_ALPHABET])
    # The trainer numbers the characters inside of words in the order of a hash table, which
    # changes from process to process, and the numbers decide between equally frequent pairs.
    # Named here, they have an order.
    singles = [*alphabet, *(_PREFIX + character for character in alphabet)]
    if not alphabet:
        raise InputError("a WordPiece vocabulary needs text to take its pieces from")
    if vocab_size < len(_SPECIALS) + len(singles):
        raise InputError(
            f"--vocab-size {vocab_size}: the special tokens and the characters of the text, at "
            f"the beginning of words and inside, need {len(_SPECIALS) + len(singles)}"
        )
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*_SPECIALS, *singles],
        initial_alphabet=alphabet,
        limit_alphabet=_ALPHABET,
        continuing_subword_prefix=_PREFIX,
        show_progress=False,
    )
    tokenizer.train_from_iterator(drawn, trainer)
    ids: dict[str, int] = json.loads(tokenizer.to_str())["model"]["vocab"]
    # As of BERT, and the beginning and end of a document for a model that writes.
    roles = {**guess_roles(_SPECIALS), "bos": "[CLS]", "eos": "[SEP]"}
    content = wordpiece_json(sorted(ids, key=ids.__getitem__), lowercase=lowercase)
    return JsonTokenizer(content, roles)


def wordpiece_json(vocabulary: Sequence[str], *, lowercase: bool | None = None) -> bytes:
    """The `tokenizer.json` of a vocabulary in the order of its ids, such as BERT's `vocab.txt`.

    Args:
      vocabulary: the pieces; those inside of words begin with `##`.
      lowercase: None tells from the vocabulary whether it has capital letters.

    Raises:
      InputError: a piece stands twice, or there is no `[UNK]`.
    """
    ids = {piece: i for i, piece in enumerate(vocabulary)}
    if len(ids) < len(vocabulary):
        first = next(p for i, p in enumerate(vocabulary) if ids[p] != i)
        raise InputError(f"the vocabulary holds the piece {first!r} twice")
    if "[UNK]" not in ids:
        raise InputError("the vocabulary holds no [UNK]: it is none of WordPiece")
    special = {spelling: ids[spelling] for spelling in _SPECIALS if spelling in ids}
    if lowercase is None:
        plain = itertools.filterfalse(lambda piece: piece.startswith("["), vocabulary)
        lowercase = not any("A" <= character <= "Z" for piece in plain for character in piece)
    normalizer: dict[str, Any] = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": lowercase,
    }
    model = {
        "type": "WordPiece",
        "unk_token": "[UNK]",
        "continuing_subword_prefix": _PREFIX,
        "max_input_chars_per_word": 100,
        "vocab": ids,
    }
    return json_bytes(
        model,
        special,
        normalizer=normalizer,
        pre_tokenizer={"type": "BertPreTokenizer"},
        decoder={"type": "WordPiece", "prefix": _PREFIX, "cleanup": True},
    )
