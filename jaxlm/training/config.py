"""The configuration of a run: frozen dataclasses, one per concern, composed."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from jaxlm.data.packing import Packing
from jaxlm.models import presets
from jaxlm.models.config import DecoderConfig
from jaxlm.sharding.mesh import MeshConfig
from jaxlm.tokenizers.train import Kind

_MOST = 2**31  # steps are counted in int32

Size = Literal["tiny", "small", "medium", "base"]


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """How the corpus is read and divided."""

    text_field: str = "text"
    """Field of .jsonl records, column of .parquet files, feature of a named data set."""
    encoding: str = "utf-8"
    on_error: Literal["stop", "skip"] = "stop"
    """What to do with a file that cannot be read as text: stop, or count it and go on."""
    cleaning: Literal["none", "basic", "web"] = "basic"
    """basic extracts and repairs text; web drops documents by the published rules for web pages
    too. `jaxlm data build` sets every step."""
    duplicates: Literal["keep", "exact", "near"] = "exact"
    """Which duplicates are left out; near means similar ones as well."""
    heldout_fraction: float = 0.02
    """Share of the documents that is kept for evaluation."""
    tokenizer: Kind = "bpe"
    """bpe and unigram are trained with SentencePiece, byte_bpe as GPT-2's; character takes the
    distinct characters."""
    prepared: tuple[str, ...] = ()
    """Folders that `jaxlm data build` or `tokenize` wrote, in place of --corpus; their tokenizer
    is taken, and the fields above count no more."""
    weights: tuple[float, ...] = ()
    """Share of each prepared folder in the training rows; by default that of its tokens."""
    packing: Packing = "best_fit"
    """best_fit cuts only documents longer than a row; concatenate puts them end to end."""


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """AdamW (Loshchilov and Hutter 2019) with warm-up and cosine decay."""

    learning_rate: float = 2e-3
    """The peak."""
    warmup_steps: int = 40
    decay_steps: int | None = None
    """Steps until the cosine reaches its end, warm-up included; None means training.steps."""
    final_fraction: float = 0.1
    """The cosine ends at this share of the peak."""
    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.1
    """Decoupled; on matrices only."""
    clip_norm: float = 1.0
    """Gradients are scaled down to this global norm."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """The training loop. Only batch_size belongs to a run's identity."""

    steps: int = 340
    batch_size: int = 16
    """Rows per optimiser step, all devices together; a row is one context of tokens."""
    accumulate: int = 1
    """Micro-batches per step; the result does not change, the memory does."""
    remat: Literal["none", "dots", "full"] = "none"
    """What the backward pass recomputes to save memory."""
    scan_layers: bool | None = None
    """True compiles faster, False steps faster; None decides by depth and devices."""
    log_every: int = 10
    evaluate_every: int = 100
    sample_every: int = 100
    checkpoint_every: int = 100
    keep_checkpoints: int = 3
    max_nonfinite: int = 10
    """So many non-finite steps in a row stop the run; each is skipped and counted."""


