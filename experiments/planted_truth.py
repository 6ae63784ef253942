"""Precision and recall of every step of the data line, on a corpus whose truth was planted.

Shows: what a step finds of what is there, and what it finds that is not: personal data and what
resembles it, duplicates at known similarity, pages, languages, noise, insults, leaked passages.

    python experiments/planted_truth.py                     # 1,000 documents
    python experiments/planted_truth.py --documents 5000 --seed 7
    python experiments/planted_truth.py --json
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

from jaxlm.cli import run_guarded
from jaxlm.commands.options import parse
from jaxlm.data.corpus import embedded_documents
from jaxlm.evaluation.planted_truth import Result, measure_steps

_SHORT = 200  # characters; the shortest docstrings are a few words


@dataclasses.dataclass(frozen=True)
class Options:
    """What is planted."""

    seed: int = 0
    """Decides everything about the corpus."""
    documents: int = 1000
    """Size of the corpus."""
    innocent: int = 1000
    """Documents of the embedded corpus that are no noise and not toxic."""
    json: bool = False
    """Print a line of JSON for each step instead of the table."""


def main() -> int:
    """Prints the table."""
    options = parse(
        Options, sys.argv[1:], program="planted_truth.py", description=Options.__doc__ or ""
    )
    with tempfile.TemporaryDirectory() as directory:
        real = [d for d in embedded_documents() if len(d.text) > _SHORT][: options.innocent]
        results = measure_steps(options.seed, options.documents, Path(directory), real)
    if options.json:
        for result in results:
            print(json.dumps(_record(result)))
    else:
        print(_table(results))
    return 0


def _record(result: Result) -> dict[str, object]:
    score = result.score
    return {
        "step": result.step, "precision": score.precision, "recall": score.recall,
        "goal": result.goal, "met": result.met, **dataclasses.asdict(score),
    }  # fmt: skip


def _table(results: list[Result]) -> str:
    lines = [
        f"{'step':32} {'precision':>9} {'recall':>7} {'goal':>11} {'tp':>7} {'fp':>5} {'fn':>5}"
    ]
    for result in results:
        score = result.score
        lines.append(
            f"{result.step:32} {score.precision:9.4f} {score.recall:7.4f} "
            f"{result.goal[0]:.2f} / {result.goal[1]:.2f} {score.true_positives:7d} "
            f"{score.false_positives:5d} {score.false_negatives:5d}"
            f"{'' if result.met else '  missed'}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_guarded(main))
