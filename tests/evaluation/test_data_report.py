"""The page of a data line shows what the manifests hold, stands alone, and trusts nothing."""

import json
import re

import pytest
from evaluation.test_report import ATTACK, Page

from jaxlm.errors import DamageError, InputError
from jaxlm.evaluation import svg
from jaxlm.evaluation.data_report import write_data_report


def example(text, name="a.html"):
    return {"source": "web", "id": name, "text": text}


def step(documents, characters, left, dropped=(), **more):
    return {
        "documents_in": documents, "characters_in": characters, "characters_out": left,
        "dropped": dict(dropped), "changed": 0, "counts": {}, "examples": {}, "changes": [], **more,
    }  # fmt: skip


COLLECT = {
    "files": 12, "ignored_files": 1, "repeated_files": 0, "read": 1000, "empty": 40, "skipped": 10,
    "kept": 950, "problems": ["web/b.html: byte 7 is no UTF-8"],
    "sources": {"web": {"documents": 950, "characters": 4_000_000}},
    "documents": 950, "characters": 4_000_000, "bytes": 4_400_000,
}  # fmt: skip
CHANGE = {"source": "web", "id": "c.html", "before": "<p>cafÃ©</p>", "after": "café"}
CLEAN = {
    "documents_in": 950, "characters_in": 4_000_000, "documents": 700, "characters": 1_500_000,
    "bytes": 1_600_000,
    "steps": {
        "html": step(950, 4_000_000, 2_000_000, {"html.nothing_left": 10}, changed=940,
                     changes=[CHANGE]),
        "language": step(940, 2_000_000, 1_800_000, {"language": 140},
                         counts={"of another language": 140},
                         examples={"language": [example("Die Bäckerei öffnet um sechs.")]}),
        "gopher": step(800, 1_800_000, 1_500_000,
                       {"few_words": 60, "symbols": 20, "bullets": 10, "ellipses": 6, "stop": 4},
                       examples={"few_words": [example("Too short.")]}),
        "personal_data": step(700, 1_500_000, 1_490_000, changed=31,
                              counts={"email": 1234, "phone": 56, "iban": 7}),
    },
    "balance": {
        "sources": {"web": {"documents": 600, "characters": 1_200_000},
                    "books": {"documents": 100, "characters": 300_000}},
        "languages": {"en": {"documents": 690, "characters": 1_450_000},
                      "de": {"documents": 10, "characters": 50_000}},
        "identity_terms": {"gender": {"he": 900, "she": 300}, "religion": {}},
    },
}  # fmt: skip
DEDUPLICATE = {
    "documents_in": 700, "characters_in": 1_500_000, "documents": 560, "characters": 1_200_000,
    "bytes": 1_300_000, "dropped": {"exact": 50, "near": 88, "contaminated": 2},
    "lines_removed": 41,
    "examples": {"near": [{**example("Nearly the same."), "of": "web/z.html"}]},
}  # fmt: skip
TOKENIZE = {
    "train": {"documents": 550, "tokens": 300_000, "bytes": 1_275_000, "characters": 1_180_000},
    "heldout": {"documents": 10, "tokens": 6_000, "bytes": 25_000, "characters": 20_000},
}
ALL = {"collect": COLLECT, "clean": CLEAN, "deduplicate": DEDUPLICATE, "tokenize": TOKENIZE}


def write_stages(path, stages):
    directories = []
    for name, statistics in stages.items():
        directory = path / name
        directory.mkdir(parents=True)
        manifest = {
            "format": 1, "stage": name, "settings": {}, "statistics": statistics, "shards": [],
        }  # fmt: skip
        (directory / "manifest.json").write_text(json.dumps(manifest))
        directories.append(directory)
    return directories


def report(path, stages):
    return Page(write_data_report(write_stages(path / "stages", stages), path / "report.html"))


def test_a_whole_line_is_shown(tmp_path):
    read = report(tmp_path, ALL)
    for shown in (
        "1,000", "560", "56.0%", "300,000", "6,000", "4.248", "1.24 MiB",  # tiles
        "collect", "empty: 40 (4.0%)", "skipped: 10 (1.0%)", "language: 140 (14.9%)",
        "few_words: 60 (7.5%)", "symbols: 20 (2.5%)", "bullets: 10 (1.2%)", "2 others: 10 (1.2%)",
        "near: 88 (12.6%)", "contaminated: 2 (0.3%)", "left",
        "removed: 2M (50.0%)",  # characters of pages
        "email", "1,234", "lines removed", "41", "of another language",
        "80.0%", "20.0%", "96.7%", "Identity terms, occurrences: gender", "900",
        "html: 940 texts changed", "<p>cafÃ©</p>", "café", "web · c.html",
        "language · language: 140 documents", "Die Bäckerei öffnet um sechs.", "Too short.",
        "deduplicate · near: 88 documents", "web · a.html · of: web/z.html", "Nearly the same.",
        "web/b.html: byte 7 is no UTF-8",
    ):  # fmt: skip
        assert shown in read.text, shown
    assert "religion" not in read.text  # a group that never occurs
    before = (tmp_path / "report.html").read_bytes()
    again = write_data_report(
        [tmp_path / "stages" / name for name in ALL], tmp_path / "new" / "r.html"
    )
    assert again.read_bytes() == before


