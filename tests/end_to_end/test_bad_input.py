"""Bad input: a clear message with the way out, the right exit status, nothing half-written."""

import gzip
import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from jaxlm import cli
from jaxlm.training.run_directory import RunDirectory


def train(capsys, run, *arguments):
    """Runs `jaxlm train`; returns (status, standard error)."""
    try:
        status = cli.main(["train", "--run", str(run), *map(str, arguments)])
    except SystemExit as error:  # the argument parser's
        status = error.code
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return status, err


def test_two_processes_cannot_train_in_one_directory(capsys, small, tmp_path):
    run = tmp_path / "run"
    with RunDirectory(run).locked():
        status, err = train(capsys, run, *small)
    assert status == 1
    assert "another process" in err
    assert not run.exists()


def assert_refused(capsys, run, arguments, *fragments):
    status, err = train(capsys, run, *arguments)
    assert status == 2, err
    for fragment in fragments:
        assert fragment in " ".join(err.split()), err
    assert not run.exists()


def small_without_corpus(small):
    return small[2:]


@pytest.mark.parametrize(
    ("name", "content", "fragments"),
    [
        ("missing.txt", None, ["missing.txt"]),
        ("empty.txt", b"", ["no text"]),
        ("binary.txt", b"abc\x00\x01def" * 50, ["binary.txt", "binary"]),
        ("latin.txt", "caf\xe9 ".encode("latin-1") * 50, ["latin.txt", "--data.encoding"]),
        ("bad.jsonl", b'{"text": "fine"}\n{"text": \n', ["bad.jsonl", "2"]),
        ("other.jsonl", b'{"body": "no text field"}\n', ["--data.text-field", "body"]),
        ("number.jsonl", b'{"text": 7}\n', ["number.jsonl", "text"]),
        ("cut.jsonl.gz", gzip.compress(b'{"text": "abc"}\n' * 999, mtime=0)[:-9], ["cut.jsonl.gz"]),
        ("noise.parquet", b"PAR1 but not really", ["noise.parquet"]),
        ("image.png", b"\x89PNG", ["image.png"]),
        ("short.txt", b"too small for anything", ["too small"]),
    ],
)
def test_corpus(capsys, small, tmp_path, name, content, fragments):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    arguments = ["--corpus", str(path), *small_without_corpus(small)]
    assert_refused(capsys, tmp_path / "run", arguments, *fragments)


def test_a_corpus_too_small_for_the_context(capsys, small, tmp_path):
    path = tmp_path / "small.txt"
    path.write_text("".join(f"line number {n} of a small text\n" for n in range(150)))
    arguments = ["--corpus", str(path), *small_without_corpus(small)]
    arguments += ["--model.vocab-size", "290", "--model.context-length", "5000"]
    assert_refused(capsys, tmp_path / "run", arguments, "5,000", "--model.context-length")


def test_a_vocabulary_larger_than_the_data_allow(capsys, small, tmp_path):
    assert_refused(
        capsys, tmp_path / "run", [*small, "--model.vocab-size", "50000"], "--model.vocab-size"
    )


def test_every_configuration_error_is_reported_at_once(capsys, small, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump({"model": {"widht": 64}, "trainig": {}, "optimizer": {"beta1": "high"}})
    )
    status = cli.main(
        [
            *["train", str(config), "--run", str(tmp_path / "run"), *small],
            *["--model.heads", "3", "--mesh.data", "3", "--mesh.tensor", "5"],
            *["--training.steps", "0", "--model.dropout", "1.5", "--sample.temperature", "-1"],
        ]
    )
    err = capsys.readouterr().err
    assert status == 2
    for fragment in (
        "unknown key model.widht; the nearest is model.width",
        "unknown key trainig; the nearest is training",
        "optimizer.beta1: must be a number, got 'high'",
        "--model.kv-heads 2: must divide --model.heads 3",
        "--training.batch-size 8: must be divisible by",
        "--mesh.tensor 5: must divide --model.heads, which is 3",
        "--training.steps 0",
        "--model.dropout 1.5",
        "--sample.temperature -1",
    ):
        assert fragment in err, err
    assert not (tmp_path / "run").exists()


def test_unknown_flag_names_the_nearest(capsys, small, tmp_path):
    status, err = train(capsys, tmp_path / "run", *small, "--model.layesr", "3")
    assert status == 2
    assert "--model.layers" in err


def test_unknown_verb_names_the_nearest(capsys):
    assert cli.main(["trian"]) == 2
    assert "'train'" in capsys.readouterr().err


