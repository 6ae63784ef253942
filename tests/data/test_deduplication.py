"""Exact duplicates, and the stage: what it drops, that it resumes, and that it is deterministic."""

import dataclasses
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxlm.data import deduplicate as stage
from jaxlm.data.decontamination import DecontaminationConfig
from jaxlm.data.deduplicate import DeduplicationConfig, deduplicate
from jaxlm.data.deduplication import (
    ExactConfig,
    first_of_equals,
    text_digest,
    without_duplicates,
)
from jaxlm.data.documents import Document
from jaxlm.data.near_duplicates import NearConfig
from jaxlm.data.repeated_lines import RepeatedLinesConfig
from jaxlm.data.stages import processes, run_stage
from jaxlm.data.store import open_store, write_shard
from jaxlm.errors import DamageError, InputError

MENU = "Home, products, about us and how to contact us"
FOOTER = "This page was last changed by somebody or other"
QUIZ = "which of these many rivers is the longest one in all of western europe today"


def test_exact_duplicates_by_white_space_case_and_punctuation():
    same = functools.partial(text_digest, config=ExactConfig())
    assert same("a  b\n") == same("\ta b") != same("a B")
    assert len(same("")) == 16
    case = ExactConfig(ignore_case=True)
    assert text_digest("A Straße", case) == text_digest("a STRASSE", case)
    punctuation = ExactConfig(ignore_punctuation=True)
    assert text_digest("a, b_c!", punctuation) == text_digest("a b c", punctuation)
    assert text_digest("a, b", punctuation) != text_digest("A b", punctuation)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=12))
def test_the_first_of_equals(rows):
    expected = [rows.index(row) for row in rows]
    assert first_of_equals(np.array(rows, np.uint64).reshape(-1, 2)).tolist() == expected


def test_streamed_duplicates():
    texts = ["a b", "c", "a\nb", "c"]
    assert [d.identifier for d in without_duplicates(map(document, range(4), texts))] == ["0", "1"]


def document(number, text):
    return Document(text, "source", str(number), {"n": number})


def texts_of_corpus():
    """Documents of which it is known what becomes of them."""
    generator = random.Random(1)

    def fresh(count=60):
        return [f"w{generator.getrandbits(32)}" for _ in range(count)]

    texts, fates = [], []
    for _ in range(10):
        base = fresh()
        near = [*base[:57], "other", "words", "here"]  # but for 3 shingles of 65
        far = [*base[:40], *fresh(20)]  # 36 shingles of 80 are common
        for fate, text in (
            ("kept", f"{MENU}\n\n{' '.join(base)}"),
            ("exact", f"{MENU} {' '.join(base)}\n"),
            ("near", f"{MENU}\n{' '.join(near)}"),
            ("kept", " ".join(far)),
            ("contaminated", " ".join([*fresh(10), f"{QUIZ.title()}?", *fresh(10)])),
            ("kept", f"{MENU}\n{' '.join(fresh())}\n{FOOTER}"),  # in the shards 1 and 3
        ):
            texts.append(text)
            fates.append(fate)
    leaked = [*fresh(100), *QUIZ.split(), *fresh(100)]
    changed = [*leaked[:106], "another", *leaked[107:]]  # near it, but not contaminated
    texts += [" ".join(leaked), " ".join(changed)]
    fates += ["contaminated", "kept"]
    for _ in range(10):  # 48 shingles of 64 are common: compared, but no duplicates
        base = fresh()
        texts += [" ".join(base), " ".join([*base[:52], *fresh(8)])]
        fates += ["kept", "kept"]
    texts += ["", "?!", "... !"]  # no words, and not the same
    fates += ["kept"] * 3
    return texts, fates


TEXTS, FATES = texts_of_corpus()
SHARDS = 4


def write(unit, directory):
    chosen = range(unit["shard"], len(TEXTS), SHARDS)
    return write_shard(directory, (document(n, TEXTS[n]) for n in chosen))


ORDER = [n for shard in range(SHARDS) for n in range(shard, len(TEXTS), SHARDS)]


