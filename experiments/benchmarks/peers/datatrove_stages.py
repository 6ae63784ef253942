"""Stages of datatrove over a file of JSON Lines, timed; run by the Python that has datatrove.

    pip install 'datatrove==0.10.*' spacy nltk regex tldextract tokenizers 'xxhash<4'
    python datatrove_stages.py DOCUMENTS.jsonl STAGE...

Prints one JSON object: {stage: {"seconds": CPU seconds, "kept": documents}}.
"""

import json
import logging
import sys
import tempfile
import time
import warnings

from datatrove.data import Document
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.hashing import HashConfig
from loguru import logger

logger.remove()
logging.disable()
warnings.simplefilter("ignore")


def minhash(folder):
    """Signatures of 14 bands of 8, written to disk."""
    config = MinhashConfig(
        n_grams=5, num_buckets=14, hashes_per_bucket=8, hash_config=HashConfig(precision=64)
    )
    return MinhashDedupSignature(folder, config)


STAGES = {
    "c4": C4QualityFilter,
    "gopher_quality": GopherQualityFilter,
    "gopher_repetition": GopherRepetitionFilter,
    # The published thresholds; the peer's own are 0.01, and a rule of words in a line besides.
    "fineweb": lambda: FineWebQualityFilter(char_duplicates_ratio=0.1, new_line_ratio=float("inf")),
}


def run(make, texts):
    """CPU seconds and kept documents of one stage."""
    with tempfile.TemporaryDirectory() as folder:
        stage = minhash(folder) if make is minhash else make()
        documents = (Document(text=text, id=str(i)) for i, text in enumerate(texts))
        start = time.process_time()
        if make is minhash:
            stage.run(documents)
            return time.process_time() - start, len(texts)
        kept = sum(1 for _ in stage.run(documents))
        return time.process_time() - start, kept


def main():
    """Reads, warms up, measures."""
    with open(sys.argv[1], encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    result = {}
    for name in sys.argv[2:]:
        make = minhash if name == "minhash" else STAGES[name]
        run(make, texts[:5])
        seconds, kept = run(make, texts)
        result[name] = {"seconds": seconds, "kept": kept}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
