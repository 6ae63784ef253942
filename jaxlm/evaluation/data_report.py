"""`report.html` of a data line: what every stage took, changed and dropped, and what is left.

Made from the manifests of the stages alone. Self-contained: no network, no JavaScript; whatever
comes from documents is escaped, and the page's own policy forbids scripts besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxlm.data.stages import read_manifest
from jaxlm.errors import InputError
from jaxlm.evaluation import page, svg
from jaxlm.files import write_atomic

_STYLE = """
.pair { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px),
  1fr)); }
.pair h3 { color: var(--soft); margin-top: 10px; }
.origin { font-size: .85rem; margin-top: 14px; overflow-wrap: anywhere; }
.numbers.steps tbody tr:first-child { font-weight: inherit; }
"""
_MOST_BARS = 15
_MOST_CHARACTERS = 2_000
_MOST_PROBLEMS = 20
_STAGES = ("collect", "clean", "deduplicate", "tokenize")


def write_data_report(directories: Sequence[str | Path], output: str | Path) -> Path:
    """Writes the page.

    Args:
      directories: of finished stages, in the order in which they ran; collect, clean, deduplicate
        and tokenize are shown, any of them may be missing, other stages are listed by their facts.
      output: the file to write.

    Returns:
      The path of the page.

    Raises:
      InputError: no directory, or one that holds no finished stage.
      DamageError: a stage is damaged.
    """
    if not directories:
        raise InputError("no directory of a stage: give at least one to report on")
    manifests = [read_manifest(directory) for directory in directories]
    stages = [(str(m.get("stage")), _mapping(m["statistics"])) for m in manifests]
    flows = {unit: _flow(stages, unit) for unit in ("documents", "characters")}
    charts = [
        page.card(svg.flow_chart(flow, title=f"Flow of {unit}"), unit.title())
        for unit, flow in flows.items()
        if flow
    ]
    others = [page.card(page.facts(s), name) for name, s in stages if name not in _STAGES]
    sections = {
        "Flow": page.cards(charts),
        "Steps": _table(stages),
        "Counts": _counts(stages),
        "Balance": _balance(stages),
        "Before and after": _changes(stages),
        "Dropped, by step and rule": _dropped(stages),
        "Problems while reading": _problems(stages),
        "Other stages": page.cards(others),
    }
    body = f"<h1>Data line</h1>{page.tiles(_headline(stages, flows['documents']))}"
    body += "".join(page.section(name, content) for name, content in sections.items())
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, page.document("Data line", body, style=svg.STYLE + _STYLE))
    return path


_Stages = Sequence[tuple[str, Mapping[str, Any]]]


def _headline(stages: _Stages, flow: Sequence[svg.FlowStep]) -> dict[str, Any]:
    """The figures that come first."""
    facts: dict[str, Any] = {}
    if flow and flow[0].value:
        facts["documents read"] = int(flow[0].value)
        facts["documents left"] = int(flow[-1].value)
        facts["left_share"] = flow[-1].value / flow[0].value
    for stage, statistics in stages:
        if stage == "tokenize":
            parts = _parts(statistics)
            facts["training tokens"] = _number(parts[0], "tokens")
            facts["held-out tokens"] = _number(parts[1], "tokens")
            if tokens := sum(_number(part, "tokens") for part in parts):
                facts["bytes per token"] = sum(_number(part, "bytes") for part in parts) / tokens
        elif stage in _STAGES and "bytes" in statistics:
            facts["text_bytes"] = _number(statistics, "bytes")
    return facts


def _steps(stages: _Stages) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The steps of cleaning, and deduplication in the form of a step."""
    for stage, statistics in stages:
        for name, step in _mapping(statistics.get("steps")).items():
            yield name, _mapping(step)
        if stage == "deduplicate":
            counts = {
                "lines removed": statistics.get("lines_removed"),
                "passages cut": statistics.get("passages_cut"),
                **_mapping(statistics.get("contaminated")),
            }
            out = statistics.get("characters")
            yield stage, {**statistics, "characters_out": out, "counts": counts}


def _flow(stages: _Stages, unit: str) -> list[svg.FlowStep]:
    """What enters each step and what is lost in it; the last entry is what is left."""
    flow: list[svg.FlowStep] = []
    left = None
    for stage, statistics in stages:
        if stage == "collect" and unit == "documents":
            losses = [(name, _number(statistics, name)) for name in ("empty", "skipped")]
            flow.append(svg.FlowStep(stage, _number(statistics, "read"), losses))
        for name, step in _steps([(stage, statistics)]):
            lost = _lost(step) if unit == "characters" else _numbers(step.get("dropped"))
            losses = [(rule.removeprefix(f"{name}."), value) for rule, value in lost.items()]
            flow.append(svg.FlowStep(name, _number(step, f"{unit}_in"), losses))
        if stage == "tokenize":
            left = sum(_number(part, unit) for part in _parts(statistics))
        elif stage in _STAGES and unit in statistics:
            left = _number(statistics, unit)
    return flow if left is None else [*flow, svg.FlowStep("left", left)]


def _lost(step: Mapping[str, Any]) -> dict[str, int]:
    """Characters that went, with their documents or out of them."""
    return {"removed": max(0, _number(step, "characters_in") - _number(step, "characters_out"))}


