"""The whole data line in one call: a corpus to a tokenizer and the tokens of two splits."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxlm.data.cleaning.config import CleaningConfig
from jaxlm.data.cleaning.pipeline import clean
from jaxlm.data.collect import collect
from jaxlm.data.deduplicate import DeduplicationConfig, deduplicate
from jaxlm.data.reading import ReadSettings
from jaxlm.data.shards import TokenShards
from jaxlm.data.sources import EMBEDDED
from jaxlm.data.stages import MANIFEST, Engine, Progress, claim, in_process
from jaxlm.data.store import DocumentStore, open_store
from jaxlm.data.tokenize import SPLITS, Split, open_token_store, tokenize_store
from jaxlm.errors import DamageError, InputError
from jaxlm.files import printable, write_atomic
from jaxlm.tokenizers.base import Tokenizer, load_tokenizer, save_tokenizer

_FORMAT = 2
# Stages whose documents are needed only until they are tokenised, in their order.
_PASSING = ("collect", "clean", "deduplicate")
# A corpus of fewer documents has its split looked up instead of left to chance.
_SMALL = 100_000


@dataclasses.dataclass(frozen=True)
class LineConfig:
    """How a corpus is read, cleaned and deduplicated."""

    reading: ReadSettings = dataclasses.field(default_factory=ReadSettings)
    cleaning: CleaningConfig | None = None
    """None leaves texts as they are."""
    deduplication: DeduplicationConfig | None = None
    """None keeps duplicates."""


@dataclasses.dataclass(frozen=True)
class PreparedData:
    """A finished directory: its tokenizer, its two splits, and the manifest's numbers.

    `manifest` holds "settings", "counts" of documents, and for "train" and "heldout" the
    "documents" (parts), "characters", "bytes" and "tokens". `stages/` has what every stage did.
    """

    directory: Path
    tokenizer: Tokenizer
    train: TokenShards
    heldout: TokenShards
    manifest: dict[str, Any]


def prepare(
    corpus: Sequence[str],
    directory: str | Path,
    line: LineConfig,
    *,
    train_tokenizer: Callable[[Iterable[str]], Tokenizer],
    settings: Mapping[str, Any],
    seed: int,
    heldout_fraction: float = 0.02,
    context_length: int = 1,
    keep_documents: bool = False,
    engine: Engine = in_process,
    progress: Progress | None = None,
) -> PreparedData:
    """Writes `directory`, goes on where it was interrupted, or opens it if it is finished.

    Args:
      corpus: files, folders, globs and named data sets; () is the embedded corpus.
      directory: gets `tokenizer/`, `tokens/`, `stages/` and `manifest.json`.
      line: what becomes of the documents.
      train_tokenizer: a tokenizer from the texts of the training split.
      settings: more JSON values that tell this tokenizer from others.
      seed: of the split.
      heldout_fraction: share of the parts of documents that is held out; at least one always is.
      context_length: slots of a row; the training split must fill one.
      keep_documents: keeps what every stage wrote.
      engine: where the work is done.
      progress: is told about the stages.

    Raises:
      InputError: too little text, bad input, or a directory of other settings.
      JaxlmError: the disk cannot be written; what is finished is kept.
    """
    directory = Path(directory)
    _check_fraction(heldout_fraction)
    identity = {**settings, **dataclasses.asdict(line), "corpus": list(map(printable, corpus))}
    del identity["reading"]["options"]  # the words of messages
    identity |= {"format": _FORMAT, "seed": seed, "heldout_fraction": heldout_fraction}
    identity = json.loads(json.dumps(identity))  # tuples become lists, as in what is read back
    if (directory / MANIFEST).is_file():
        return _reopen(directory, identity, context_length)
    fresh = not directory.exists()
    claim(directory, identity)
    try:
        store = _run_line(corpus, directory, line, engine, progress)
        return _finish(
            store,
            directory,
            train_tokenizer,
            identity,
            seed=seed,
            heldout_fraction=heldout_fraction,
            context_length=context_length,
            keep_documents=keep_documents,
            engine=engine,
            progress=progress,
        )
    except InputError:
        if fresh:  # what there is would be of no use to another attempt
            shutil.rmtree(directory, ignore_errors=True)
        raise


def prepare_tokens(
    store: DocumentStore,
    directory: str | Path,
    tokenizer: Tokenizer,
    *,
    seed: int,
    heldout_fraction: float = 0.02,
    engine: Engine = in_process,
    part: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
) -> PreparedData | None:
    """Tokens of a store that is finished, by a tokenizer that there is; else as `prepare`."""
    directory = Path(directory)
    _check_fraction(heldout_fraction)
    identity = {
        "format": _FORMAT,
        "documents": [unit["blake2b"] for unit in store.units],
        "tokenizer": tokenizer.fingerprint,
        "seed": seed,
        "heldout_fraction": heldout_fraction,
    }
    if (directory / MANIFEST).is_file():
        return _reopen(directory, identity, 1)
    claim(directory, identity)
    return _finish(
        store,
        directory,
        lambda texts: tokenizer,
        identity,
        seed=seed,
        heldout_fraction=heldout_fraction,
        context_length=1,
        keep_documents=True,
        engine=engine,
        part=part,
        progress=progress,
    )


def open_prepared(directory: str | Path, *, verify: bool = False) -> PreparedData:
    """Opens what `prepare` wrote; `verify` compares checksums.

    Raises:
      InputError: there is no finished directory.
      DamageError: the manifest, the tokenizer or token files are damaged.
    """
    directory = Path(directory)
    path = directory / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{directory} is no finished prepared data (no {MANIFEST}); give the command that "
            "prepares it (again), it goes on where it stopped"
        )
    try:
        manifest = json.loads(path.read_bytes())
        if "stage" in manifest:
            raise InputError(
                f"{directory} is the stage {manifest['stage']!r} of the data line, not prepared "
                "data, which tokenize and build write; name another directory"
            )
        whole = {**manifest["settings"]} and all(manifest[n]["tokens"] for n in SPLITS)
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise DamageError(f"{path} cannot be read; delete {directory} and prepare it again")
    try:
        tokenizer = load_tokenizer(directory / "tokenizer")
        splits = {n: open_token_store(directory / "tokens", n, verify=verify) for n in SPLITS}
    except DamageError as error:  # its advice is of a stage, whose input may be gone here
        what = str(error).rpartition("; ")[0]
        raise DamageError(f"{what}; delete {directory} and prepare it again") from None
    for name, split in splits.items():
        if split.tokenizer != tokenizer.fingerprint:
            raise InputError(f"{directory}: {name} is of another tokenizer; prepare it again")
    return PreparedData(directory, tokenizer, splits["train"], splits["heldout"], manifest)


def stage_folders(directory: str | Path) -> list[Path]:
    """The folders with the manifests of all stages of prepared data, in the order of the line."""
    directory = Path(directory)
    passed = [folder for name in _PASSING if (folder := directory / "stages" / name).is_dir()]
    return [*passed, directory / "tokens"]


def _run_line(
    corpus: Sequence[str],
    directory: Path,
    line: LineConfig,
    engine: Engine,
    progress: Progress | None,
) -> DocumentStore:
    """Collects, cleans and deduplicates; returns what is left."""
    options: dict[str, Any] = {"engine": engine, "progress": progress}

    def finished(stage: str, manifest: Mapping[str, Any] | None) -> DocumentStore:
        assert manifest is not None, "there are no other parts"
        kept = directory / "stages" / stage
        kept.mkdir(parents=True, exist_ok=True)
        # For the report; the shards themselves will be gone.
        content = json.dumps({**manifest, "shards": []}, indent=1, ensure_ascii=False) + "\n"
        write_atomic(kept / MANIFEST, content)
        return open_store(directory / stage)

    collected = collect(corpus or (EMBEDDED,), directory / "collect", line.reading, **options)
    store = finished("collect", collected)
    if line.cleaning is not None:
        cleaned = clean(store, directory / "clean", line.cleaning, **options)
        store = finished("clean", cleaned)
    if line.deduplication is not None:
        unique = deduplicate(
            store.directory, directory / "deduplicate", line.deduplication, **options
        )
        store = finished("deduplicate", unique)
    return store


def _finish(
    store: DocumentStore,
    directory: Path,
    make_tokenizer: Callable[[Iterable[str]], Tokenizer],
    identity: Mapping[str, Any],
    *,
    seed: int,
    heldout_fraction: float,
    context_length: int,
    keep_documents: bool,
    engine: Engine,
    part: tuple[int, int] = (0, 1),
    progress: Progress | None,
) -> Any:
    """The tokenizer, the tokens, and the manifest last; None while other parts are missing."""
    written = store.manifest["statistics"]
    # Parts, so that the held-out split of a small corpus is no single document.
    parts = min(32_768, max(1024, written["characters"] // 64))
    split = Split(heldout_fraction, seed, parts)
    if written["documents"] < _SMALL:
        split = _enough(split, store)
    if not (directory / "tokenizer").is_dir():
        texts = _training_texts(store, split, progress)
        save_tokenizer(make_tokenizer(texts), directory / "tokenizer")
    tokens = tokenize_store(
        store.directory,
        directory / "tokens",
        directory / "tokenizer",
        split,
        engine=engine,
        part=part,
        progress=progress,
    )
    if tokens is None:
        return None
    statistics = tokens["statistics"]
    _check_context(statistics["train"]["tokens"], context_length)
    counts = _counts(directory)
    manifest = {"settings": identity, "counts": counts, **{n: statistics[n] for n in SPLITS}}
    write_atomic(directory / MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
    if not keep_documents:
        _remove_documents(directory)
    return open_prepared(directory)


def _counts(directory: Path) -> dict[str, int]:
    """What became of the documents, from the statistics of the stages that took place."""
    found = {
        folder.name: json.loads((folder / MANIFEST).read_bytes())["statistics"]
        for folder in stage_folders(directory)[:-1]
    }
    counts = {}
    if collected := found.get("collect"):
        counts = {name: collected[name] for name in ("files", "read", "empty", "skipped")}
    if cleaned := found.get("clean"):
        counts["cleaned_away"] = cleaned["documents_in"] - cleaned["documents"]
    if unique := found.get("deduplicate"):
        counts["duplicates"] = unique["documents_in"] - unique["documents"]
    if found:
        counts["kept"] = list(found.values())[-1]["documents"]
    return counts


def _enough(split: Split, store: DocumentStore) -> Split:
    """The split, changed so that at least one part is held out even of a small corpus.

    Raises:
      InputError: the corpus is too small for both splits.
    """
    ranks = [rank for document in store.documents() for rank, _ in split.ranks(document)]
    if len(ranks) < 2:
        characters = store.manifest["statistics"]["characters"]
        raise InputError(
            f"the corpus is too small for a held-out document: {characters} characters in one "
            "part; give more text with --corpus"
        )
    threshold = max(split.heldout_fraction, min(ranks))
    if max(ranks) <= threshold:
        raise InputError(
            f"a held-out fraction of {split.heldout_fraction} leaves no training text of "
            f"{len(ranks)} parts; give more text with --corpus or hold out less"
        )
    return dataclasses.replace(split, heldout_fraction=threshold)


def _training_texts(store: DocumentStore, split: Split, progress: Progress | None) -> Iterator[str]:
    total = store.manifest["statistics"]["documents"]
    for number, document in enumerate(store.documents(), 1):
        yield from (text for name, text in split.parts(document) if name == "train")
        if progress is not None and (number % 256 == 0 or number == total):
            progress("read for the tokenizer", number, total)


def _reopen(directory: Path, identity: Mapping[str, Any], context_length: int) -> PreparedData:
    prepared = open_prepared(directory, verify=True)
    found = prepared.manifest["settings"]
    different = [
        f"{name} is {found.get(name)!r} there and {identity.get(name)!r} here"
        for name in sorted(found.keys() | identity.keys())
        if found.get(name) != identity.get(name)
    ]
    if different:
        raise InputError(
            f"{directory} was prepared with other settings ({'; '.join(different)}); choose "
            "another directory, or delete it"
        )
    _check_context(len(prepared.train.tokens), context_length)
    return prepared


def _remove_documents(directory: Path) -> None:
    for name in _PASSING:
        shutil.rmtree(directory / name, ignore_errors=True)


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise InputError(f"held-out fraction {fraction}: a number between 0 and 1 is needed")


def _check_context(tokens: int, context_length: int) -> None:
    if tokens <= context_length:
        raise InputError(
            f"the training text has {tokens:,} tokens, fewer than one row of {context_length:,} "
            "and its targets: give more text with --corpus or a smaller --model.context-length"
        )
