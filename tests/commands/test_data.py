"""`jaxlm data` from the command line: every stage, on files as people have them."""

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time

import pytest

from jaxlm import cli
from jaxlm.data.store import open_store

SENTENCES = [
    "The people of the town have been walking to the market with their baskets since the morning.",
    "That is not to be taken as a promise, and the council said so to everybody who asked for it.",
    "With the first rain of the autumn the river rose, and the bridge that they built was closed.",
    "Have you seen how the old clock of the church is repaired by the two brothers from the mill?",
]

SMALL = shlex.split(
    "--model.layers 1 --model.width 32 --model.heads 2 --model.kv-heads 2 --model.head-dim 16 "
    "--model.hidden 32 --model.context-length 64 --training.batch-size 4 --sample.tokens 4 "
    "--training.steps 2"
)


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "pages"
    folder.mkdir()
    for i in range(12):
        body = "".join(f"<p>{i} times {s.replace('the', f'the {i * j}th')}</p>"
                       for j, s in enumerate(SENTENCES))  # fmt: skip
        page = (
            f"<html><head><title>Page {i}</title></head><body><nav>Menu</nav>{body}</body></html>"
        )
        (folder / f"{i}.html").write_text(page)
    (folder / "same.html").write_text((folder / "3.html").read_text())
    (folder / "mail.txt").write_text(" ".join(SENTENCES) + " Write to ann.smith@mail-host.org!\n")
    (folder / "short.md").write_text("Only this.\n")
    (folder / "empty.txt").write_text("\n")
    (folder / "broken.txt.gz").write_bytes(gzip.compress(b"text " * 1000)[:-20])
    return folder


def run(*arguments):
    return cli.main(["data", *map(str, arguments)])


def line(corpus, root, *flags, tokenizer=None):
    """All stages, one by one."""
    flags = ("--workers", 1, *flags)
    assert run("collect", "--corpus", corpus, "--output", root / "collect", *flags) == 0
    assert run("clean", root / "collect", "--output", root / "clean", *flags) == 0
    assert run("deduplicate", root / "clean", "--output", root / "unique", *flags) == 0
    if tokenizer is None:
        tokenizer = root / "tokenizer"
        texts = ("--corpus", root / "unique", "--kind", "character", "--output", tokenizer)
        assert cli.main(["tokenizer", "train", *map(str, texts)]) == 0
    flags = (*flags, "--tokenizer", tokenizer, "--output", root / "tokens")
    assert run("tokenize", root / "unique", *flags) == 0