def _table(stages: _Stages) -> str:
    rows = []
    for name, step in _steps(stages):
        entered, before = _number(step, "documents_in"), _number(step, "characters_in")
        dropped = sum(_numbers(step.get("dropped")).values())
        left = before - _lost(step)["removed"]
        cells = (
            f"{entered:,}", f"{dropped:,}", _share(dropped, entered),
            f"{_number(step, 'changed'):,}" if "changed" in step else "-",
            svg.number(before), _share(left, before),
        )  # fmt: skip
        rows.append((name, cells))
    if not rows:
        return ""
    names = ("step", "documents", "dropped", "share", "changed", "characters", "left of them")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(
        f'<tr><th scope="row">{page.text(name)}</th>'
        f"{''.join(f'<td>{page.text(cell)}</td>' for cell in cells)}</tr>"
        for name, cells in rows
    )
    table = f'<table class="numbers steps"><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
    return page.card(f"{table}</table>")


def _counts(stages: _Stages) -> str:
    """What steps found or did: personal data by kind, repaired texts, and so on."""
    return page.cards(
        [
            card
            for name, step in _steps(stages)
            if (card := _bars(name, _numbers(step.get("counts"))))
        ]
    )


def _balance(stages: _Stages) -> str:
    """How the corpus is composed after the last cleaning."""
    balances = [_mapping(s["balance"]) for _, s in stages if "balance" in s]
    balance = balances[-1] if balances else {}
    found = []
    for name in ("sources", "languages"):
        entries = _mapping(balance.get(name))
        sizes = {key: _number(_mapping(entry), "characters") for key, entry in entries.items()}
        found.append(_bars(f"{name.title()}, share of the characters", sizes, shares=True))
    for group, terms in _mapping(balance.get("identity_terms")).items():
        found.append(_bars(f"Identity terms, occurrences: {group}", _numbers(terms)))
    return page.cards([card for card in found if card])


def _bars(title: str, values: Mapping[str, int], *, shares: bool = False) -> str:
    """A card with the largest values."""
    ordered = sorted(((k, v) for k, v in values.items() if v > 0), key=lambda e: (-e[1], e[0]))
    if not ordered:
        return ""
    whole = sum(value for _, value in ordered)
    if rest := ordered[_MOST_BARS:]:
        others = (f"{len(rest):,} others", sum(value for _, value in rest))
        ordered = [*ordered[:_MOST_BARS], others]
    show = (lambda value: _share(value, whole)) if shares else svg.number
    return page.card(svg.bar_chart(ordered, title=title, show=show, emphasised=False), title)


def _changes(stages: _Stages) -> str:
    """Samples before and after each step that changes texts."""
    parts: list[str] = []
    for name, step in _steps(stages):
        samples = [_mapping(change) for change in _list(step.get("changes"))]
        pairs = "".join(
            f'{_origin(sample)}<div class="pair">{_text("before", sample)}{_text("after", sample)}'
            "</div>"
            for sample in samples
        )
        if pairs:
            title = f"{name}: {_number(step, 'changed'):,} texts changed"
            parts.append(page.folded_html(title, pairs, is_open=not parts))
    return "".join(parts)


def _dropped(stages: _Stages) -> str:
    """Examples of what each rule dropped, cut or found."""
    parts = []
    for name, step in _steps(stages):
        dropped, examples = _numbers(step.get("dropped")), _mapping(step.get("examples"))
        for rule in dict.fromkeys([*dropped, *examples]):
            shown = [_mapping(example) for example in _list(examples.get(rule))]
            if not dropped.get(rule) and not shown:
                continue
            number = f": {dropped[rule]:,} documents" if rule in dropped else ""
            content = "".join(_origin(sample) + _text("", sample) for sample in shown)
            title = f"{name} · {rule.removeprefix(f'{name}.')}{number}"
            parts.append(page.folded_html(title, content))
    return "".join(parts)


def _problems(stages: _Stages) -> str:
    problems = [
        str(problem) for _, statistics in stages for problem in _list(statistics.get("problems"))
    ]
    shown = "\n".join(problem[:_MOST_CHARACTERS] for problem in problems[:_MOST_PROBLEMS])
    return page.card(f"<pre>{page.text(shown)}</pre>") if problems else ""


def _origin(sample: Mapping[str, Any]) -> str:
    """Where a document comes from, and for a duplicate what it equals."""
    others = (
        f"{key}: {value}"
        for key, value in sample.items()
        if key not in ("source", "id", "text", "before", "after")
    )
    words = [str(sample.get("source", "")), str(sample.get("id", "")), *others]
    return f'<p class="origin">{page.text(" · ".join(word for word in words if word))}</p>'


def _text(name: str, sample: Mapping[str, Any]) -> str:
    content = str(sample.get(name or "text", ""))
    if len(content) > _MOST_CHARACTERS:
        content = f"{content[:_MOST_CHARACTERS]} [...]"
    heading = f"<h3>{name}</h3>" if name else ""
    return f"<div>{heading}<pre>{page.text(content)}</pre></div>"


def _parts(statistics: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [_mapping(statistics.get(part)) for part in ("train", "heldout")]


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _number(mapping: Mapping[str, Any], name: str) -> int:
    value: Any = mapping.get(name)
    return int(value) if page.is_finite(value) and value > 0 else 0


def _numbers(value: object) -> dict[str, int]:
    mapping = _mapping(value)
    return {str(name): _number(mapping, name) for name in mapping}
