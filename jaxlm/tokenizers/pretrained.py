"""Tokenizers of other projects: read from their files, used like those trained here."""

from __future__ import annotations

import base64
import binascii
import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxlm.errors import InputError
from jaxlm.tokenizers.base import CONFIG_FILE, Tokenizer, load_tokenizer
from jaxlm.tokenizers.byte_alphabet import bytes_to_piece
from jaxlm.tokenizers.byte_bpe import byte_bpe_json, gpt2_json
from jaxlm.tokenizers.sentencepiece import SentencePieceTokenizer
from jaxlm.tokenizers.special_ids import declared_roles
from jaxlm.tokenizers.tokenizer_json import JsonTokenizer
from jaxlm.tokenizers.wordpiece import wordpiece_json

_JSON = "tokenizer.json"
_PAIRS = {"vocab.json": "merges.txt", "encoder.json": "vocab.bpe"}
_WORDPIECE = "vocab.txt"
_MODELS = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
_READ = (
    f"{_JSON}, {' and '.join(next(iter(_PAIRS.items())))}, {_WORDPIECE}, or a SentencePiece .model"
)


def read_pretrained(path: str | Path) -> Tokenizer:
    """The tokenizer of a file or a directory, with exactly the ids of those who made it.

    Args:
      path: a directory that `save_tokenizer` wrote, a run directory that holds one as
        `tokenizer/`, a directory in the layout of Hugging Face, or one of its files:
        `tokenizer.json`, `vocab.json` or `merges.txt` of GPT-2 (also under their first names
        `encoder.json`, `vocab.bpe`), `vocab.txt` of BERT, a SentencePiece `.model`. The roles of
        special tokens come from the files beside it, else from their usual spellings.

    Raises:
      InputError: nothing there that is read, or a damaged file.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file or directory; give {_READ}, or a directory")
    if path.is_dir():
        if _is_own(path):
            return load_tokenizer(path)
        if _is_own(path / "tokenizer"):
            return load_tokenizer(path / "tokenizer")
        path = _main_file(path)
    name, folder = path.name, path.parent
    try:
        if name.endswith(".tiktoken"):
            raise InputError("tiktoken ranks need their pattern too: use read_rank_file")
        if name in _PAIRS or name in _PAIRS.values():
            vocab, merges = next(pair for pair in _PAIRS.items() if name in pair)
            content = gpt2_json(_vocabulary(folder / vocab), _merges(folder / merges))
            return JsonTokenizer(content, _roles(folder, content))
        if name == _WORDPIECE or path.suffix == ".txt":
            pieces = path.read_text(encoding="utf-8").split("\n")
            content = wordpiece_json(
                [piece.removesuffix("\r") for piece in pieces[: None if pieces[-1] else -1]],
                lowercase=_settings(folder).get("do_lower_case"),
            )
            return JsonTokenizer(content, _roles(folder, content))
        if path.suffix == ".json":
            content = path.read_bytes()
            return JsonTokenizer(content, _roles(folder, content))
        return SentencePieceTokenizer(path.read_bytes(), lossless=False)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; fetch it again") from None
    except InputError as error:
        raise InputError([f"{path}: {problem}" for problem in error.problems]) from None


def read_rank_file(
    path: str | Path, pattern: str, special_tokens: Mapping[str, int] | None = None
) -> JsonTokenizer:
    """The byte-level BPE of a rank file of `tiktoken`: lines of a token in base64 and its rank.

    Args:
      path: the file.
      pattern: the regular expression that divides text, which is not in the file.
      special_tokens: ids of the special tokens, which are not in the file either.

    Raises:
      InputError: a damaged file, ranks that are no byte-level BPE, or a pattern that does not
        divide text alike in `tiktoken` and `tokenizers`, such as one with possessive repetition of
        an interval, or with `$`, the end of the text in one and of a line in the other.
    """
    special_tokens = dict(special_tokens or {})
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error):
            raise InputError(f"{path}, line {number}: is no token in base64 and a rank") from None
    taken = [*ranks.values(), *special_tokens.values()]
    if len(set(taken)) < len(taken) or not all(bytes([b]) in ranks for b in range(256)):
        raise InputError(f"{path}: the ranks are not distinct, or not every byte has one")
    vocabulary = {bytes_to_piece(token): rank for token, rank in ranks.items()}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        if len(token) > 1:
            parts = _parts(token, ranks)
            if len(parts) != 2:
                raise InputError(f"{path}: {token!r} is no merge of two tokens of lower rank")
            merges.append([bytes_to_piece(part) for part in parts])
    content = byte_bpe_json({**vocabulary, **special_tokens}, merges, special_tokens, pattern)
    tokenizer = JsonTokenizer(content)
    if not tokenizer.is_fast:
        raise InputError(
            f"{path}: with this pattern tiktoken and tokenizers differ; write it without "
            f"possessive repetition (++, ?+, {{1,3}}+), and \\z instead of $: {pattern}"
        )
    return tokenizer


def _parts(token: bytes, ranks: Mapping[bytes, int]) -> list[bytes]:
    """What the merges of lower rank make of a token."""
    limit = ranks[token]
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 1:
        found = [ranks.get(a + b, limit) for a, b in itertools.pairwise(parts)]
        best = min(found)
        if best >= limit:
            break
        i = found.index(best)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def _is_own(directory: Path) -> bool:
    """Whether `save_tokenizer` wrote the directory; others use the same name for other content."""
    try:
        return "kind" in json.loads((directory / CONFIG_FILE).read_bytes())
    except (OSError, ValueError, TypeError):
        return False


def _main_file(directory: Path) -> Path:
    for name in (_JSON, *_PAIRS, _WORDPIECE, *_MODELS):
        if (directory / name).is_file():
            return directory / name
    models = sorted(directory.glob("*.model"))
    if len(models) == 1:
        return models[0]
    raise InputError(f"{directory}: holds no tokenizer, which would be {_READ}")


def _settings(directory: Path) -> dict[str, Any]:
    """What `tokenizer_config.json` and `special_tokens_map.json` say, as far as they are there."""
    settings: dict[str, Any] = {}
    for name in (CONFIG_FILE, "special_tokens_map.json"):
        path = directory / name
        if path.is_file():
            found = _read_json(path)
            settings |= {key: value for key, value in found.items() if value is not None}
    return settings


def _roles(directory: Path, content: bytes) -> dict[str, str] | None:
    """The special tokens that the files beside a vocabulary declare, None if they do not."""
    declared = declared_roles(_settings(directory))
    try:
        known = json.loads(content)
        spellings = {added["content"] for added in known["added_tokens"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # the tokenizer itself will say what is wrong
    found = {role: spelling for role, spelling in declared.items() if spelling in spellings}
    return found or None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path.name} is no JSON ({error}); fetch it again") from None
    if not isinstance(content, dict):
        raise InputError(f"{path.name} holds no object; is it another file?")
    return content


def _vocabulary(path: Path) -> dict[str, int]:
    if not path.is_file():
        raise InputError(f"{path.name} is missing beside it")
    content = _read_json(path)
    ids = list(content.values())
    if not ids or not all(isinstance(i, int) and 0 <= i < 10**7 for i in ids):
        raise InputError(f"{path.name} is no vocabulary: it has to give each piece its id")
    if len(set(ids)) < len(ids):
        raise InputError(f"{path.name} is damaged: two pieces have one id")
    return content


def _merges(path: Path) -> list[list[str]]:
    if not path.is_file():
        raise InputError(f"{path.name} is missing beside it")
    merges = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line or (number == 1 and line.startswith("#version")):
            continue
        pair = line.removesuffix("\r").split(" ")
        if len(pair) != 2 or not all(pair):
            raise InputError(f"{path.name}, line {number}: is no merge of two pieces: {line!r}")
        merges.append(pair)
    return merges