@dataclasses.dataclass(frozen=True)
class SampleConfig:
    """The samples that are written during training."""

    prompts: tuple[str, ...] = ()
    """One sample each; without any, samples start from the beginning of a document."""
    count: int = 2
    """Samples without a prompt."""
    tokens: int = 160
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = 0.95


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One training run, from a corpus to a model."""

    run: str = "runs/quickstart"
    """The run directory; if it exists, the run continues where it stopped."""
    corpus: tuple[str, ...] = ()
    """Files, folders, globs (.txt .md .jsonl[.gz|.zst] .parquet) or names of tensorflow-datasets;
    none means the documentation that comes with the Python installation."""
    size: Size = "tiny"
    """Row of the reference table (`jaxlm plan`) that sets the defaults below."""
    platform: Literal["auto", "cpu", "gpu", "tpu"] = "auto"
    seed: int = 0
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    model: DecoderConfig = dataclasses.field(default_factory=DecoderConfig)
    optimizer: OptimizerConfig = dataclasses.field(default_factory=OptimizerConfig)
    training: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    sample: SampleConfig = dataclasses.field(default_factory=SampleConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)


def reference(size: Size) -> RunConfig:
    """A row of the reference table: model, learning rate, tokens a step and steps.

    Steps are about 20 tokens per parameter (Hoffmann et al. 2022) from `medium` on.
    """
    if size == "tiny":
        return RunConfig()
    model, rate, batch, accumulate, warmup, steps = {
        "small": (presets.small(), 1e-3, 32, 1, 100, 2_000),
        "medium": (presets.medium(), 6e-4, 512, 32, 200, 4_200),
        "base": (presets.base(), 3e-4, 512, 64, 500, 23_000),
    }[size]
    return RunConfig(
        size=size,
        model=model,
        optimizer=OptimizerConfig(learning_rate=rate, warmup_steps=warmup),
        training=TrainingConfig(
            steps=steps,
            batch_size=batch,
            accumulate=accumulate,
            checkpoint_every=250,
            evaluate_every=250,
            sample_every=250,
        ),
    )


def resolve(config: RunConfig) -> RunConfig:
    """Fills in what follows from other fields, so that a saved configuration is complete."""
    if config.optimizer.decay_steps is not None:
        return config
    optimizer = dataclasses.replace(config.optimizer, decay_steps=config.training.steps)
    return dataclasses.replace(config, optimizer=optimizer)


def problems(config: RunConfig) -> list[str]:
    """Everything that is wrong with a configuration, found without touching a device."""
    found = config.model.problems() + config.mesh.problems()
    t, o, s, d = config.training, config.optimizer, config.sample, config.data

    def require(holds: bool, flag: str, value: Any, what: str) -> None:
        if not holds:
            found.append(f"--{flag} {value}: {what}")

    for name in (
        "steps", "batch_size", "accumulate", "log_every", "evaluate_every", "sample_every",
        "checkpoint_every", "keep_checkpoints", "max_nonfinite",
    ):  # fmt: skip
        value = getattr(t, name)
        flag = f"training.{name.replace('_', '-')}"
        require(1 <= value < _MOST, flag, value, "must lie between 1 and 2^31")
    require(
        0 < o.learning_rate < math.inf, "optimizer.learning-rate", o.learning_rate,
        "must be positive and finite",
    )  # fmt: skip
    require(
        0 <= o.warmup_steps < _MOST, "optimizer.warmup-steps", o.warmup_steps,
        "must lie between 0 and 2^31",
    )  # fmt: skip
    require(
        o.decay_steps is None or 1 <= o.decay_steps < _MOST,
        "optimizer.decay-steps", o.decay_steps, "must lie between 1 and 2^31",
    )  # fmt: skip
    require(
        0 <= o.final_fraction <= 1, "optimizer.final-fraction", o.final_fraction, "must be in [0,1]"
    )
    for name in ("beta1", "beta2"):
        value = getattr(o, name)
        require(0 <= value < 1, f"optimizer.{name}", value, "must be in [0, 1)")
    require(o.epsilon > 0, "optimizer.epsilon", o.epsilon, "must be positive")
    require(
        0 <= o.weight_decay < math.inf, "optimizer.weight-decay", o.weight_decay,
        "must not be negative, and finite",
    )  # fmt: skip
    require(o.clip_norm > 0, "optimizer.clip-norm", o.clip_norm, "must be positive")
    require(
        0 < d.heldout_fraction < 0.9, "data.heldout-fraction", d.heldout_fraction,
        "must lie between 0 and 0.9",
    )  # fmt: skip
    require(
        not (d.prepared and config.corpus), "data.prepared", " ".join(d.prepared),
        "takes the place of --corpus; give one of them",
    )  # fmt: skip
    require(
        not d.weights or len(d.weights) == len(d.prepared), "data.weights",
        " ".join(map(str, d.weights)), f"one for each of {len(d.prepared)} prepared folders",
    )  # fmt: skip
    require(
        all(0 < w < math.inf for w in d.weights), "data.weights", " ".join(map(str, d.weights)),
        "must be positive and finite",
    )  # fmt: skip
    require(s.count >= 0, "sample.count", s.count, "must not be negative")
    require(
        1 <= s.tokens < config.model.context_length, "sample.tokens", s.tokens,
        f"must be at least 1 and below --model.context-length {config.model.context_length}",
    )  # fmt: skip
    require(s.temperature >= 0, "sample.temperature", s.temperature, "must not be negative")
    require(s.top_k is None or s.top_k >= 1, "sample.top-k", s.top_k, "must be at least 1")
    require(s.top_p is None or 0 < s.top_p <= 1, "sample.top-p", s.top_p, "must lie in (0, 1]")
    require(0 <= config.seed < 2**32, "seed", config.seed, "must lie in [0, 2^32)")
    require(bool(config.run.strip()), "run", repr(config.run), "must name a directory")
    require(all(c.strip() for c in config.corpus), "corpus", "''", "must not be empty")
    if min(t.batch_size, t.accumulate, *dataclasses.astuple(config.mesh)) >= 1:
        found += _mesh_problems(config)
    return found


def _mesh_problems(config: RunConfig) -> list[str]:
    t, m, mesh = config.training, config.model, config.mesh
    found = []
    parts = mesh.batch_shards * t.accumulate
    if t.batch_size % parts:
        found.append(
            f"--training.batch-size {t.batch_size}: must be divisible by mesh.data {mesh.data} x "
            f"mesh.fsdp {mesh.fsdp} x training.accumulate {t.accumulate} = {parts}; the next is "
            f"{parts * (t.batch_size // parts + 1)}"
        )
    for flag, value, axis, size in (
        ("model.heads", m.heads, "tensor", mesh.tensor),
        ("model.kv-heads", m.kv_heads, "tensor", mesh.tensor),
        ("model.hidden", m.hidden, "tensor", mesh.tensor),
        ("model.vocab-size", m.padded_vocab_size, "tensor", mesh.tensor),
        ("model.width", m.width, "fsdp", mesh.fsdp),
    ):
        if value % size:
            note = " (padded to a multiple of 128)" if flag == "model.vocab-size" else ""
            found.append(f"--mesh.{axis} {size}: must divide --{flag}, which is {value}{note}")
    return found
