"""The page stands alone, is well-formed, shows what the files hold, and trusts none of them."""

import itertools
import json
import math
import re
from html.parser import HTMLParser

import pytest

from jaxlm.errors import InputError
from jaxlm.evaluation import page, svg
from jaxlm.evaluation.report import write_report
from jaxlm.training.metrics import MetricsWriter

ATTACK = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;\x00\x1b[31m"
SCORES = {
    "heldout": {"loss": 3.25, "perplexity": 25.8, "bits_per_byte": 1.342},
    "uniform": {"loss": 8.318, "perplexity": 4096.0, "bits_per_byte": 3.421},
    "unigram": {"loss": 6.72, "perplexity": 829.4, "bits_per_byte": 2.764},
}


class Page(HTMLParser):
    """Reads a page as a browser does; fails on elements that do not close in order."""

    _VOID = ("meta", "br", "img", "link", "input")

    def __init__(self, path):
        super().__init__()
        self.open, self.tags, self.attributes, self.texts = [], [], [], []
        self.source = path.read_text()
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return "\n".join(self.texts)


def make_run(path, *, steps=60, finished=True):
    (path / "samples").mkdir(parents=True)
    (path / "data").mkdir()
    with MetricsWriter(path, resume_step=0) as writer:
        for step in range(1, steps + 1):
            loss = math.nan if step == 7 else 8 - step / 20
            writer.write(
                step, {"train/loss": loss, "train/learning_rate": 1e-3, "train/skipped": 0}
            )
            if step % 20 == 0:
                writer.write(step, {"heldout/loss": 8 - step / 20, "heldout/bits_per_byte": 2.5})
                (path / "samples" / f"step_{step:08d}.txt").write_text(f"sample of {step}")
    (path / "config.yaml").write_text("training:\n  steps: 60\nmodel:\n  layers: 4\n")
    (path / "environment.json").write_text(json.dumps({"jax": "0.10.2", "cores": "2"}))
    manifest = {"train": {"documents": 9800, "tokens": 812345}, "files": ["a", "b"]}
    (path / "data" / "manifest.json").write_text(json.dumps(manifest))
    if finished:
        more = {"step": steps, "seconds": 262.3, "peak_memory_bytes": 3 * 2**29, "parameters": 4198}
        (path / "summary.json").write_text(json.dumps(SCORES | more))
    return path


def test_a_finished_run_is_shown_whole(tmp_path):
    run = make_run(tmp_path / "my-run")
    path = write_report(run)
    assert path == run / "report.html"
    read = Page(path)
    for shown in (
        "Run my-run", "Finished after 60 steps.", "this model", "1.342", "2.764", "4,096",
        "4 min 22 s", "1.5 GiB", "4,198", "training", "held-out", "After 60 steps", "sample of 20",
        "layers: 4", "0.10.2", "812,345", "2 entries", "Left out, since not finite: 1.",
    ):  # fmt: skip
        assert shown in read.text, shown
    assert read.tags.count("svg") == 4  # bars, loss, bits per byte, learning rate
    assert "train/skipped" not in read.text  # a constant that has no chart of its own
    order = [read.text.index(f"After {step} steps") for step in (60, 40, 20)]
    assert order == sorted(order)
    before = path.read_bytes()
    assert write_report(run).read_bytes() == before  # the same files, the same page


def test_the_page_needs_nothing_else(tmp_path):
    read = Page(write_report(make_run(tmp_path / "run")))
    assert not {"script", "link", "img", "iframe", "object", "use", "image"} & set(read.tags)
    names = {name for name, _ in read.attributes}
    assert not names & {"src", "href", "srcset", "style"}
    assert not any(name.startswith("on") for name in names)
    assert not re.search(r"url\(|@import|https?:", read.source)
    assert "default-src 'none'" in dict(read.attributes)["content"]
    assert "prefers-color-scheme: dark" in read.source


def test_an_unfinished_run_has_a_report(tmp_path):
    read = Page(write_report(make_run(tmp_path / "run", steps=40, finished=False)))
    assert "Not finished: at step 40 of 60." in read.text
    assert "this model" not in read.text


@pytest.mark.parametrize(
    ("step", "steps", "status"),
    [
        (60, 60, "Finished after 60 steps."),
        (40, 40, "Not finished: at step 40 of 60."),  # stopped and saved
        (20, 40, "Not finished: at step 40 of 60. The result is that of step 20."),
        (60, 0, "Finished after 60 steps."),
        (None, 0, "Finished."),
    ],
)
def test_status(tmp_path, step, steps, status):
    run = make_run(tmp_path / "run", steps=steps, finished=False)
    (run / "summary.json").write_text(json.dumps(SCORES | ({"step": step} if step else {})))
    assert status in Page(write_report(run)).texts


@pytest.mark.parametrize(
    "kept",
    ["summary.json", "metrics.jsonl", "samples", "config.yaml", "environment.json", "data"],
)
def test_each_file_may_stand_alone_or_be_missing(tmp_path, kept):
    run, alone = make_run(tmp_path / "run"), tmp_path / "alone"
    alone.mkdir()
    (run / kept).rename(alone / kept)
    for directory in (run, alone):
        assert "section" in Page(write_report(directory)).tags


def test_nothing_from_a_file_becomes_markup(tmp_path):
    run = make_run(tmp_path / "run&<b>")
    (run / "samples" / "step_00000060.txt").write_text(ATTACK)
    (run / "samples" / "<i>'.txt").write_text("x")
    (run / "config.yaml").write_text("# </pre><script>alert(1)</script>\na: 1\n")
    (run / "environment.json").write_text(json.dumps({ATTACK: ATTACK}))
    (run / "data" / "manifest.json").write_text(json.dumps({ATTACK: {ATTACK: [ATTACK]}}))
    summary = {ATTACK: SCORES["heldout"], "note": ATTACK, "heldout": {ATTACK: ATTACK}}
    (run / "summary.json").write_text(json.dumps(summary))
    lines = [json.dumps({"step": step, ATTACK: float(step)}) for step in (1, 2)]
    (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    read = Page(write_report(run))
    assert not {"script", "img", "b>", "i"} & set(read.tags)
    assert not any(name.startswith("on") for name, _ in read.attributes)
    assert read.text.count("<script>alert(1)</script>") >= 6
    assert not re.search("[\x00-\x08\x1b]", read.source)


def test_long_and_many_samples_are_cut_with_a_word(tmp_path):
    run = make_run(tmp_path / "run")
    for step in range(1000, 1100):
        (run / "samples" / f"step_{step:08d}.txt").write_text("é" * 50_000)
    (run / "samples" / "step_00000020.txt").write_bytes(b"half a character: \xc3")
    read = Page(write_report(run))
    assert len(read.source.encode()) < 400_000
    assert "12 of 103 samples are shown" in read.text
    assert "After 1,099 steps" in read.text
    assert "After 20 steps" in read.text
    assert "continued in samples/step_00001099.txt" in read.text
    assert "half a character: \ufffd" in read.text


def test_a_long_run_makes_a_small_page(tmp_path):
    lines = (f'{{"step": {s}, "train/loss": {3 + s % 7}}}\n' for s in range(1, 50_001))
    (tmp_path / "metrics.jsonl").write_text("".join(lines))
    source = write_report(tmp_path).read_text()
    assert len(source) < 40_000
    assert 'class="range f0"' in source


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", "{"),
        ("summary.json", "[1]"),
        ("environment.json", "\xff"),
        ("data/manifest.json", "nonsense"),
        ("config.yaml", "a: [1"),
        ("config.yaml", "a: \x00"),
        ("metrics.jsonl", "nonsense\n"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    run = make_run(tmp_path / "run")
    (run / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=re.escape(name)):
        write_report(run)
    assert not (run / "report.html").exists()


def test_another_directory_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match="not a run directory"):
            write_report(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (0.3, 9.1), (2.97, 3.02), (-4, 7), (5, 5), (0, 0), (1e-9, 3e-9), (1e30, 4e38),
     (7, 1e304)],
)  # fmt: skip
def test_ticks_are_round_and_cover_the_range(low, high):
    ticks = svg.round_ticks(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 3 <= len(ticks) <= 12
    step = ticks[1] - ticks[0]
    assert all(b - a == pytest.approx(step) for a, b in itertools.pairwise(ticks))
    assert f"{step:.3e}"[:5] in ("1.000", "2.000", "5.000")
    assert all(t / step == pytest.approx(round(t / step), abs=1e-6) for t in ticks)


def test_points_stand_where_the_axes_say():
    """A line from the labels alone: undo the scale read off two labels of each axis."""
    points = [(10.0, 2.0), (20.0, 3.5), (40.0, 2.5)]
    drawn = svg.line_chart([svg.Series("s", points)], title="t")
    labels = re.findall(
        r'<text class="tick" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([\d.]+)<', drawn
    )
    ys = {float(v): float(y) - 4 for _, y, anchor, v in labels if anchor == "end"}
    xs = {float(v): float(x) for x, _, anchor, v in labels if anchor == "middle"}

    def read(scale, at):
        (a, at_a), *_, (b, at_b) = scale.items()
        return a + (at - at_a) / (at_b - at_a) * (b - a)

    (line,) = re.findall(r'<polyline class="line s0" points="([^"]+)"', drawn)
    got = [tuple(map(float, pair.split(","))) for pair in line.split()]
    for (x, y), (at_x, at_y) in zip(points, got, strict=True):
        assert read(xs, at_x) == pytest.approx(x, abs=0.1)
        assert read(ys, at_y) == pytest.approx(y, abs=0.01)


def test_a_value_that_is_not_finite_leaves_a_gap():
    points = [(1, 1.0), (2, 2.0), (3, math.nan), (4, math.inf), (5, 1.0), (6, 2.0)]
    drawn = svg.line_chart([svg.Series("s", points)], title="t")
    assert drawn.count("<polyline") == 2
    assert "nan" not in drawn
    assert "inf" not in drawn


def test_the_bars_are_as_long_as_their_values():
    drawn = svg.bar_chart([("a", 1.0), ("b", 4.0), ("c", 0.0)], title="t")
    one, four, _ = (float(w) for w in re.findall(r'width="([\d.]+)"', drawn))
    assert four == pytest.approx(4 * one, rel=1e-3)
    svg.bar_chart([("a", 0.0)], title="t")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("peak_memory_bytes", 1536, "1.5 KiB"), ("peak_memory_bytes", 0, "0 B"),
        ("seconds", 5.932, "5.93 s"), ("seconds", 59.7, "1 min 0 s"),
        ("seconds", 7260, "2 h 1 min"),
        ("tokens_per_second", 21480.2, "21,480"), ("parameters", 4198656, "4,198,656"),
        ("matrix_rate_share", 0.62, "62.0%"), ("loss", math.nan, "nan"), ("loss", None, "-"),
        ("x", True, "True"), ("x", 10**400, str(10**400)), ("x", "<", "&lt;"),
    ],
)  # fmt: skip
def test_values_are_shown_with_their_units(name, value, shown):
    assert page.show(name, value) == shown