def test_the_page_needs_nothing_else(tmp_path):
    read = report(tmp_path, ALL)
    assert not {"script", "link", "img", "iframe", "object", "use", "image"} & set(read.tags)
    names = {name for name, _ in read.attributes}
    assert not names & {"src", "href", "srcset", "style"}
    assert not any(name.startswith("on") for name in names)
    assert not re.search(r"url\(|@import|https?:", read.source)
    assert "default-src 'none'" in dict(read.attributes)["content"]


@pytest.mark.parametrize("missing", ALL)
def test_any_stage_may_be_missing_or_alone(tmp_path, missing):
    others = {name: statistics for name, statistics in ALL.items() if name != missing}
    assert "left" in report(tmp_path / "others", others).text
    alone = report(tmp_path / "alone", {missing: ALL[missing]})
    assert "left" in alone.text


def poisoned(value):
    """Every key and text, with an attack in front."""
    if isinstance(value, dict):
        return {key: poisoned(entry) for key, entry in value.items()} | {ATTACK: 3}
    if isinstance(value, list):
        return [poisoned(entry) for entry in value]
    return ATTACK + value if isinstance(value, str) else value


def test_nothing_from_a_document_becomes_markup(tmp_path):
    stages = poisoned(ALL)
    del stages[ATTACK]
    clean = stages["clean"]
    clean["steps"] = {ATTACK + name: entry for name, entry in CLEAN["steps"].items()} | clean[
        "steps"
    ]
    del clean["steps"][ATTACK]
    clean["steps"]["language"]["examples"][ATTACK] = [
        {"source": ATTACK, "id": ATTACK, "text": ATTACK, ATTACK: ATTACK}
    ]
    read = report(tmp_path, stages | {"other": {ATTACK: ATTACK}})
    assert not {"script", "img", "b>", "i"} & set(read.tags)
    assert not any(name.startswith("on") for name, _ in read.attributes)
    assert read.text.count("<script>alert(1)</script>") >= 20
    assert not re.search("[\x00-\x08\x1b]", read.source)


def test_odd_statistics_do_no_harm(tmp_path):
    odd = {"steps": {"a": {"dropped": 3, "examples": [1], "changes": {"x": 1}, "counts": None,
                           "documents_in": -5, "characters_in": "many"}, "b": 7},
           "balance": [], "documents": None}  # fmt: skip
    read = report(tmp_path, {"clean": odd, "collect": {}, "tokenize": {}})
    assert "Data line" in read.text
    assert "-5" not in read.text


def test_long_lists_and_texts_are_cut(tmp_path):
    sources = {f"s{i}": {"documents": 1, "characters": 1000 - i} for i in range(500)}
    changes = [{"source": "s", "id": "i", "before": "x" * 10**6, "after": "y" * 10**6}]
    clean = CLEAN | {"balance": {"sources": sources}}
    clean["steps"] = {"html": step(1, 10**6, 10**6, changed=1, changes=changes)}
    read = report(tmp_path, {"clean": clean})
    assert len(read.source) < 40_000
    assert "485 others" in read.text


def test_bad_directories_are_named(tmp_path):
    with pytest.raises(InputError, match="at least one"):
        write_data_report([], tmp_path / "report.html")
    with pytest.raises(InputError, match="absent"):
        write_data_report([tmp_path / "absent"], tmp_path / "report.html")
    (directory,) = write_stages(tmp_path, {"collect": COLLECT})
    (directory / "manifest.json").write_text("{")
    with pytest.raises(DamageError, match=re.escape(str(directory))):
        write_data_report([directory], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_the_flow_is_drawn_to_scale():
    """Widths of the bars: what goes on and each loss, against what enters first."""
    steps = [
        svg.FlowStep("one", 200, [("small", 20), ("large", 80), ("none", 0)]),
        svg.FlowStep("two", 100),
    ]
    drawn = svg.flow_chart(steps, title="t")
    bars = re.findall(r'<rect class="(f\d)" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn)
    kinds, places, widths = zip(*bars, strict=True)
    assert kinds == ("f0", "f1", "f1", "f0")
    whole = sum(map(float, widths[:3]))
    assert [float(w) / whole for w in widths] == pytest.approx([0.5, 0.4, 0.1, 0.5], abs=0.01)
    ends = [float(place) + float(width) for place, width in zip(places, widths, strict=True)]
    assert [float(place) for place in places[1:3]] == pytest.approx(ends[:2], abs=0.2)
    assert drawn.index("large: 80 (40.0%)") < drawn.index("small: 20 (10.0%)")
    assert "none" not in drawn
    svg.flow_chart([svg.FlowStep("empty", 0, [("a", 0)])], title="t")
