"""`jaxlm tokenizer` from the command line."""

import json
import re
import shlex

import pytest

from jaxlm import cli
from jaxlm.commands import tokenizer as command
from jaxlm.data.documents import Document
from jaxlm.data.stages import run_stage
from jaxlm.data.store import write_shard
from jaxlm.tokenizers.base import load_tokenizer
from jaxlm.tokenizers.train import SIZED

TEXT = "The quick brown fox jumps over the lazy dog; naïve 😀 text.\n" * 30


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "one.txt").write_text(TEXT)
    (folder / "two.txt").write_text("Another text, about the dog.\n" * 20)
    return folder


def run(*arguments):
    return cli.main(["tokenizer", *map(str, arguments)])


def write_unit(unit, directory):
    return write_shard(directory, [Document(TEXT, "store", str(i)) for i in unit["numbers"]])


def test_train_evaluate_show(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    sizes = {"bpe": 320, "unigram": 295, "byte_bpe": 300, "wordpiece": 90, "word": 20}
    sizes["word_character"] = 400
    paths = []
    for kind in (*SIZED, "character", "bytes"):
        path = tmp_path / kind
        size = sizes.get(kind, 1)
        flags = ("--kind", kind, "--vocab-size", size)
        assert run("train", "--corpus", corpus, *flags, "--output", path) == 0
        paths.append(path)
        assert load_tokenizer(path).vocab_size <= max(size, 258)
    capsys.readouterr()
    other = tmp_path / "others.jsonl"
    other.write_text(json.dumps({"text": "The dog.\n"}) + "\n")
    assert run("evaluate", *paths, "--corpus", corpus, other, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [str(path) for path in paths]
    for metrics in found.values():
        assert metrics["texts"] == 3
        assert list(metrics["by_source"]) == ["texts", "others.jsonl"]
    assert found[str(tmp_path / "bytes")]["bytes_per_token"] == 1
    assert run("evaluate", *paths, "--corpus", corpus, other) == 0
    output = capsys.readouterr().out
    assert "3 documents" in output
    assert all(str(path) in output for path in paths)

    assert run("show", tmp_path / "byte_bpe", "é [x]</s>\n") == 0
    rows = re.findall(r"│ *(\d+) *│ *(\S+) *│ *(\S*) *│ *([0-9A-F ]*?) *│", capsys.readouterr().out)
    assert b"".join(bytes.fromhex(row[3]) for row in rows).decode() == "é [x]</s>\n"
    assert rows[0][1:] == ("<0xC3>", "0:1", "C3")
    assert rows[-1][1] == "\\n"
    assert run("show", tmp_path / "byte_bpe", "a</s>", "--allow-special") == 0
    assert re.search(r"│ 1 +│ </s> +│ +│ +│", capsys.readouterr().out)


def test_store_as_corpus(tmp_path, capsys):
    units = [{"numbers": [0, 1]}, {"numbers": [2]}]
    run_stage(tmp_path / "store", units, write_unit, stage="test", settings={})
    path = tmp_path / "bytes"
    assert run("train", "--corpus", tmp_path / "store", "--kind", "bytes", "--output", path) == 0
    capsys.readouterr()
    assert run("evaluate", path, "--corpus", tmp_path / "store", "--json") == 0
    metrics = json.loads(capsys.readouterr().out)[str(path)]
    assert metrics["texts"] == 3
    assert list(metrics["by_source"]) == ["store"]


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("train --corpus {corpus} --vocab-size 99999 --output {tmp}/t", r"set --vocab-size \d+"),
        ("train --corpus {corpus} --vocab-size 0 --output {tmp}/t", "--vocab-size 0: must be"),
        ("train --corpus {tmp}/missing --output {tmp}/t", "missing.*--corpus"),
        ("train --corpus {corpus} --kind bytes --output {corpus}", "is no tokenizer"),
        ("train --corpus {corpus} --kind bites --output {tmp}/t", "bites"),
        ("evaluate {tmp}/missing --corpus {corpus}", "no such file"),
        ("evaluate --corpus {corpus}", "name at least one"),
        ("evaluate {corpus} --corpus {corpus}", "holds no tokenizer"),
        ("show {tmp}/missing text", "no such file"),
        ("trane", "nearest is 'train'"),
    ],
)
def test_bad_input(line, match, corpus, tmp_path, capsys):
    arguments = shlex.split(line.format(corpus=corpus, tmp=tmp_path))
    try:
        status = run(*arguments)
    except SystemExit as error:  # of the parser
        status = error.code
    assert status == 2
    assert re.search(match, capsys.readouterr().err.replace("\n", " "))
    assert not (tmp_path / "t").exists()
    assert sorted(path.name for path in corpus.iterdir()) == ["one.txt", "two.txt"]


def test_examples_of_the_help_work(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("--help") == 0
    examples = re.findall(r"jaxlm tokenizer (.*)", capsys.readouterr().out)[1:]
    examples = [line for line in examples if "ACTION" not in line]
    assert len(examples) == 3
    for line in examples:
        small = line.replace("--corpus embedded", f"--corpus {corpus}").replace("4096", "320")
        assert run(*shlex.split(small)) == 0
    for description, replacement in (
        (command._TRAIN, {"my_texts/": str(corpus), "8000": "300", "output tok": "output tok/x"}),
        (command._EVALUATE, {" tok ": " tok/x ", "gpt2/tokenizer.json": "tok/bpe",
                             "other_texts/": str(corpus)}),
        (command._SHOW, {" tok ": " tok/x "}),
    ):  # fmt: skip
        line = description.split("Example: jaxlm tokenizer ")[1]
        for old, new in replacement.items():
            line = line.replace(old, new)
        assert run(*shlex.split(line)) == 0
