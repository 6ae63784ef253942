"""HTML from texts that are not trusted, and how the report's page looks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

# HTML cannot hold these characters, not even escaped.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1b1f24;
  --soft: #5b6470; --edge: #e3e6ea; }
@media (prefers-color-scheme: dark) { :root { --page: #111418; --card: #1a1e24; --text: #e6e9ed;
  --soft: #98a2b0; --edge: #2c323b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 28px 20px 60px; background: var(--page);
  color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 36px 0 12px; }
h3 { font-size: .95rem; font-weight: 600; margin: 0 0 6px; }
p { margin: 6px 0; color: var(--soft); }
.card p { font-size: .85rem; }
.cards { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px),
  1fr)); }
.card, details { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: 14px 16px; min-width: 0; overflow-x: auto; }
.tiles { display: grid; gap: 14px; margin: 18px 0 14px;
  grid-template-columns: repeat(auto-fill, minmax(135px, 1fr)); }
.tile { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: 10px 12px; }
.tile b { display: block; font-size: 1.15rem; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { padding: 6px 10px 6px 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--edge); }
tr:last-child > * { border-bottom: 0; }
th { font-weight: 500; color: var(--soft); }
.numbers td, .numbers tbody th { white-space: nowrap; }
.numbers thead th { vertical-align: bottom; }
.numbers td, .numbers thead th + th { text-align: right; font-variant-numeric: tabular-nums; }
.numbers tbody tr:first-child { font-weight: 700; }
.facts { table-layout: fixed; overflow-wrap: anywhere; }
.facts th { width: 42%; }
details { margin: 0 0 8px; padding: 9px 16px; }
summary { cursor: pointer; font-weight: 600; font-size: .95rem; }
pre { margin: 12px 0 2px; font: .86rem/1.5 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
@media (max-width: 520px) { body { padding: 20px 12px 40px; } .card { padding: 12px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 10px; } }
"""


def document(title: str, body: str, *, style: str = "") -> str:
    """A whole page; `title` is a text, `body` HTML, `style` CSS beside that of this module."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{text(title)}</title><style>{STYLE}{style}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def text(content: str) -> str:
    """Escaped, without the characters that HTML cannot hold."""
    return escape(_CONTROLS.sub("\ufffd", content))


def section(title: str, content: str) -> str:
    """HTML under a heading; nothing if there is none."""
    return f"<section><h2>{text(title)}</h2>{content}</section>" if content else ""


def card(content: str, title: str = "") -> str:
    """HTML in a frame, below a title; nothing if there is none."""
    heading = f"<h3>{text(title)}</h3>" if title else ""
    return f'<div class="card">{heading}{content}</div>' if content else ""


def cards(contents: Sequence[str]) -> str:
    """Cards beside each other where there is room."""
    return f'<div class="cards">{"".join(contents)}</div>' if contents else ""


def tiles(facts: Mapping[str, Any]) -> str:
    """A row of single figures, shown by the ends of their names (`show`)."""
    parts = (
        f'<div class="tile"><b>{show(name, value)}</b><span>{label(name)}</span></div>'
        for name, value in facts.items()
    )
    return f'<div class="tiles">{"".join(parts)}</div>' if facts else ""


def folded(title: str, content: str, *, is_open: bool = False) -> str:
    """A text that is shown as it is when its title is clicked on."""
    return folded_html(title, f"<pre>{text(content)}</pre>", is_open=is_open)


def folded_html(title: str, content: str, *, is_open: bool = False) -> str:
    """HTML that is shown when its title is clicked on."""
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{text(title)}</summary>{content}</details>"


def facts(content: Mapping[str, Any]) -> str:
    """A table of names and values; nested names are joined by dots, lists are counted."""
    rows = "".join(
        f'<tr><th scope="row">{label(name)}</th><td>{show(name, value)}</td></tr>'
        for name, value in _flatten(content)[:80]
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>' if rows else ""


def label(name: str) -> str:
    """`peak_memory_bytes` as words; its unit goes into the value."""
    if name == "seconds":
        return "time in all"
    words = name.removesuffix("_bytes").replace("_seconds", " time")
    return text(words.replace("_", " ").replace(".", " · "))


def is_finite(value: object) -> bool:
    """Whether a value from a file is a number that is finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -1e300 < value < 1e300  # unlike math.isfinite, this takes integers of any size


def show(name: str, value: Any) -> str:
    """A value with the unit that the end of its name tells."""
    if value is None:
        return "-"
    if not is_finite(value):
        return text(str(value))
    if name.endswith("_share"):
        return f"{value:.1%}"
    if name.endswith("_bytes"):
        power = min(max(int(math.log2(max(value, 1)) // 10), 0), 4)
        return f"{value / 1024**power:.4g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
    if name.endswith("seconds"):
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        if hours:
            return f"{hours} h {minutes} min"
        return f"{minutes} min {seconds} s" if minutes else f"{value:.3g} s"
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.4g}"
    return f"{value:.4g}"


def _flatten(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """(dotted name, scalar) of a nested object; of a list, its length."""
    flat: list[tuple[str, Any]] = []
    for name, value in content.items():
        if isinstance(value, dict):
            flat.extend(_flatten(value, f"{prefix}{name}."))
        elif isinstance(value, list):
            flat.append((f"{prefix}{name}", f"{len(value):,} entries"))
        else:
            flat.append((f"{prefix}{name}", value))
    return flat
