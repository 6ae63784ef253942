"""`jaxlm train`: from a corpus to a tokenizer, a trained decoder, its evaluation and samples."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console
from rich.table import Table

from jaxlm import platform
from jaxlm.commands.prepare import RunData, open_data
from jaxlm.commands.run_options import parse_run
from jaxlm.data.loader import BatchLoader
from jaxlm.data.mixture import MixtureLoader
from jaxlm.data.row_plans import stored_plan
from jaxlm.data.shards import TokenShards
from jaxlm.errors import InputError, JaxlmError, NonFiniteError, StoppedError
from jaxlm.evaluation.perplexity import Score, evaluate, uniform_baseline, unigram_baseline
from jaxlm.evaluation.report import write_report
from jaxlm.generation import SamplingOptions, generate_text
from jaxlm.generation.text import encode_prompt
from jaxlm.layers.declare import decayed
from jaxlm.models.decoder import Decoder, compute_dtype, decoder_parameters, parameter_count
from jaxlm.sharding import make_mesh
from jaxlm.tokenizers.base import Tokenizer, save_tokenizer
from jaxlm.training.checkpoint import Checkpointer, encode_files
from jaxlm.training.config import RunConfig, SampleConfig, resolve
from jaxlm.training.config_file import to_dict
from jaxlm.training.loop import run_loop
from jaxlm.training.metrics import MetricsWriter
from jaxlm.training.optimizers import make_optimizer, make_schedule
from jaxlm.training.progress import TrainingProgress, format_seconds
from jaxlm.training.run_directory import RunDirectory
from jaxlm.training.signals import StopSignals
from jaxlm.training.state import TrainState, plan_state, step_key
from jaxlm.training.step import make_loss_step, make_train_step, next_token_loss, place_batch
from jaxlm.training.throughput import flops_per_token, measure_matrix_rate

DESCRIPTION = """Train a decoder on a corpus, from raw text to samples and a report. The same
command continues a run that was stopped.

Example: jaxlm train --corpus my_texts/ --run runs/mine --training.steps 1000"""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns its exit status."""
    config = parse_run(arguments, program="jaxlm train", description=DESCRIPTION)
    return run(config, Console())


def run(config: RunConfig, console: Console) -> int:
    """Trains as configured, or continues; returns the exit status.

    Raises:
      InputError: bad input or configuration, before anything is written.
      StoppedError: stopped by SIGTERM, state saved.
    """
    directory = RunDirectory(config.run)
    if problems := directory.problems():
        raise InputError(problems)
    config = directory.continued(config) if directory.exists else resolve(config)
    try:
        with directory.locked():
            return _run(config, directory, console)
    except OSError as error:
        raise JaxlmError(
            f"{error.filename or directory.path} cannot be written or read "
            f"({error.strerror or error}); make room or check the permissions, then give the same "
            "command again to continue"
        ) from error


def _run(config: RunConfig, directory: RunDirectory, console: Console) -> int:
    started = time.perf_counter()

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    platform.configure(config.platform, devices=config.mesh.devices, log=say)
    platform.allow_dtypes(config.model.param_dtype, config.model.compute_dtype)
    platform.check_devices(config.platform, config.mesh.devices)
    prepared = open_data(config, directory, console)
    check_prompts(config, prepared.tokenizer)
    if prepared.tokenizer.vocab_size != config.model.vocab_size:  # given, or not to be chosen
        model_config = dataclasses.replace(config.model, vocab_size=prepared.tokenizer.vocab_size)
        config = dataclasses.replace(config, model=model_config)
    directory.write_config(config)
    if not directory.tokenizer.exists():
        save_tokenizer(prepared.tokenizer, directory.tokenizer)
    directory.write_json("environment.json", platform.describe_environment())
    mesh = make_mesh(config.mesh)
    with jax.set_mesh(mesh), contextlib.ExitStack() as stack:
        summary = _train(config, directory, prepared, mesh, console, say, stack)
    summary["seconds"] = time.perf_counter() - started
    summary["peak_memory_bytes"] = platform.peak_memory_bytes()
    if not summary.pop("steps_taken"):  # a finished run: its own figures stay
        summary |= {k: v for k, v in directory.read_json("summary.json").items() if k in summary}
    directory.write_json("summary.json", summary)
    report = write_report(directory.path)
    _show_summary(console, config, summary)
    say(f"report:  {report}")
    say(f"more:    jaxlm generate {directory.path} --prompt '...'")
    say(f"         jaxlm chat {directory.path}")
    return 0


