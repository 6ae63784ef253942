"""How fast tokenizers encode, beside the libraries that others call themselves.

Shows: every kind is as fast as its library; byte-level BPE goes by `tiktoken`, in groups of
documents, and is faster than both `tokenizers` and `tiktoken`'s own batches with the same ids.

    python experiments/benchmarks/encoding.py
    python experiments/benchmarks/encoding.py --corpus my_texts/ --vocab-size 16000

All tokenizers are trained on the same sample and encode the same documents, in batches, on one
core; the rounds are interleaved, and the median of each is reported. The peers have the very
vocabulary of the kind they stand beside, and their ids are compared with its ids.

Cost: about a minute on one core with the default corpus.
Came out (documentation in 11,798 short documents, 4.0 MB, `tokenizers` 0.23, `tiktoken` 0.14),
MB/s: byte_bpe 12.5 (3.9 times `tokenizers`, 2.4 times `tiktoken`), GPT-2's vocabulary 14.7 (4.9 and
3.0 times), SmolLM2's 14.1 (4.9 times `tokenizers`), bpe 6.3 and unigram 22.5 (both as
`sentencepiece`), wordpiece 3.1 (as `tokenizers`), word 12.7, word_character 10.5, character 30,
bytes 79. On three documents of 1.1 MB: byte_bpe 21.8 (8.1 times `tokenizers`, 1.3 `tiktoken`),
bpe 2.5, as `sentencepiece`.
"""

from __future__ import annotations

import os

# Read when the libraries load: all of them on one core.
os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import dataclasses
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import get_args

import sentencepiece
import tiktoken
import tokenizers
from rich.console import Console
from rich.table import Table

from jaxlm.cli import run_guarded
from jaxlm.commands.options import parse
from jaxlm.data.sources import read_documents
from jaxlm.tokenizers.base import Tokenizer
from jaxlm.tokenizers.byte_alphabet import piece_to_bytes
from jaxlm.tokenizers.pretrained import read_pretrained
from jaxlm.tokenizers.tiktoken import GPT2_PATTERN
from jaxlm.tokenizers.train import Kind, train_tokenizer

Encode = Callable[[list[str]], list[list[int]]]


@dataclasses.dataclass(frozen=True)
class Options:
    """Arguments of the benchmark."""

    corpus: tuple[str, ...] = ("embedded",)
    """What is encoded and trained on."""
    megabytes: float = 4.0
    """How much of it is encoded."""
    vocab_size: int = 8000
    rounds: int = 5
    tokenizers: tuple[str, ...] = ()
    """More tokenizers, by their files or directories."""
    json: bool = False
    """Print one JSON object instead of a table."""


def main(arguments: Sequence[str]) -> int:
    """Runs the benchmark."""
    options = parse(
        Options, arguments, program="encoding.py", description=(__doc__ or "").partition("\n")[0]
    )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    texts = _texts(options.corpus, int(options.megabytes * 1e6))
    size = sum(len(text.encode()) for text in texts)
    own: dict[str, Tokenizer] = {
        kind: train_tokenizer(kind, texts, options.vocab_size, max_characters=2_000_000)
        for kind in get_args(Kind)
    }
    own |= {path: read_pretrained(path) for path in options.tokenizers}
    runs: dict[str, Encode] = {name: one.encode_batch for name, one in own.items()}
    ratio_to: dict[str, str] = {}
    for name, one in own.items():
        for peer, encode in _peers(one).items():
            runs[f"{peer} ({name})"] = encode
            ratio_to[f"{peer} ({name})"] = name
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    ids: dict[str, list[list[int]]] = {}
    for _ in range(options.rounds):
        for name, encode in runs.items():
            started = time.perf_counter()
            ids[name] = encode(texts)
            seconds[name].append(time.perf_counter() - started)
    rates = {name: size / 1e6 / statistics.median(times) for name, times in seconds.items()}
    rows = [
        {
            "encoder": name,
            "mb_per_second": rates[name],
            "bytes_per_token": size / sum(map(len, ids[name])),
            "own_is_faster_by": rates[ratio_to[name]] / rates[name] if name in ratio_to else None,
            "same_ids": ids[name] == ids[ratio_to[name]] if name in ratio_to else None,
        }
        for name in runs
    ]
    if options.json:
        print(json.dumps({"bytes": size, "documents": len(texts), "rows": rows}))
        return 0
    table = Table("encoder", "MB/s", "bytes/token", "own / peer", "same ids")
    table.title = f"{len(texts):,} documents, {size / 1e6:.1f} MB, one core"
    for row in rows:
        ratio = row["own_is_faster_by"]
        table.add_row(
            str(row["encoder"]),
            f"{row['mb_per_second']:.2f}",
            f"{row['bytes_per_token']:.2f}",
            "" if ratio is None else f"{ratio:.2f}",
            {None: "", True: "yes", False: "no"}[row["same_ids"]],  # type: ignore[index]
        )
    Console().print(table)
    return 0


def _texts(corpus: Sequence[str], size: int) -> list[str]:
    """The first documents, of `size` bytes together; a small corpus is repeated."""
    texts: list[str] = []
    total = 0
    for document in itertools.chain.from_iterable(
        read_documents(corpus) for _ in itertools.count()
    ):
        texts.append(document.text)
        total += len(document.text.encode())
        if total >= size:
            break
    return texts


def _peers(tokenizer: Tokenizer) -> dict[str, Encode]:
    """The libraries themselves, with the vocabulary of `tokenizer`."""
    files = tokenizer.files()
    if "sentencepiece.model" in files:
        model = sentencepiece.SentencePieceProcessor(model_proto=files["sentencepiece.model"])
        return {"sentencepiece": lambda texts: model.encode(texts, num_threads=1)}
    if "tokenizer.json" not in files:
        return {}
    library = tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())
    library.no_truncation()
    library.no_padding()
    library.encode_special_tokens = True

    def encode_by_library(texts: list[str]) -> list[list[int]]:
        return [e.ids for e in library.encode_batch_fast(texts, add_special_tokens=False)]

    peers: dict[str, Encode] = {"tokenizers": encode_by_library}
    description = json.loads(files["tokenizer.json"])
    vocabulary = description["model"]["vocab"]
    special = {added["content"] for added in description["added_tokens"]}
    ranks = {piece_to_bytes(p): i for p, i in vocabulary.items() if p not in special}
    plain = description["pre_tokenizer"]["type"] == "ByteLevel"
    if plain and all(bytes([byte]) in ranks for byte in range(256)):
        encoding = tiktoken.Encoding(
            "peer", pat_str=GPT2_PATTERN, mergeable_ranks=ranks, special_tokens={}
        )
        peers["tiktoken"] = lambda texts: encoding.encode_ordinary_batch(texts, num_threads=1)
    return peers


if __name__ == "__main__":
    sys.exit(run_guarded(lambda: main(sys.argv[1:])))
