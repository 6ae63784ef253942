"""Line and bar charts as SVG text: no JavaScript, no plotting library.

Colours, strokes and fonts come from the page by class names (`STYLE`), so that one chart serves
light and dark mode. The colours are of Okabe and Ito's palette, told apart by colour-blind
readers; series differ in their stroke as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxlm.evaluation import page

WIDTH, HEIGHT = 460, 270
_LEFT, _RIGHT, _TOP, _BOTTOM, _LEGEND = 64, 22, 12, 44, 34
_MOST_POINTS = 200

STYLE = """
:root { --series-0: #0072b2; --series-1: #d55e00; --series-2: #009e73; --series-3: #cc79a7;
  --grid: #e3e6ea; --axis: #6b7280; }
@media (prefers-color-scheme: dark) {
  :root { --series-0: #56b4e9; --series-1: #f0a030; --series-2: #2ec49a; --series-3: #e09cc3;
    --grid: #2c323b; --axis: #98a2b0; } }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
@media (max-width: 520px) { svg { font-size: 15px; } }
svg text { fill: var(--axis); }
svg .value, svg .name { fill: currentColor; }
svg .grid { stroke: var(--grid); stroke-width: 1; }
svg .line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
svg .range { opacity: .18; stroke: none; }
""" + "".join(
    f".s{i} {{ stroke: var(--series-{i}); }} .f{i} {{ fill: var(--series-{i}); }}\n"
    for i in range(4)
)


@dataclass(frozen=True)
class Series:
    """One line of a chart: `points` are (x, y), sorted by x; `marked` draws each as a dot."""

    name: str
    points: Sequence[tuple[float, float]]
    marked: bool = False


def round_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` ticks at multiples of 1, 2 or 5 times a power of ten.

    Returns:
      Ascending ticks; the first is <= `low` and the last >= `high`.

    >>> round_ticks(0.3, 9.1)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value: a band around it
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def number(value: float) -> str:
    """A short label: 4 significant digits, millions and more with a letter.

    >>> [number(v) for v in (0.0025, 12.0, 2500, 1.25e6)]
    ['0.0025', '12', '2,500', '1.25M']
    """
    size = abs(value)
    for scale, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if scale <= size < 1e15 and size >= 1e5:
            return f"{value / scale:.4g}{letter}"
    return f"{value:,.0f}" if 1e3 <= size < 1e5 else f"{value:.4g}"


def line_chart(series: Sequence[Series], *, title: str, y_from_zero: bool = False) -> str:
    """A chart over training steps.

    Long series are drawn as the mean of neighbouring records, with their range behind. Values
    that are not finite leave a gap.

    Args:
      series: at most four lines; at least one finite value among them.
      title: what is shown, with its unit.
      y_from_zero: whether the vertical axis has to begin at zero.
    """
    finite = [(x, y) for s in series for x, y in s.points if math.isfinite(y)]
    xs, ys = [x for x, _ in finite], [y for _, y in finite]
    y_ticks = round_ticks(min([0.0, *ys]) if y_from_zero else min(ys), max(ys))
    x_high = max(xs) or 1.0  # steps begin at zero; the axis ends where the data do
    x_ticks = [tick for tick in round_ticks(0.0, x_high, 6) if tick <= x_high]
    top = _LEGEND if len(series) > 1 else _TOP

    def place(x: float, y: float) -> tuple[float, float]:
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return (
            round(_LEFT + x / x_high * (WIDTH - _LEFT - _RIGHT), 1),
            round(HEIGHT - _BOTTOM - up * (HEIGHT - top - _BOTTOM), 1),
        )

    parts = []
    for tick in y_ticks:
        _, y = place(0.0, tick)
        parts.append(_line(_LEFT, y, WIDTH - _RIGHT, y))
        parts.append(_text(_LEFT - 8, y + 4, number(tick), anchor="end"))
    for tick in x_ticks:
        x, y = place(tick, y_ticks[0])
        parts.append(_line(x, y, x, y + 5))
        parts.append(_text(x, y + 19, number(tick), anchor="middle"))
    parts.append(_text((WIDTH + _LEFT - _RIGHT) / 2, HEIGHT - 6, "step", anchor="middle"))
    for index, one in enumerate(series):
        for run in _finite_runs(_thin(one.points)):
            parts.append(_curve(run, index, place))
        if one.marked and len(one.points) <= _MOST_POINTS:
            parts.extend(
                f'<circle class="f{index}" cx="{place(x, y)[0]}" cy="{place(x, y)[1]}" r="3.2">'
                f"<title>{page.text(one.name)}, step {x:g}: {y:.5g}</title></circle>"
                for x, y in one.points
                if math.isfinite(y)
            )
    if len(series) > 1:
        parts.append(_legend(series))
    return _svg(parts, HEIGHT, title)


def bar_chart(
    bars: Sequence[tuple[str, float]],
    *,
    title: str,
    show: Callable[[float], str] = "{:.3f}".format,
    emphasised: bool = True,
) -> str:
    """Horizontal bars from zero; values finite and not negative.

    Args:
      bars: their names and lengths.
      title: what is shown.
      show: the label of a value.
      emphasised: the first bar is drawn stronger than the others.
    """
    longest_name = max(len(name) for name, _ in bars)
    left = min(max(100, 10 + 7 * longest_name), 190)
    right = max(60, 16 + 7 * max(len(show(value)) for _, value in bars))
    height, gap = (26, 12) if len(bars) < 8 else (18, 7)
    longest = max(value for _, value in bars) or 1.0
    parts = []
    for index, (name, value) in enumerate(bars):
        y = index * (height + gap) + 4
        width = max(value / longest * (WIDTH - left - right), 1.0)
        middle = y + height / 2 + 4.5
        strong = index == 0 or not emphasised
        parts.append(
            _text(left - 10, middle, name, anchor="end", kind="name", most=(left - 10) // 7)
        )
        parts.append(
            f'<rect class="f{0 if strong else 1}" x="{left}" y="{y}" width="{width:.1f}" '
            f'height="{height}" rx="3" opacity="{1 if strong else 0.55}"/>'
        )
        parts.append(_text(left + width + 8, middle, show(value), kind="value"))
    return _svg(parts, len(bars) * (height + gap), title)


@dataclass(frozen=True)
class FlowStep:
    """What goes into a step, and what of it is lost there under which name."""

    name: str
    value: float
    losses: Sequence[tuple[str, float]] = ()


def flow_chart(steps: Sequence[FlowStep], *, title: str) -> str:
    """A stream that runs down through steps and loses something at each.

    A bar is as wide as what enters the step: left what goes on, right what is lost, in the order
    of the labels beside it (the largest losses; the others are summed).

    Args:
      steps: at least one; values finite and not negative.
      title: what is shown, with its unit.
    """
    left, widest, line, bar, gap = 140, 118, 15, 18, 16
    scale = widest / (max(step.value for step in steps) or 1.0)
    parts: list[str] = []
    y, before = 4.0, None
    for step in steps:
        losses = _largest(step.losses, 4)
        lost = min(sum(value for _, value in losses), step.value)
        width, rest = step.value * scale, (step.value - lost) * scale
        if before is not None:
            upper, bottom = before
            end = min(left + width, upper)
            bend = (y + bottom) / 2
            parts.append(
                f'<path class="f0" opacity=".3" d="M{left},{bottom:.1f} H{upper:.1f} '
                f'C{upper:.1f},{bend:.1f} {end:.1f},{bend:.1f} {end:.1f},{y:.1f} H{left} Z"/>'
            )
        parts.append(_rect("f0", left, y, max(rest, 0.5 if step.value else 0.0), bar))
        x = left + rest
        for index, (name, value) in enumerate(losses):
            parts.append(_rect("f1", x, y, max(value * scale, 1.0), bar, 0.9 - 0.18 * index))
            x += value * scale
            share = f" ({value / step.value:.1%})" if step.value else ""
            text = f"{name}: {number(value)}{share}"
            at = left + width + 10
            parts.append(_text(at, y + 13 + line * index, text, most=int((WIDTH - at) / 6.4)))
        parts.append(_text(left - 10, y + 8, step.name, anchor="end", kind="name", most=17))
        parts.append(_text(left - 10, y + 22, number(step.value), anchor="end"))
        before = (left + rest, y + bar)
        y += max(bar + gap, line * len(losses) + 8, 36)
    return _svg(parts, math.ceil(y), title)


def _largest(values: Sequence[tuple[str, float]], most: int) -> list[tuple[str, float]]:
    """Those that are not zero, the largest first; what is beyond `most` as one entry."""
    ordered = sorted((v for v in values if v[1] > 0), key=lambda entry: (-entry[1], entry[0]))
    if len(ordered) <= most:
        return ordered
    rest = ordered[most - 1 :]
    return [*ordered[: most - 1], (f"{len(rest)} others", sum(value for _, value in rest))]


def _thin(points: Sequence[tuple[float, float]]) -> list[tuple[float, float, float, float]]:
    """(x, mean, lowest, highest) of at most `_MOST_POINTS` groups of neighbouring points."""
    size = math.ceil(len(points) / _MOST_POINTS) or 1
    groups = (points[start : start + size] for start in range(0, len(points), size))
    thinned = []
    for group in groups:
        ys = [y for _, y in group if math.isfinite(y)] or [math.nan]
        x = sum(x for x, _ in group) / len(group)
        thinned.append((x, math.fsum(ys) / len(ys), min(ys), max(ys)))
    return thinned


def _finite_runs(points):
    run: list = []
    for point in [*points, (math.nan,) * 4]:
        if all(map(math.isfinite, point)):
            run.append(point)
        elif run:
            yield run
            run = []


def _curve(run, index, place) -> str:
    mean = " ".join("{},{}".format(*place(x, y)) for x, y, _, _ in run)
    if len(run) == 1:
        x, y = place(*run[0][:2])
        return f'<circle class="f{index}" cx="{x}" cy="{y}" r="2"/>'
    band = ""
    if any(low != high for _, _, low, high in run):
        edge = [(x, high) for x, _, _, high in run] + [(x, low) for x, _, low, _ in reversed(run)]
        outline = " ".join("{},{}".format(*place(x, y)) for x, y in edge)
        band = f'<polygon class="range f{index}" points="{outline}"/>'
    dash = "" if index == 0 else f' stroke-dasharray="{("", "6 4", "2 4", "8 3 2 3")[index]}"'
    return f'{band}<polyline class="line s{index}"{dash} points="{mean}"/>'


def _legend(series: Sequence[Series]) -> str:
    parts, x = [], float(_LEFT)
    for index, one in enumerate(series):
        parts.append(_curve([(x, 14, 14, 14), (x + 24, 14, 14, 14)], index, lambda x, y: (x, y)))
        if one.marked:
            parts.append(f'<circle class="f{index}" cx="{x + 12}" cy="14" r="3.2"/>')
        parts.append(_text(x + 31, 18, one.name, kind="name"))
        x += 52 + 8 * len(one.name)
    return "".join(parts)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="grid" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _rect(kind: str, x: float, y: float, width: float, height: float, opacity: float = 1.0) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}"'
    return f'<rect class="{kind}" {place} opacity="{opacity:.2f}"/>'


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", kind: str = "tick", most: int = 80
) -> str:
    """A label; beyond `most` characters it is cut, and whole where the pointer rests on it."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    if len(text) <= most:
        return f'<text class="{kind}" {place}>{page.text(text)}</text>'
    shown = f"{page.text(text[: most - 1])}…<title>{page.text(text)}</title>"
    return f'<text class="{kind}" {place}>{shown}</text>'


def _svg(parts: Sequence[str], height: int, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{page.text(title)}">'
        f"{''.join(parts)}</svg>"
    )
