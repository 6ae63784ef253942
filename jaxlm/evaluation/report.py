"""`report.html`: one self-contained page about a run, made from what its directory holds.

No network and no JavaScript: inline style and SVG, light and dark, readable on a phone. Every
text that comes from a file is escaped; the page's own policy forbids scripts besides.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from jaxlm.errors import InputError
from jaxlm.evaluation import page, svg
from jaxlm.files import write_atomic
from jaxlm.training.metrics import read_metrics

# The charts in their order: title, the metrics drawn in it with their names, axis from zero.
_CHARTS = [
    ("Loss, nats per token", {"train/loss": "training", "heldout/loss": "held-out"}, False),
    ("Held-out bits per byte", {"heldout/bits_per_byte": "held-out"}, False),
    ("Learning rate", {"train/learning_rate": "learning rate"}, True),
    ("Gradient norm", {"train/gradient_norm": "gradient norm"}, True),
    ("Tokens per second", {"train/tokens_per_second": "tokens per second"}, True),
    ("Share of the device's matrix rate", {"train/matrix_rate_share": "share"}, True),
]
_UNDRAWN = {"train/tokens", "heldout/perplexity"}  # the size of a batch; exp of the loss
_NAMES = {"heldout": "this model", "unigram": "unigram", "uniform": "uniform"}
_MOST_SAMPLES, _MOST_CHARACTERS = 12, 5_000


def write_report(run_dir: str | Path) -> Path:
    """Writes `report.html` into a run directory, from whatever of these files it holds.

    `summary.json` (final results), `metrics.jsonl`, `samples/*.txt`, `config.yaml`,
    `environment.json` and `data/manifest.json`; an unfinished run has a report as well.

    Returns:
      The path of the page.

    Raises:
      InputError: not a run directory, or a file in it is damaged; names the file.
    """
    run_dir = Path(run_dir)
    known = ("config.yaml", "metrics.jsonl", "samples", "environment.json", "summary.json", "data")
    if not any((run_dir / name).exists() for name in known):
        raise InputError(
            f"{run_dir}: not a run directory (it has none of {', '.join(known)}); give the "
            "directory that `jaxlm train` wrote."
        )
    config, config_text = _read_config(run_dir / "config.yaml")
    summary = _read_json(run_dir / "summary.json")
    metrics = read_metrics(run_dir)
    title = f"Run {run_dir.resolve().name}"
    sections = {
        "Result": _results(summary),
        "Curves": _curves(metrics),
        "Samples": _samples(run_dir / "samples"),
        "Data": page.card(page.facts(_read_json(run_dir / "data" / "manifest.json"))),
        "Environment": page.card(page.facts(_read_json(run_dir / "environment.json"))),
        "Configuration": page.folded("config.yaml", config_text) if config_text else "",
    }
    body = f"<h1>{page.text(title)}</h1><p>{_status(summary, metrics, config)}</p>"
    body += "".join(page.section(name, content) for name, content in sections.items())
    path = run_dir / "report.html"
    write_atomic(path, page.document(title, body, style=svg.STYLE))
    return path


def _read_json(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); move it away or restore it.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: a JSON object is needed; move it away or restore it.")
    return content


def _read_config(path: Path) -> tuple[dict[str, Any], str]:
    if not path.exists():
        return {}, ""
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not YAML ({reason}); move it away or restore it.") from error
    return content if isinstance(content, dict) else {}, text


def _status(summary: Mapping, metrics: Sequence[Mapping], config: Mapping) -> str:
    done = _count(summary.get("step"))  # a stopped run has a summary as well
    step = max([done, *(int(record["step"]) for record in metrics)])
    training = config.get("training")
    goal = _count(training.get("steps")) if isinstance(training, dict) else 0
    if not step:
        return "Finished." if summary else "Not finished: no step recorded yet."
    if summary and (done or step) >= goal:
        return f"Finished after {step:,} steps."
    older = f" The result is that of step {done:,}." if 0 < done < step else ""
    return f"Not finished: at step {step:,}{f' of {goal:,}' if goal else ''}.{older}"


def _count(value: object) -> int:
    return value if type(value) is int else 0


def _results(summary: Mapping[str, Any]) -> str:
    scores = {name: entry for name, entry in summary.items() if isinstance(entry, dict)}
    scores = {name: scores[name] for name in [*_NAMES, *scores] if name in scores}
    facts = {n: v for n, v in summary.items() if n not in (*scores, "step", "steps")}
    columns = list(dict.fromkeys(column for entry in scores.values() for column in entry))
    cards = []
    if scores:
        head = "".join(f'<th scope="col">{page.label(column)}</th>' for column in columns)
        rows = "".join(
            f'<tr><th scope="row">{page.text(_NAMES.get(name, name))}</th>'
            + "".join(f"<td>{page.show(column, entry.get(column))}</td>" for column in columns)
            + "</tr>"
            for name, entry in scores.items()
        )
        cards.append(
            '<div class="card"><h3>Held-out documents, against simple baselines</h3>'
            f'<table class="numbers"><thead><tr><th scope="col"></th>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    bars = [
        (_NAMES.get(name, name), float(entry["bits_per_byte"]))
        for name, entry in scores.items()
        if page.is_finite(entry.get("bits_per_byte"))
    ]
    if bars:
        title = "Bits per byte (lower is better)"
        cards.append(page.card(svg.bar_chart(bars, title=title), title))
    return page.tiles(facts) + page.cards(cards)


def _curves(metrics: Sequence[Mapping[str, float]]) -> str:
    by_name: dict[str, dict[float, float]] = {}
    for record in metrics:
        for name, value in record.items():
            if name != "step":  # of two records of one step the later counts
                by_name.setdefault(name, {})[record["step"]] = value
    drawn = _UNDRAWN.union(*(lines for _, lines, _ in _CHARTS))
    others = [
        (name, {name: name}, False)
        for name, values in sorted(by_name.items())
        if name not in drawn and len(set(values.values())) > 1  # a constant has no curve
    ]
    cards = []
    for title, lines, from_zero in [*_CHARTS, *others]:
        series = [
            svg.Series(label, sorted(by_name[name].items()), marked=name.startswith("heldout/"))
            for name, label in lines.items()
            if any(map(math.isfinite, by_name.get(name, {}).values()))
        ]
        if series:
            chart = svg.line_chart(series, title=title, y_from_zero=from_zero)
            bad = sum(not math.isfinite(y) for s in series for _, y in s.points)
            note = f"<p>Left out, since not finite: {bad:,}.</p>" if bad else ""
            cards.append(page.card(chart + note, title))
    return page.cards(cards)


def _samples(directory: Path) -> str:
    """Newest first and open, the older ones folded."""
    files = sorted(directory.glob("*.txt"), key=lambda path: path.name, reverse=True)
    count = len(files)
    if count > _MOST_SAMPLES:  # evenly spaced, the first and the last among them
        files = [files[i * (count - 1) // (_MOST_SAMPLES - 1)] for i in range(_MOST_SAMPLES)]
    parts = []
    for index, path in enumerate(files):
        step = re.fullmatch(r"step_(\d+)", path.stem)
        title = f"After {int(step[1]):,} steps" if step else path.stem
        text = path.read_bytes()[: 4 * _MOST_CHARACTERS].decode(errors="replace")
        if len(text) > _MOST_CHARACTERS:
            text = f"{text[:_MOST_CHARACTERS]}\n[... continued in samples/{path.name}]"
        parts.append(page.folded(title, text, is_open=index == 0))
    if count > len(files):
        parts.append(f"<p>{len(files)} of {count} samples are shown; all are in samples/.</p>")
    return "".join(parts)