@pytest.fixture
def store(tmp_path):
    run_stage(
        tmp_path / "in", [{"shard": i} for i in range(SHARDS)], write, stage="made", settings={}
    )
    (tmp_path / "quiz.txt").write_text(QUIZ)
    return tmp_path / "in"


@pytest.fixture
def config(tmp_path):
    return everything(tmp_path)


def everything(directory):
    return DeduplicationConfig(
        lines=RepeatedLinesConfig(enabled=True, min_characters=20, max_documents=5),
        decontamination=DecontaminationConfig((str(directory / "quiz.txt"),)),
    )


def content(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_the_right_documents_are_left(store, config, tmp_path):
    told = []
    manifest = deduplicate(store, tmp_path / "out", config, progress=lambda *a: told.append(a))
    left = [d.metadata["n"] for d in open_store(tmp_path / "out", verify=True).documents()]
    # Of a group the first in the order of the shards is kept, whichever it is.
    group = {n: (n // 6, "group") if n < 60 and n % 6 in (0, 1, 2) else n for n in ORDER}
    first = {}
    for n in ORDER:
        if FATES[n] != "contaminated":
            first.setdefault(group[n], n)
    assert left == [n for n in ORDER if first.get(group[n]) == n]
    statistics = manifest["statistics"]
    assert statistics["documents_in"] == len(TEXTS)
    assert statistics["documents"] == len(left)
    assert statistics["characters_in"] == sum(map(len, TEXTS))
    dropped = statistics["dropped"]
    assert dropped == {"exact": 10, "near": 10, "contaminated": 11, "emptied": 0}
    assert statistics["contaminated"] == {str(tmp_path / "quiz.txt"): 11}
    texts = [d.text for d in open_store(tmp_path / "out").documents()]
    assert [FATES[n] for n, text in zip(left, texts, strict=True) if MENU + "\n" in text] == [
        "kept"
    ]
    assert [n for n, text in zip(left, texts, strict=True) if text.endswith(FOOTER)] == [5]
    assert statistics["lines_removed"] == 9 + sum(MENU in TEXTS[n] for n in left) - 1
    assert not (tmp_path / "out" / ".work-signatures").exists()
    assert {stage for stage, *_ in told} == {"signatures", "compare", "deduplicate"}


def test_examples_show_both_texts(store, config, tmp_path):
    examples = deduplicate(store, tmp_path / "out", config)["statistics"]["examples"]
    assert {kind: len(shown) for kind, shown in examples.items()} == dict.fromkeys(
        ("exact", "near", "contaminated", "lines"), 5
    )
    for shown in examples["near"]:
        assert int(shown["kept"]["id"]) // 6 == int(shown["dropped"]["id"]) // 6
        assert 0.8 <= shown["similarity"] < 1
        assert shown["dropped"]["text"] == TEXTS[int(shown["dropped"]["id"])][:300]
    assert examples["exact"][0]["similarity"] == 1
    assert examples["contaminated"][0]["text"] == QUIZ.title()
    assert examples["lines"][0]["text"] == MENU


def test_a_passage_can_be_cut_instead(store, config, tmp_path):
    cut = dataclasses.replace(config.decontamination, action="cut", margin=10)
    manifest = deduplicate(
        store, tmp_path / "out", dataclasses.replace(config, decontamination=cut)
    )
    assert manifest["statistics"]["dropped"]["contaminated"] == 0
    assert manifest["statistics"]["passages_cut"] == 11
    texts = {d.metadata["n"]: d.text for d in open_store(tmp_path / "out").documents()}
    assert "Rivers" not in texts[4]
    assert TEXTS[4].startswith(texts[4].split("\n\n")[0])
    assert TEXTS[4].endswith(texts[4].split("\n\n")[1])


def test_nothing_is_done_where_nothing_is_asked(store, tmp_path):
    config = DeduplicationConfig(ExactConfig(enabled=False), NearConfig(enabled=False))
    manifest = deduplicate(store, tmp_path / "out", config)
    assert manifest["statistics"]["documents"] == len(TEXTS)
    assert list(open_store(tmp_path / "out").documents()) == list(open_store(store).documents())


def one_then_stop(function, numbers):
    """An engine that is stopped after one unit."""
    for number in numbers:
        yield function(number)
        raise KeyboardInterrupt


def test_stopped_anywhere_it_goes_on_to_the_same_bytes(store, config, tmp_path, monkeypatch):
    manifest = deduplicate(store, tmp_path / "whole", config)
    stops = 0
    while True:
        try:
            assert deduplicate(store, tmp_path / "out", config, engine=one_then_stop) == manifest
            break
        except KeyboardInterrupt:
            stops += 1
            assert not (tmp_path / "out" / "manifest.json").exists()
    assert stops > 2 * SHARDS  # in both passes, and where open pairs are compared
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    monkeypatch.setattr(stage, "_sign_unit", None)  # finished: nothing is done again
    assert deduplicate(store, tmp_path / "out", config, engine=one_then_stop) == manifest


def test_a_result_that_was_lost_is_made_again(store, config, tmp_path):
    manifest = deduplicate(store, tmp_path / "out", config)
    before = content(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "00002")
    assert deduplicate(store, tmp_path / "out", config) == manifest
    assert content(tmp_path / "out") == before


def test_two_processes_and_three_parts_write_the_same_bytes(store, config, tmp_path):
    manifest = deduplicate(store, tmp_path / "out", config)
    assert deduplicate(store, tmp_path / "two", config, engine=processes(2)) == manifest
    assert content(tmp_path / "two") == content(tmp_path / "out")
    results = [
        deduplicate(store, tmp_path / "parts", config, part=(part, 3))
        for part in (0, 1, 2, 1, 0, 2, 0, 1)
    ]
    # All sign; part 1 waits for the merge of part 0; then each finishes its own.
    assert results == [None] * 6 + [None, manifest]
    assert content(tmp_path / "parts") == content(tmp_path / "out")


def test_killed_it_goes_on(store, config, tmp_path):
    deduplicate(store, tmp_path / "whole", config)
    program = (
        "import sys, time; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1]); import test_deduplication as t\n"
        "def slow(function, numbers):\n"
        "    for number in numbers:\n"
        "        yield function(number); time.sleep(60)\n"
        "root = Path(sys.argv[2])\n"
        "t.deduplicate(root / 'in', root / 'out', t.everything(root), engine=slow)\n"
    )
    here = str(Path(__file__).parent)
    process = subprocess.Popen([sys.executable, "-c", program, here, str(tmp_path)])
    unit = tmp_path / "out" / ".work-signatures" / "signatures" / "00000" / "unit.json"
    while not unit.exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deduplicate(store, tmp_path / "out", config)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_refusals(store, config, tmp_path):
    bad = DeduplicationConfig(
        near=NearConfig(threshold=2),
        lines=RepeatedLinesConfig(max_documents=0),
        decontamination=DecontaminationConfig(margin=-1),
    )
    with pytest.raises(InputError) as error:
        deduplicate(store, tmp_path / "out", bad)
    assert len(error.value.problems) == 3
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="no finished stage"):
        deduplicate(tmp_path, tmp_path / "out", config)
    missing = DecontaminationConfig((str(tmp_path / "missing.txt"),))
    with pytest.raises(InputError, match="no such file"):
        deduplicate(store, tmp_path / "out", DeduplicationConfig(decontamination=missing))
    deduplicate(store, tmp_path / "out", config)
    with pytest.raises(InputError, match=r"near.shingle 5, not 6"):
        deduplicate(
            store, tmp_path / "out", dataclasses.replace(config, near=NearConfig(shingle=6))
        )
    (tmp_path / "quiz.txt").write_text(QUIZ + " or now")
    with pytest.raises(InputError, match=r"evaluation.digest"):
        deduplicate(store, tmp_path / "out", config)


def test_a_damaged_shard_is_no_shorter_one(store, config, tmp_path):
    path = store / "00001" / "documents.jsonl.zst"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamageError, match="00001"):
        deduplicate(store, tmp_path / "out", config)


def test_the_manifest_is_plain_json(store, config, tmp_path):
    manifest = deduplicate(store, tmp_path / "out", config)
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