def test_more_devices_than_there_are(small, tmp_path):
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    command = [sys.executable, "-m", "jaxlm.cli", "train", "--run", str(tmp_path / "run"), *small]
    result = subprocess.run(
        [*command, "--mesh.data", "4"], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert "needs 4 devices" in result.stderr
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize("verb", ["generate", "chat", "report"])
def test_not_a_run_directory(capsys, tmp_path, verb):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nowhere", tmp_path / "file", tmp_path):
        assert cli.main([verb, str(path)]) == 2
        assert str(path) in capsys.readouterr().err


def test_a_directory_with_other_things_is_left_alone(capsys, small, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    status, err = train(capsys, tmp_path, *small)
    assert status == 2
    assert "thesis.tex" in err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for the superuser")
def test_a_read_only_directory(capsys, small, tmp_path):
    tmp_path.chmod(0o500)
    assert_refused(capsys, tmp_path / "run", small, "read-only")


def test_a_full_disk_is_reported_and_the_run_continues_later(small, tmp_path):
    """Files above a limit cannot be written, as on a disk that is full."""
    run = tmp_path / "run"
    command = [sys.executable, "-m", "jaxlm.cli", "train", "--run", str(run), *small]
    command += ["--training.steps", "6", "--training.checkpoint-every", "2"]
    environment = {**os.environ, "XLA_FLAGS": "", "JAXLM_COMPILATION_CACHE": "off"}

    limited = ["bash", "-c", 'ulimit -f 40; exec "$@"', "bash", *command]
    result = subprocess.run(limited, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "could not be written" in result.stderr or "cannot be written" in result.stderr
    assert "make room" in result.stderr
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr


@pytest.fixture
def two_checkpoints(capsys, small, tmp_path):
    run = tmp_path / "run"
    arguments = [*small, "--training.steps", "4", "--training.checkpoint-every", "2"]
    assert train(capsys, run, *arguments)[0] == 0
    return run, arguments


def damage(checkpoint):
    """Flips one bit in the middle of the largest stored file."""
    path = max((p for p in checkpoint.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_damaged_checkpoint_is_noticed_and_the_one_before_is_used(two_checkpoints, capsys):
    run, arguments = two_checkpoints
    damage(run / "checkpoints" / "4" / "params")
    assert cli.main(["generate", str(run), "--prompt", "the", "--tokens", "2"]) == 3
    assert "damaged" in capsys.readouterr().err
    digest = json.loads((run / "summary.json").read_text())["heldout"]
    assert cli.main(["train", "--run", str(run), *arguments]) == 0
    out = capsys.readouterr().out
    assert "checkpoint 4 is damaged" in out
    assert "continuing after step 2" in out
    assert json.loads((run / "summary.json").read_text())["heldout"] == digest
    assert (run / "checkpoints" / "4.damaged").is_dir()


def test_other_data_under_a_checkpoint_are_refused(capsys, corpus, small, tmp_path):
    own, run = tmp_path / "corpus", tmp_path / "run"
    shutil.copytree(corpus, own)
    arguments = ["--corpus", str(own), *small_without_corpus(small), "--training.steps", "2"]
    assert train(capsys, run, *arguments)[0] == 0
    shutil.rmtree(run / "data")
    assert train(capsys, run, *arguments)[0] == 0  # prepared again, and the same
    shutil.rmtree(run / "data")
    (own / "001.txt").write_text("something else\n" * 9)
    status, err = train(capsys, run, *arguments)
    assert status == 2
    assert "another data" in err
    assert (run / "checkpoints" / "2").is_dir()


def test_only_damaged_checkpoints_end_with_status_3(two_checkpoints, capsys):
    run, arguments = two_checkpoints
    for step in ("2", "4"):
        damage(run / "checkpoints" / step / "params")
    for _ in range(2):  # again: it must not begin anew as if nothing had been
        assert train(capsys, run, *arguments)[0] == 3


def test_a_checkpoint_of_another_model_is_not_taken_for_damage(two_checkpoints, capsys):
    run, arguments = two_checkpoints
    (run / "config.yaml").unlink()
    status, err = train(capsys, run, *arguments, "--model.hidden", "80")
    assert status == 2, err
    assert "another config" in err
    assert (run / "checkpoints" / "4").is_dir()


def test_an_unwritable_checkpoint_directory_ends_the_process(small, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").write_text("a file")
    command = [sys.executable, "-m", "jaxlm.cli", "train", "--run", str(tmp_path / "run"), *small]
    result = subprocess.run(
        [*command, "--training.steps", "2"], capture_output=True, text=True, check=False, timeout=90
    )
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (["--sample.prompts", "the model " * 30], "--sample.prompts"),
        (["--training.steps", "99999999999"], "--training.steps"),
        (["--optimizer.decay-steps", "0"], "--optimizer.decay-steps 0"),
        (["--optimizer.learning-rate", "inf"], "--optimizer.learning-rate inf"),
        (["--run", ""], "--run"),
        (["--corpus"], "--corpus"),
        (["--corpus", ""], "--corpus"),
    ],
)
def test_odd_values(capsys, small, tmp_path, arguments, fragment):
    status, err = train(capsys, tmp_path / "run", *small, *arguments)
    assert status == 2
    assert fragment in err


def test_values_with_an_equals_sign_stay_values(capsys, small, tmp_path):
    arguments = [*small, "training.steps=2", "--sample.prompts", "a=b"]
    assert train(capsys, tmp_path / "run", *arguments)[0] == 0
    assert "a=b" in (tmp_path / "run" / "samples" / "step_00000002.txt").read_text()


def test_prompt_beyond_the_context(two_checkpoints, capsys):
    run, _ = two_checkpoints
    assert cli.main(["generate", str(run), "--prompt", "the model " * 40]) == 2
    assert "context of 32" in capsys.readouterr().err


def test_numbers_that_go_bad_stop_the_run(capsys, small, tmp_path):
    status, err = train(
        capsys, tmp_path / "run", *small, "--training.steps", "40", "--training.max-nonfinite", "3",
        "--optimizer.learning-rate", "1e38", "--optimizer.warmup-steps", "0",
    )  # fmt: skip
    assert status == 76
    assert "--optimizer.learning-rate" in err
