"""A whole run through the command line: what it leaves, and what can be done with it."""

import json
import math
import shutil
import string
import subprocess
import sys

import pytest
import yaml

from jaxlm import cli
from jaxlm.commands.load import load_model
from jaxlm.training.metrics import read_metrics


def command(run, small):
    """The arguments of the run that all tests here look at."""
    return [
        *["train", "--run", str(run), *small, "--seed", "3", "--optimizer.learning-rate", "0.01"],
        *["--training.steps", "60", "--training.checkpoint-every", "20"],
        *["--training.evaluate-every", "30"],
    ]


@pytest.fixture(scope="module")
def run(small, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "run"
    assert cli.main(command(path, small)) == 0
    return path


def test_run_directory_is_complete(run):
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "config.yaml", "tokenizer", "checkpoints", "metrics.jsonl", "samples", "report.html",
        "environment.json", "summary.json", "data", "tensorboard",
    }  # fmt: skip
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["width"] == 32
    assert config["optimizer"]["decay_steps"] == 60  # resolved
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["20", "40", "60"]
    assert "bits per byte" in (run / "report.html").read_text()


def test_the_report_of_the_data_shows_its_stages_in_their_order(run):
    page = (run / "data/report.html").read_text()
    places = [page.index(f">{name}<") for name in ("collect", "whitespace", "deduplicate")]
    assert places == sorted(places)


def test_metrics_hold_every_step_and_the_loss_falls(run):
    records = [r for r in read_metrics(run) if "train/loss" in r]
    assert [r["step"] for r in records] == list(range(1, 61))
    assert records[0]["train/loss"] == pytest.approx(math.log(300), rel=0.02)
    assert records[-1]["train/loss"] < records[0]["train/loss"] - 1.0
    assert records[0]["train/learning_rate"] > 0


def test_summary_compares_with_both_baselines_on_the_same_tokens(run):
    summary = json.loads((run / "summary.json").read_text())
    assert summary["uniform"]["loss"] == pytest.approx(math.log(300))
    assert summary["heldout"]["loss"] < summary["unigram"]["loss"] < summary["uniform"]["loss"]
    ratio = {
        name: summary[name]["bits_per_byte"] / summary[name]["loss"]
        for name in ("heldout", "unigram", "uniform")
    }
    assert ratio["heldout"] == pytest.approx(ratio["uniform"]) == ratio["unigram"]
    for name in ("tokens_per_second", "compile_seconds", "peak_memory_bytes", "seconds"):
        assert summary[name] > 0


def test_checkpoint_alone_loads_and_generates(run, tmp_path, capsys):
    alone = tmp_path / "moved"
    shutil.copytree(run / "checkpoints" / "60", alone)
    loaded = load_model(alone)
    assert loaded.config.model.width == 32
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("the model")) == "the model"
    arguments = ["generate", str(alone), "--prompt", "the ", "--tokens", "12", "--seed", "5"]
    assert cli.main(arguments) == 0
    first = capsys.readouterr().out
    assert first.startswith("the ")
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out == first


def test_chat_answers_and_keeps_its_settings(run, capsys, monkeypatch):
    lines = iter(["the model reads", "/temperature 0", "/tokens 0", "/nonsense", "/reset", "/quit"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    assert cli.main(["chat", str(run), "--tokens", "5"]) == 0
    out = capsys.readouterr().out
    assert "unknown command /nonsense" in out
    assert "must be at least 1" in out
    assert "[forgotten]" in out


def test_chat_leaves_at_end_of_input(run, monkeypatch):
    def end(prompt):
        raise EOFError

    monkeypatch.setattr("builtins.input", end)
    assert cli.main(["chat", str(run), "--tokens", "5"]) == 0


def test_evaluate_agrees_with_the_training_loss(run, corpus, capsys):
    assert cli.main(["evaluate", str(run), "--corpus", str(corpus), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    summary = json.loads((run / "summary.json").read_text())
    assert result["documents"] == 120
    # Nearly all of these texts were trained on.
    assert result["loss"] == pytest.approx(summary["heldout"]["loss"], rel=0.1)


def test_giving_the_command_again_changes_nothing(run, small, capsys):
    before = (run / "metrics.jsonl").read_text()
    summary = (run / "summary.json").read_text()
    assert cli.main(command(run, small)) == 0
    assert "continuing after step 60" in capsys.readouterr().out
    assert (run / "metrics.jsonl").read_text() == before
    assert (run / "summary.json").read_text() == summary


def test_a_run_of_another_configuration_is_refused_with_the_difference(run, small, capsys):
    status = cli.main(["train", "--run", str(run), *small, "--seed", "4"])
    err = capsys.readouterr().err
    assert status == 2
    assert "seed: 3 in the run, 4 asked for" in err
    assert "optimizer.learning_rate: 0.01 in the run, 0.002 asked for" in err


def test_saved_configuration_is_a_valid_file(run, tmp_path, capsys):
    saved = run / "config.yaml"
    assert cli.main(["plan", str(saved), "--training.steps", "70"]) == 0
    assert "tokens in all" in capsys.readouterr().out


def test_float64_through_every_stage(small, tmp_path):
    """In a process of its own: 64-bit types are switched on for all of JAX."""
    run = str(tmp_path / "run")
    wide = ["--model.param-dtype", "float64", "--model.compute-dtype", "float64"]
    for arguments in (
        ["train", "--run", run, *small, *wide, "--training.steps", "3"],
        ["generate", run, "--prompt", "the ", "--tokens", "5"],
    ):
        result = subprocess.run(
            [sys.executable, "-m", "jaxlm.cli", *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("the ")


@pytest.mark.parametrize("kind", ["byte_bpe", "wordpiece", "bytes"])
def test_every_kind_of_tokenizer_trains_and_continues(kind, small, tmp_path, capsys):
    flags = ["--data.tokenizer", kind, "--training.steps"]
    assert cli.main(["train", "--run", str(tmp_path / "run"), *small, *flags, "1"]) == 0
    assert cli.main(["train", "--run", str(tmp_path / "run"), *small, *flags, "2"]) == 0
    assert "continuing after step 1" in capsys.readouterr().out


def test_an_empty_prompt_needs_a_beginning(small, tmp_path, capsys):
    vocabulary = tmp_path / "vocab.txt"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.ascii_lowercase]
    vocabulary.write_text("\n".join([*words, *("##" + c for c in string.ascii_lowercase)]) + "\n")
    folder = small[small.index("--corpus") + 1]
    store, tokens = str(tmp_path / "store"), str(tmp_path / "tokens")
    assert cli.main(["data", "collect", "--corpus", folder, "--output", store]) == 0
    flags = ["--tokenizer", str(vocabulary), "--output", tokens]
    assert cli.main(["data", "tokenize", store, *flags]) == 0
    rest = small[: small.index("--corpus")] + small[small.index("--corpus") + 2 :]
    command = ["train", "--run", str(tmp_path / "run"), "--data.prepared", tokens, *rest]
    assert cli.main(command) == 2
    assert "give prompts, or --sample.count 0" in capsys.readouterr().err
    assert cli.main([*command, "--sample.count", "0", "--training.steps", "1"]) == 0
