"""From raw text to a talking model, in one command.

Shows: every stage on real text: corpus, exact duplicates removed, SentencePiece tokenizer, packed
token shards, a Llama-style decoder, held-out evaluation against two baselines, samples, report.

    python experiments/quickstart.py                        # the documentation inside Python
    python experiments/quickstart.py --corpus my_texts/     # .txt .md .jsonl .parquet, ...
    python experiments/quickstart.py --size small --platform gpu
    python experiments/quickstart.py --mesh.data 2 --mesh.fsdp 2 --mesh.tensor 2

This is `jaxlm train` with its defaults; every option is listed by --help.
"""

import sys

from jaxlm.cli import entry

if __name__ == "__main__":
    entry(["train", *sys.argv[1:]])
