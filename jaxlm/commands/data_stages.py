"""`jaxlm data collect`, `clean`, `deduplicate`, `tokenize` and `build`: the stages themselves."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro
from rich.console import Console

from jaxlm.commands.execution import Execution, stage_progress
from jaxlm.commands.options import flag_value, parse
from jaxlm.data.cleaning.config import CleaningConfig, basic, web
from jaxlm.data.cleaning.pipeline import clean as clean_store
from jaxlm.data.collect import collect as collect_corpus
from jaxlm.data.deduplicate import DeduplicationConfig
from jaxlm.data.deduplicate import deduplicate as deduplicate_store
from jaxlm.data.near_duplicates import describe_banding
from jaxlm.data.prepare import LineConfig, prepare, prepare_tokens, stage_folders
from jaxlm.data.reading import OptionNames, ReadSettings
from jaxlm.data.store import open_store
from jaxlm.errors import InputError
from jaxlm.evaluation.data_report import write_data_report
from jaxlm.tokenizers.pretrained import read_pretrained
from jaxlm.tokenizers.train import Kind, train_tokenizer
from jaxlm.training.config_file import from_dict, read_yaml

T = TypeVar("T")
Profile = Literal["basic", "web"]
# Booleans of the steps take a value, as in the file; those of the command are flags.
_Steps = Annotated[CleaningConfig, tyro.conf.FlagConversionOff]
_Rules = Annotated[DeduplicationConfig, tyro.conf.FlagConversionOff]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are read."""

    text_field: str = "text"
    """Field of .jsonl records, column of .parquet files, feature of a named data set."""
    encoding: str = "auto"
    """Of text, code and JSON Lines; auto finds it out for each file."""
    strict: bool = False
    """Stop at what cannot be read, instead of leaving it out and counting it."""

    @property
    def read_settings(self) -> ReadSettings:
        """As the functions take them."""
        return ReadSettings(
            text_field=self.text_field,
            encoding=self.encoding,
            on_error="stop" if self.strict else "skip",
            options=OptionNames("--corpus", "--text-field", "--encoding", "without --strict"),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Collect(Execution, Reading):
    """Arguments of `jaxlm data collect`."""

    output: str
    """The folder to write."""
    corpus: tuple[str, ...] = ("embedded",)
    """Files, folders, globs or names of tensorflow-datasets; the embedded corpus by default."""


def collect(arguments: Sequence[str]) -> int:
    """Reads a corpus into a store of documents."""
    options = parse(
        Collect,
        arguments,
        program="jaxlm data collect",
        description="Read files, folders, archives, dumps and named data sets.\n\n"
        "Example: jaxlm data collect --corpus pages/ 'crawl/*.warc.gz' --output line/collect",
    )
    work = functools.partial(collect_corpus, options.corpus, options.output, options.read_settings)
    return _run(options, options.output, work)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clean(Execution):
    """Arguments of `jaxlm data clean`."""

    store: Annotated[str, tyro.conf.Positional]
    """The folder that collect wrote."""
    output: str
    """The folder to write."""
    profile: Profile = "web"
    """basic extracts and repairs text; web also drops pages by the published rules."""
    config: str | None = None
    """A YAML file of settings, such as {gopher_quality: {min_words: 30}}; flags override it."""
    steps: Annotated[_Steps, tyro.conf.arg(name="")] = dataclasses.field(default_factory=web)


def clean(arguments: Sequence[str]) -> int:
    """Cleans a store into another."""
    options = parse(
        Clean,
        arguments,
        program="jaxlm data clean",
        description="Clean documents, step by step.\n\n"
        "Example: jaxlm data clean line/collect --output line/clean --language.languages en",
        default=_default(Clean, steps=_configured(arguments, _profile(arguments, "web"))),
    )
    store = open_store(options.store)
    work = functools.partial(clean_store, store, options.output, options.steps)
    return _run(options, options.output, work)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Deduplicate(Execution):
    """Arguments of `jaxlm data deduplicate`."""

    store: Annotated[str, tyro.conf.Positional]
    """The folder that clean or collect wrote."""
    output: str
    """The folder to write."""
    config: str | None = None
    """A YAML file of settings, such as {near: {threshold: 0.7}}; flags override it."""
    rules: Annotated[_Rules, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=DeduplicationConfig
    )


def deduplicate(arguments: Sequence[str]) -> int:
    """Removes duplicates, repeated lines and evaluation sets from a store."""
    options = parse(
        Deduplicate,
        arguments,
        program="jaxlm data deduplicate",
        description="Remove duplicates, repeated lines and passages of evaluation sets.\n\n"
        "Example: jaxlm data deduplicate line/clean --output line/unique --near.threshold 0.8",
        default=_default(Deduplicate, rules=_configured(arguments, DeduplicationConfig())),
    )
    work = functools.partial(deduplicate_store, options.store, options.output, options.rules)
    status = _run(options, options.output, work)
    if options.rules.near.enabled:
        print(describe_banding(options.rules.near))
    return status


@dataclasses.dataclass(frozen=True, kw_only=True)
class Splitting:
    """How documents are divided into training and held-out parts."""

    heldout_fraction: float = 0.02
    """Share of the parts of documents that is held out, by a hash."""
    seed: int = 0
    """Of that hash, and of the sample for the tokenizer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tokenize(Execution, Splitting):
    """Arguments of `jaxlm data tokenize`."""

    store: Annotated[str, tyro.conf.Positional]
    """The folder that deduplicate, clean or collect wrote."""
    output: str
    """The folder to write, for `jaxlm train --data.prepared`."""
    tokenizer: str
    """A tokenizer: a saved one, a tokenizer.json, a SentencePiece .model or a folder with one."""


def tokenize(arguments: Sequence[str]) -> int:
    """Turns a store into tokens of a training and a held-out split."""
    options = parse(
        Tokenize,
        arguments,
        program="jaxlm data tokenize",
        description="Turn documents into tokens of a training and a held-out split.\n\n"
        "Example: jaxlm data tokenize line/unique --tokenizer tok/ --output line/tokens",
    )
    store, tokenizer = open_store(options.store), read_pretrained(options.tokenizer)

    def work(**how: Any) -> Mapping[str, Any] | None:
        prepared = prepare_tokens(
            store,
            options.output,
            tokenizer,
            seed=options.seed,
            heldout_fraction=options.heldout_fraction,
            **how,
        )
        return None if prepared is None else prepared.manifest

    return _run(options, options.output, work)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build(Execution, Reading, Splitting):
    """Arguments of `jaxlm data build`."""

    output: str
    """The folder to write, for `jaxlm train --data.prepared`."""
    corpus: tuple[str, ...] = ()
    """Files, folders, globs or names of tensorflow-datasets; the embedded corpus by default."""
    profile: Profile = "basic"
    """Which cleaning steps are on; see `jaxlm data clean --help`."""
    config: str | None = None
    """A YAML file with settings under `cleaning` and `deduplication`; flags override it."""
    cleaning: _Steps = dataclasses.field(default_factory=basic)
    deduplication: _Rules = dataclasses.field(default_factory=DeduplicationConfig)
    tokenizer: Kind = "bpe"
    """The kind to train."""
    vocab_size: int = 8192
    keep_documents: bool = False
    """Keep what every stage wrote, not only the tokens."""


def build(arguments: Sequence[str]) -> int:
    """The whole line, from a corpus to tokens, with its report."""
    both = _Both(_profile(arguments, "basic"), DeduplicationConfig())
    both = _configured(arguments, both)
    options = parse(
        Build,
        arguments,
        program="jaxlm data build",
        description="All stages: a corpus to a tokenizer and tokens.\n\n"
        "Example: jaxlm data build --corpus pages/ --profile web --output line --vocab-size 8192",
        default=_default(Build, cleaning=both.cleaning, deduplication=both.deduplication),
    )
    if options.part != (0, 1):
        raise InputError("--shard: build does all of the work; give it to the stages one by one")

    def work(part: tuple[int, int], **how: Any) -> Mapping[str, Any]:
        return prepare(
            options.corpus,
            options.output,
            LineConfig(options.read_settings, options.cleaning, options.deduplication),
            train_tokenizer=lambda texts: train_tokenizer(
                options.tokenizer, texts, options.vocab_size, seed=options.seed
            ),
            settings={"tokenizer": options.tokenizer, "vocabulary": options.vocab_size},
            seed=options.seed,
            heldout_fraction=options.heldout_fraction,
            keep_documents=options.keep_documents,
            **how,
        ).manifest

    status = _run(options, options.output, work)
    output = Path(options.output)
    report = write_data_report(stage_folders(output), output / "report.html")
    print(f"report: {report}")
    return status


@dataclasses.dataclass(frozen=True)
class _Both:
    """What the file of `build` may hold."""

    cleaning: CleaningConfig
    deduplication: DeduplicationConfig


def _profile(arguments: Sequence[str], default: str) -> CleaningConfig:
    return basic() if (flag_value(arguments, "--profile") or default) == "basic" else web()


def _configured(arguments: Sequence[str], default: T) -> T:
    """`default` with what the file of `--config` says."""
    path = flag_value(arguments, "--config")
    if path is None:
        return default
    config, problems = from_dict(read_yaml(path), default, where=path)
    if problems:
        raise InputError(problems)
    return config


def _default(kind: type[T], **fields: Any) -> T:
    """An instance for the parser: what has no default is still required."""
    required = {
        field.name: tyro.MISSING
        for field in dataclasses.fields(kind)  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    return kind(**(required | fields))


def _run(options: Execution, output: str, work: Callable[..., Mapping[str, Any] | None]) -> int:
    """Does the work, shows its progress, and tells what came out."""
    console = Console()
    with stage_progress(console) as progress:
        manifest = work(engine=options.start(), part=options.part, progress=progress)
    if manifest is None:
        text = f"part {options.shard} has to wait for others; give it again when they are done"
    else:
        text = _summary(manifest)
    console.print(f"{output}: {text}", highlight=False, markup=False, soft_wrap=True)
    return 0


def _summary(manifest: Mapping[str, Any]) -> str:
    if "train" in manifest:
        return "; ".join(
            f"{name} {manifest[name]['tokens']:,} tokens of {manifest[name]['documents']:,} parts"
            for name in ("train", "heldout")
        )
    found = manifest["statistics"]
    text = f"{found['documents']:,} documents, {found['bytes'] / 1e6:,.1f} MB"
    steps = found.get("steps", {"": found}).values()
    dropped = {
        rule: number for step in steps for rule, number in step.get("dropped", {}).items() if number
    }
    dropped |= {name: found[name] for name in ("empty", "skipped") if found.get(name)}
    if dropped:
        text += "; left out: " + ", ".join(f"{n:,} {rule}" for rule, n in dropped.items())
    return text + "".join(f"\n  skipped: {problem}" for problem in found.get("problems", ()))