def content(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_stage_by_stage(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    root = tmp_path / "line"
    line(corpus, root)
    output = capsys.readouterr().out
    assert re.search(r"collect: 15 documents, .*1 empty, 1 skipped", output)
    assert "broken.txt.gz: truncated or damaged" in output
    assert "1 gopher_quality.too_few_words" in output
    assert re.search(r"unique: \d+ documents, .* left out: 1 exact", output)
    documents = {d.source: d for d in open_store(root / "unique").documents()}
    assert "Menu" not in documents["pages/3.html"].text
    assert documents["pages/3.html"].metadata["title"] == "Page 3"
    assert documents["pages/3.html"].metadata["language"] == "en"
    assert "pages/same.html" not in documents
    assert "@" not in documents["pages/mail.txt"].text
    stages = [root / name for name in ("collect", "clean", "unique", "tokens")]
    assert run("report", *stages, "--output", tmp_path / "report.html") == 0
    page = (tmp_path / "report.html").read_text()
    assert "too_few_words" in page or "too few words" in page
    assert run("verify", *stages) == 0
    assert run("show", root / "unique", "--count", 2) == 0
    assert "=== pages/0.html" in capsys.readouterr().out
    assert run("show", root / "unique", "--json", "--skip", 1, "--count", 1) == 0
    assert json.loads(capsys.readouterr().out)["source"] == "pages/1.html"
    shard = root / "clean/00000/documents.jsonl.zst"
    data = bytearray(shard.read_bytes())
    data[40] ^= 1
    shard.write_bytes(data)
    assert run("verify", root / "collect", root / "clean", root / "tokens") == 3
    captured = capsys.readouterr()
    assert f"{shard} is damaged: its checksum differs" in captured.err
    assert "tokens: tokenize, " in captured.out  # what comes after the damage as well
    assert run("deduplicate", root / "clean", "--output", root / "again", "--workers", 1) == 3
    assert f"{shard} is damaged: its checksum differs" in capsys.readouterr().err


def test_build_then_train_on_it_and_on_two(corpus, tmp_path, capsys):
    flags = ("--tokenizer", "character", "--vocab-size", 300, "--workers", 1)
    assert run("build", "--corpus", corpus, "--output", tmp_path / "a", *flags) == 0
    assert (tmp_path / "a/report.html").exists()
    assert not (tmp_path / "a/collect").exists()
    one = content(tmp_path / "a")
    assert run("build", "--corpus", corpus, "--output", tmp_path / "a", *flags) == 0
    assert content(tmp_path / "a") == one
    store = tmp_path / "store"
    assert (
        run("collect", "--corpus", corpus / "mail.txt", corpus / "5.html", "--output", store) == 0
    )
    flags = ("--tokenizer", tmp_path / "a/tokenizer", "--output", tmp_path / "b")
    assert run("tokenize", store, *flags) == 0
    both = [str(tmp_path / "a"), str(tmp_path / "b")]
    arguments = ["train", "--run", str(tmp_path / "run"), "--data.prepared", *both]
    capsys.readouterr()
    flags = ["--data.weights", "0.75", "0.25", "--data.packing", "concatenate", *SMALL]
    assert cli.main([*arguments, *flags]) == 0
    output = capsys.readouterr().out
    assert f"{tmp_path / 'a'}: 14 documents" in " ".join(output.split())
    assert "2 steps in" in output
    assert cli.main([*arguments, "--corpus", str(corpus), *SMALL]) == 2
    assert cli.main([*arguments, "--data.weights", "1", *SMALL]) == 2
    path = tmp_path / "b/tokens/00000/train/tokens.bin"
    good = path.read_bytes()
    path.write_bytes(good[:-2] + bytes([good[-2] ^ 1, good[-1]]))
    assert cli.main([*arguments, *flags]) == 3
    path.write_bytes(good)
    assert cli.main([*arguments, *flags]) == 0  # continued
    config = tmp_path / "b/tokenizer/tokenizer_config.json"
    config.write_bytes(config.read_bytes()[1:])
    assert run("verify", tmp_path / "b") == 3
    error = capsys.readouterr().err
    assert "takes the place of --corpus" in error
    assert "one for each of 2 prepared folders" in error


def test_a_run_whose_vocabulary_is_smaller_than_asked_for_goes_on(corpus, tmp_path, capsys):
    arguments = ["train", "--run", str(tmp_path / "run"), "--corpus", str(corpus)]
    arguments += ["--data.tokenizer", "word", "--data.on-error", "skip", *SMALL]
    assert cli.main(arguments) == 0
    assert cli.main(arguments) == 0
    assert cli.main([*arguments, "--model.vocab-size", "99"]) == 2
    assert "vocabulary is 4096 there and 99 here" in capsys.readouterr().err


def test_texts_are_shown_where_they_cannot_be_encoded(tmp_path):
    (tmp_path / "a.txt").write_text("naïve 😀", encoding="utf-8")
    assert run("collect", "--corpus", tmp_path / "a.txt", "--output", tmp_path / "s") == 0
    call = [sys.executable, "-m", "jaxlm.cli", "data", "show", str(tmp_path / "s")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    assert r"na\xefve \U0001f600" in shown.stdout


def test_settings_from_flags_and_a_file(corpus, tmp_path, capsys):
    assert run("collect", "--corpus", corpus, "--output", tmp_path / "c") == 0
    (tmp_path / "clean.yaml").write_text(
        "gopher_quality: {min_words: 1}\npersonal_data: {enabled: false}\n"
    )
    store = (tmp_path / "c", "--workers", 1)
    flags = ("--config", tmp_path / "clean.yaml", "--gopher-repetition.enabled", "False")
    assert run("clean", *store, "--output", tmp_path / "d", *flags) == 0
    texts = [d.text for d in open_store(tmp_path / "d").documents()]
    assert any("ann.smith@mail-host.org" in text for text in texts)
    assert run("clean", *store, "--output", tmp_path / "e", "--profile", "basic") == 0
    assert len(list(open_store(tmp_path / "e").documents())) == 15
    capsys.readouterr()
    (tmp_path / "clean.yaml").write_text("gopher_quality: {min_word: 1}\n")
    assert run("clean", *store, "--output", tmp_path / "f", *flags) == 2
    assert "min_word" in capsys.readouterr().err
    assert run("clean", *store, "--output", tmp_path / "d") == 2
    assert "was begun with" in capsys.readouterr().err
    assert run("deduplicate", *store, "--output", tmp_path / "g", "--near.threshold", 3) == 2
    assert "--near.threshold 3" in capsys.readouterr().err
    flags = ("--decontamination.evaluation", "/nowhere")
    assert run("deduplicate", *store, "--output", tmp_path / "g", *flags) == 2
    assert "check --decontamination.evaluation" in capsys.readouterr().err
    assert not (tmp_path / "f").exists()
    assert not (tmp_path / "g").exists()


def test_strict_stops_at_the_first_problem(corpus, tmp_path, capsys):
    flags = ("--output", tmp_path / "c", "--workers", 1, "--strict")
    assert run("collect", "--corpus", corpus, *flags) == 2
    error = capsys.readouterr().err
    assert "broken.txt.gz: truncated or damaged" in error
    assert "without --strict" in error


@pytest.mark.parametrize(
    ("arguments", "match"),
    [((), ""), (("colect",), "the nearest is 'collect'"),
     (("collect", "--corpus", "/nowhere", "--output", "x"), "/nowhere"),
     (("clean", "/nowhere", "--output", "x"), "/nowhere is no finished stage"),
     (("collect", "--output", "x", "--workers", "0"), "--workers 0"),
     (("collect", "--output", "x", "--shard", "2"), "--shard 2: give i/n"),
     (("collect", "--output", "x", "--shard", "2/2"), "--shard 2/2"),
     (("collect", "--output", "x", "--beam-options=--runner=X"), "--engine beam"),
     (("build", "--output", "x", "--shard", "0/2"), "--shard"),
     (("report",), "name the folders"), (("verify",), "name the folders"),
     (("show", "/nowhere", "--count", "-1"), "negative")],
)  # fmt: skip
def test_bad_arguments(arguments, match, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert match in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_parts_and_processes_give_the_same_bytes(corpus, tmp_path):
    line(corpus, tmp_path / "one")
    tokenizer = tmp_path / "one/tokenizer"
    two = tmp_path / "two"
    stages = [
        ("collect", "--corpus", corpus, "--output", two / "collect"),
        ("clean", two / "collect", "--output", two / "clean"),
        ("deduplicate", two / "clean", "--output", two / "unique"),
        ("tokenize", two / "unique", "--output", two / "tokens", "--tokenizer", tokenizer),
    ]
    for stage in stages:
        # Again until both find what the other did; the merge of duplicates waits for signatures.
        for part in ("0/2", "1/2", "0/2", "1/2", "0/2"):
            assert run(*stage, "--shard", part, "--workers", 2) == 0
    for stage in ("collect", "clean", "unique", "tokens"):
        assert content(tmp_path / "one" / stage) == content(tmp_path / "two" / stage), stage


@pytest.mark.slow
def test_beam_gives_the_same_bytes(corpus, tmp_path):
    pytest.importorskip("apache_beam", reason="Apache Beam is not installed")
    line(corpus, tmp_path / "one")
    flags = ("--engine", "beam")
    line(corpus, tmp_path / "two", *flags, tokenizer=tmp_path / "one/tokenizer")
    for stage in ("collect", "clean", "unique", "tokens"):
        assert content(tmp_path / "one" / stage) == content(tmp_path / "two" / stage), stage


def test_killed_and_interrupted_it_goes_on(corpus, tmp_path):
    for i in range(40):
        shutil.copy(corpus / f"{i % 12}.html", corpus / f"copy{i}.html")
    arguments = ["build", "--corpus", corpus, "--tokenizer", "character", "--workers", "2"]
    call = [sys.executable, "-m", "jaxlm.cli", "data", *map(str, arguments), "--output"]
    assert subprocess.run([*call, tmp_path / "whole"], capture_output=True).returncode == 0
    for number, wait in ((9, 0.3), (2, 0.8), (15, 1.2), (9, 1.6)):
        process = subprocess.Popen(
            [*call, tmp_path / "d"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        while not (tmp_path / "d/stage.json").exists():
            time.sleep(0.01)
        time.sleep(wait)
        os.kill(process.pid, number)
        error = process.communicate()[1]
        assert "Traceback" not in error
        assert process.returncode in (0, {9: -9, 2: 130, 15: 75}[number])
    assert subprocess.run([*call, tmp_path / "d"], capture_output=True).returncode == 0
    assert content(tmp_path / "d") == content(tmp_path / "whole")
