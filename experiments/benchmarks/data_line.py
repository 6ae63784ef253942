"""Cleaning and near-duplicate signatures in MB/s of one core, beside datatrove on the same text.

Shows: CPU seconds of every step over the same documents, in processes of their own, one after the
other in turns; at the rules and the banding (14 x 8) that both have.
Costs: about two minutes for 20 MB, nearly all of them the peer's.
Came out (two cores, Python 3.11): see the README's table. Verdicts differ where words do: ours
stand between white space, datatrove's spaCy makes every mark a word, which holds no letter, so that
reference documentation fails its Gopher rules.

    python experiments/benchmarks/data_line.py --corpus /usr/share/doc --peer PYTHON_WITH_DATATROVE

Without --peer only our own figures are printed. peers/datatrove_stages.py says what to install.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from jaxlm.data.cleaning.c4 import C4Config
from jaxlm.data.cleaning.config import CleaningConfig, cleaning_steps
from jaxlm.data.cleaning.fineweb import FineWebConfig
from jaxlm.data.deduplication import text_digest
from jaxlm.data.documents import Document
from jaxlm.data.near_duplicates import NearConfig, band_keys, signatures
from jaxlm.data.sources import read_documents
from jaxlm.data.word_hashes import words

# The rules that the peer applies, where our default for documentation is milder.
_SAME_RULES = CleaningConfig(
    c4=C4Config(
        terminal_punctuation=True,
        min_words_per_line=3,
        javascript_lines=True,
        curly_bracket=True,
        min_sentences=5,
    ),
    fineweb=FineWebConfig(enabled=True),
)
_BOTH = ("c4", "gopher_quality", "gopher_repetition", "fineweb", "minhash")
_BATCH = 200_000  # characters whose words are hashed together, as the stage does


@dataclasses.dataclass(frozen=True)
class Options:
    """Arguments of the benchmark."""

    corpus: tuple[str, ...] = ("embedded",)
    """Files, folders, globs or names of data sets; pages are reduced to their main text first."""
    megabytes: float = 20
    """Take so much of it."""
    peer: str | None = None
    """A Python that has datatrove."""
    rounds: int = 3
    measure: str | None = None
    """(Used by the benchmark itself: measure on this file and print JSON.)"""


def main() -> None:
    """Measures and prints the table."""
    options = tyro.cli(Options, description=__doc__)
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.jsonl"
        count, size = write_documents(options, path)
        console.print(f"{count:,} documents, {size / 1e6:.1f} MB of text")
        commands = {"jaxlm": [sys.executable, __file__, "--measure", str(path)]}
        if options.peer:
            script = Path(__file__).parent / "peers" / "datatrove_stages.py"
            commands["datatrove"] = [options.peer, str(script), str(path), *_BOTH]
        found: dict[str, list[dict]] = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                found[name].append(json.loads(output))
    table = Table("step", "jaxlm MB/s", "kept", "datatrove MB/s", "kept", "ratio")
    for stage in found["jaxlm"][0]:
        own = [one[stage]["seconds"] for one in found["jaxlm"]]
        row = [stage, rate(size, own), f"{found['jaxlm'][0][stage]['kept']:,}"]
        peer = [one[stage]["seconds"] for one in found.get("datatrove", ()) if stage in one]
        if peer:
            ratio = statistics.median(peer) / statistics.median(own)
            row += [rate(size, peer), f"{found['datatrove'][0][stage]['kept']:,}", f"{ratio:.1f}x"]
        table.add_row(*row)
    console.print(table)


def rate(size: int, seconds: Sequence[float]) -> str:
    """Median, slowest and fastest in MB/s."""
    median, slow, fast = statistics.median(seconds), max(seconds), min(seconds)
    return f"{size / median / 1e6:.2f} ({size / slow / 1e6:.2f}-{size / fast / 1e6:.2f})"


def write_documents(options: Options, path: Path) -> tuple[int, int]:
    """The texts of the corpus, main text of pages, until there is enough; count and bytes."""
    html = dict(cleaning_steps(CleaningConfig()))["html"]
    count = size = 0
    with path.open("w", encoding="utf-8") as file:
        for document in read_documents(options.corpus, encoding="auto", on_error="skip"):
            text = html(document).text
            if len(text) < 200:
                continue
            file.write(json.dumps({"text": text}) + "\n")
            count += 1
            size += len(text.encode())
            if size >= options.megabytes * 1e6:
                break
    return count, size


def measure(path: str) -> dict[str, dict[str, float]]:
    """CPU seconds and kept documents of each of our steps."""
    with open(path, encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    documents = [Document(text, "s", str(i)) for i, text in enumerate(texts)]
    stages: dict[str, Callable[[Sequence[Document]], int]] = {
        name: functools.partial(apply, step) for name, step in cleaning_steps(_SAME_RULES)
    }
    del stages["html"]  # the documents are text already
    stages["exact duplicates"] = lambda some: len({text_digest(d.text) for d in some})
    stages["minhash"] = minhash
    result = {}
    for name, stage in stages.items():
        stage(documents[:5])
        start = time.process_time()
        kept = stage(documents)
        result[name] = {"seconds": time.process_time() - start, "kept": kept}
    return result


def apply(step, documents: Sequence[Document]) -> int:
    """How many documents a step keeps."""
    return sum(1 for document in documents if not step(document).dropped_by)


def minhash(documents: Sequence[Document]) -> int:
    """Signatures and the keys of 14 bands of 8."""
    config = NearConfig(bands=14, rows=8)
    batch: list[str] = []
    size = 0
    for number, document in enumerate(documents, 1):
        batch.append(document.text)
        size += len(document.text)
        if size >= _BATCH or number == len(documents):
            band_keys(signatures(words(batch), config), config)
            batch, size = [], 0
    return len(documents)


if __name__ == "__main__":
    main()