def _train(
    config: RunConfig,
    directory: RunDirectory,
    prepared: RunData,
    mesh: Mesh,
    console: Console,
    say: Any,
    stack: contextlib.ExitStack,
) -> dict[str, Any]:
    training, tokenizer = config.training, prepared.tokenizer
    model = Decoder(config.model, scan_layers=training.scan_layers, remat=training.remat)
    parameters = decoder_parameters(config.model)
    schedule = make_schedule(config.optimizer, training)
    optimizer = make_optimizer(config.optimizer, schedule, decayed(parameters))
    abstract, make_state = plan_state(model, parameters, optimizer, seed=config.seed, mesh=mesh)

    loader = make_loader(config, prepared.train, prepared.weights, say)
    heldout = make_loader(config, prepared.heldout, prepared.weights)
    checkpointer = stack.enter_context(
        Checkpointer(
            directory.checkpoints,
            keep=training.keep_checkpoints,
            meta={
                "config": to_dict(config),
                "tokenizer": encode_files(tokenizer.files()),
                "data": loader.fingerprint,
            },
        )
    )
    restored = checkpointer.restore(abstract, note=say)
    state = make_state() if restored is None else restored
    start = int(state.step)
    if restored is not None:
        say(f"continuing after step {start}")
    directory.remove_samples_after(start)

    loss_fn = next_token_loss(model)
    loss_step = make_loss_step(loss_fn)
    heldout_rows = max(mesh.size, training.batch_size // training.accumulate)
    heldout_bytes = sum(int(shards.byte_counts.sum()) for shards in prepared.heldout)

    scores: dict[int, Score] = {}

    def score(state: TrainState) -> Score:
        step = int(state.step)
        if step not in scores:
            batches = (place_batch(b, mesh) for b in heldout.evaluation_batches(heldout_rows))
            scores[step] = evaluate(loss_step, state.params, batches, utf8_bytes=heldout_bytes)
        return scores[step]

    matrix_rate = measure_matrix_rate(mesh, compute_dtype(config.model))
    share_per_token = flops_per_token(config.model) / matrix_rate
    say(
        f"model: {parameter_count(config.model):,} parameters on {mesh.size} "
        f"{mesh.devices.flat[0].device_kind} device(s), together {matrix_rate / 1e9:,.0f} GFLOP/s "
        "in matrix products"
    )

    with (
        MetricsWriter(directory.path, resume_step=start) as writer,
        StopSignals() as stop,
        TrainingProgress(console, start=start, steps=training.steps) as progress,
    ):

        def heldout_metrics(state):
            metrics = score(state).metrics()
            progress.note(
                f"step {int(state.step)}: held-out loss {metrics['loss']:.3f}, "
                f"{metrics['bits_per_byte']:.3f} bits per byte"
            )
            return {f"heldout/{name}": value for name, value in metrics.items()}

        def sample(state):
            key = step_key(config.seed, "sample", state.step)
            text = write_samples(model, state.params, tokenizer, config.sample, key)
            directory.write_sample(int(state.step), text)
            progress.note(f"step {int(state.step)}, a sample:\n{text.strip()[:600]}\n")

        result = run_loop(
            state,
            train_step=make_train_step(
                loss_fn,
                optimizer,
                schedule=schedule,
                accumulate=training.accumulate,
                shardings=jax.tree.map(lambda a: a.sharding, abstract),
            ),
            batch_at=lambda rows: place_batch(loader.batch(rows), mesh),
            config=training,
            writer=writer,
            progress=progress,
            stop=stop,
            share_per_token=share_per_token,
            save=checkpointer.save,
            evaluate=heldout_metrics,
            sample=sample,
            recorded=directory.recorded(start),
        )
        checkpointer.wait()
    if result.stopped:
        raise StoppedError(
            f"stopped at step {int(result.state.step)} of {training.steps}; everything is saved, "
            "the same command continues",
            interrupted=result.stopped == signal.SIGINT,
        )

    model_score = score(result.state)
    # The beginning of a text is never predicted, in training and in the held-out split.
    train_counts, predicted = (
        np.sum([predicted_counts(shards) for shards in split], axis=0)
        for split in (prepared.train, prepared.heldout)
    )
    unigram = unigram_baseline(model_score, train_counts, predicted)
    if not math.isfinite(model_score.nats):
        raise NonFiniteError(
            "the held-out loss is not finite; start another --run with a lower "
            "--optimizer.learning-rate, or --model.compute-dtype float32"
        )
    return {
        "steps_taken": int(result.state.step) - start,
        "step": int(result.state.step),
        "steps": training.steps,
        "parameters": parameter_count(config.model),
        "heldout": model_score.metrics(),
        "unigram": unigram.metrics(),
        "uniform": uniform_baseline(model_score, tokenizer.vocab_size).metrics(),
        "tokens_per_second": result.tokens_per_second,
        "matrix_rate_share": result.matrix_rate_share,
        "compile_seconds": result.compile_seconds,
        "skipped_steps": int(result.state.skipped),
    }


def make_loader(
    config: RunConfig,
    split: Sequence[TokenShards],
    weights: Sequence[float],
    say: Callable[[str], None] = lambda text: None,
) -> BatchLoader | MixtureLoader:
    """The rows of one split: of its one source, or of several by their weights."""
    context, packing = config.model.context_length, config.data.packing
    plans = [stored_plan(shards, context, packing) for shards in split]
    rows = sum(plan.rows for plan in plans)
    full = sum(plan.fill * plan.rows for plan in plans) / max(1, rows)
    cut = sum(plan.documents_cut for plan in plans) / max(1, sum(len(s.lengths) for s in split))
    say(f"packing: {rows:,} rows of {context:,}, {full:.2%} full; {cut:.1%} of documents are cut")
    loaders = [
        BatchLoader(
            shards.tokens,
            plan,
            batch_size=config.training.batch_size,
            seed=config.seed,
            identity=shards.fingerprint,
        )
        for shards, plan in zip(split, plans, strict=True)
    ]
    if len(loaders) == 1:
        return loaders[0]
    return MixtureLoader(loaders, weights, batch_size=config.training.batch_size, seed=config.seed)


def predicted_counts(shards: TokenShards) -> np.ndarray:
    """How often each id is a target, int64 [vocab_size]: all but the first of each document."""
    kept = shards.offsets[:-1][shards.lengths > 0].astype(np.int64)
    first = np.bincount(shards.tokens[kept], minlength=shards.vocab_size)
    return shards.token_counts.astype(np.int64) - first


def check_prompts(config: RunConfig, tokenizer: Tokenizer) -> None:
    """Raises `InputError`, before any training, if a sample's prompt does not fit the context."""
    room = config.model.context_length - config.sample.tokens
    empty = "" in config.sample.prompts or (config.sample.count and not config.sample.prompts)
    if empty and tokenizer.bos_id is None:
        raise InputError(
            "--sample.prompts: the tokenizer has no token that begins a text, so that an empty "
            "prompt cannot be continued; give prompts, or --sample.count 0"
        )
    problems = [
        f"--sample.prompts {prompt[:40]!r}: has {length} tokens, the context of "
        f"{config.model.context_length} leaves {room} beside --sample.tokens {config.sample.tokens}"
        for prompt in config.sample.prompts
        if (length := len(encode_prompt(tokenizer, prompt))) > room
    ]
    if problems:
        raise InputError(problems)


def write_samples(
    model: Decoder, params: Any, tokenizer: Tokenizer, config: SampleConfig, key: jax.Array
) -> str:
    """The samples of one step as text: each prompt with its continuation."""
    prompts = list(config.prompts) or [""] * config.count
    if not prompts:
        return ""
    texts = generate_text(
        model,
        params,
        tokenizer,
        prompts,
        max_new_tokens=config.tokens,
        options=SamplingOptions(config.temperature, config.top_k, config.top_p),
        key=key,
    )
    return "\n\n---\n\n".join(p + t for p, t in zip(prompts, texts, strict=True)) + "\n"


def _show_summary(console: Console, config: RunConfig, summary: dict[str, Any]) -> None:
    table = Table("held-out documents", "loss", "perplexity", "bits per byte")
    for name, label in (
        ("heldout", "this model"),
        ("unigram", "unigram baseline"),
        ("uniform", "uniform baseline"),
    ):
        m = summary[name]
        table.add_row(
            label, f"{m['loss']:.3f}", f"{m['perplexity']:,.1f}", f"{m['bits_per_byte']:.3f}"
        )
    console.print(table)
    memory = summary["peak_memory_bytes"]
    console.print(
        f"{summary['step']} steps in {format_seconds(summary['seconds'])} "
        f"({summary['tokens_per_second']:,.0f} tokens/s, {summary['matrix_rate_share']:.0%} of the "
        f"matrix rate; step compiled in {summary['compile_seconds']:.1f} s; peak memory "
        f"{(memory or 0) / 2**30:.2f} GiB)",
        highlight=False,
        soft_wrap=True,
    )
