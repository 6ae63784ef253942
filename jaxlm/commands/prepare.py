"""The data of a run: its corpus through the data line, or what has been prepared before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from rich.console import Console

from jaxlm.commands.execution import available_cores, stage_progress
from jaxlm.data.cleaning.config import basic, web
from jaxlm.data.deduplicate import DeduplicationConfig
from jaxlm.data.near_duplicates import NearConfig
from jaxlm.data.prepare import LineConfig, PreparedData, open_prepared, prepare, stage_folders
from jaxlm.data.reading import OptionNames, ReadSettings
from jaxlm.data.shards import TokenShards
from jaxlm.data.stages import processes
from jaxlm.errors import InputError
from jaxlm.evaluation.data_report import write_data_report
from jaxlm.tokenizers.base import Tokenizer
from jaxlm.tokenizers.train import SIZED, train_tokenizer
from jaxlm.training.config import DataConfig, RunConfig
from jaxlm.training.config_file import to_dict
from jaxlm.training.run_directory import RunDirectory

_CLEANING = {"none": None, "basic": basic(), "web": web()}
# Fields that say how prepared tokens are used, not how they are made.
_LATER = ("heldout_fraction", "prepared", "weights", "packing")


@dataclasses.dataclass(frozen=True)
class RunData:
    """What a run trains on: one or several sources of one tokenizer."""

    tokenizer: Tokenizer
    train: Sequence[TokenShards]
    heldout: Sequence[TokenShards]
    weights: Sequence[float]


def open_data(config: RunConfig, directory: RunDirectory, console: Console) -> RunData:
    """The data of a run: prepared now, found finished, or that of `--data.prepared`.

    Raises:
      InputError: bad input; prepared folders of different tokenizers.
      DamageError: prepared data differ from what was written.
    """
    if not config.data.prepared:
        sources = [_prepare(config, directory, console)]
    else:
        sources = [open_prepared(path, verify=True) for path in config.data.prepared]
        for path, source in zip(config.data.prepared, sources, strict=True):
            if source.tokenizer.fingerprint != sources[0].tokenizer.fingerprint:
                raise InputError(
                    f"--data.prepared {path}: its tokenizer is not that of "
                    f"{config.data.prepared[0]}; tokenize both with the same one"
                )
            _tell(source, console, name=path)
    return RunData(
        sources[0].tokenizer,
        [source.train for source in sources],
        [source.heldout for source in sources],
        config.data.weights or [len(source.train.tokens) for source in sources],
    )


def _prepare(config: RunConfig, directory: RunDirectory, console: Console) -> PreparedData:
    data = config.data
    line = LineConfig(
        ReadSettings(
            text_field=data.text_field,
            encoding=data.encoding,
            on_error=data.on_error,
            options=OptionNames(
                "--corpus", "--data.text-field", "--data.encoding", "with --data.on-error skip"
            ),
        ),
        _CLEANING[data.cleaning],
        _deduplication(data),
    )
    sized = data.tokenizer in SIZED
    with stage_progress(console) as progress:
        prepared = prepare(
            config.corpus,
            directory.data,
            line,
            train_tokenizer=lambda texts: train_tokenizer(
                data.tokenizer, texts, config.model.vocab_size, seed=config.seed
            ),
            settings={
                "vocabulary": config.model.vocab_size if sized else None,
                **{k: v for k, v in to_dict(data).items() if k not in _LATER},
            },
            seed=config.seed,
            heldout_fraction=data.heldout_fraction,
            context_length=config.model.context_length,
            engine=processes(available_cores()),
            progress=progress,
        )
    _tell(prepared, console)
    if not (directory.data / "report.html").exists():
        write_data_report(stage_folders(directory.data), directory.data / "report.html")
    return prepared


def _deduplication(data: DataConfig) -> DeduplicationConfig | None:
    if data.duplicates == "keep":
        return None
    return DeduplicationConfig(near=NearConfig(enabled=data.duplicates == "near"))


def _tell(prepared: PreparedData, console: Console, name: str = "corpus") -> None:
    train, heldout, read = (prepared.manifest[n] for n in ("train", "heldout", "counts"))
    left_out = {
        "duplicates": "duplicates",
        "cleaned_away": "by cleaning",
        "empty": "empty",
        "skipped": "unreadable",
    }
    counts = ", ".join(f"{read[key]:,} {text}" for key, text in left_out.items() if key in read)
    documents = f"{read['kept']:,} documents ({counts} left out); " if read else ""
    console.print(
        f"{name}: {documents}training {train['tokens']:,} tokens, held out "
        f"{heldout['tokens']:,} tokens in {heldout['documents']:,} parts; "
        f"{train['bytes'] / train['tokens']:.2f} bytes per token",
        highlight=False,
        soft_wrap=True,
    )
