"""Prepared tensorflow-datasets, read without TensorFlow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxlm.data.documents import Document
from jaxlm.data.reading import Reading, ReadSettings, SourceFile
from jaxlm.data.records import record_document
from jaxlm.errors import InputError

# name, name/config, name:version, with a split in brackets; `tfds:` before it forces this reading.
_NAMED = re.compile(r"(?P<name>[A-Za-z]\w*(/[\w.\-]+)?(:[\w.*]+)?)(\[(?P<split>.+)\])?")


def open_named(entry: str, settings: ReadSettings) -> Callable[[Reading], Iterator[Document]]:
    """Opens the data set that `entry` names; the result reads its records.

    Nothing is downloaded. Stored as ArrayRecord or Parquet a data set is read at random without
    TensorFlow; as TFRecord, the library's default, it is not.

    Args:
      entry: such as `name/config:version[train]`; `tfds:` before it says that it is no path.
      settings: with the field of the text and the folder of prepared data sets.

    Raises:
      InputError: there is no such prepared data set, split or field, or it needs TensorFlow.
    """
    match = _NAMED.fullmatch(entry.removeprefix("tfds:"))
    options = settings.options
    if match is None:
        reason = "is no name of a data set" if entry.startswith("tfds:") else "no such file"
        raise InputError(f"{entry}: {reason}, folder or glob; check {options.corpus}")
    name, split = match["name"], match["split"] or "train"
    text_field, data_dir = settings.text_field, settings.tfds_data_dir
    set_field = f"name the field of the text with {options.text_field}"
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import read_only_builder

    where = {} if data_dir is None else {"data_dir": str(data_dir)}
    prepare = (
        'python -c "import tensorflow_datasets as tfds; '
        f"tfds.builder('{name}', file_format='array_record').download_and_prepare()\""
    )
    try:
        builder = read_only_builder.builder_from_files(name, **where)
    except tfds.core.DatasetNotFoundError:
        raise InputError(
            f"{entry}: neither a file, folder or glob, nor a data set that tensorflow-datasets "
            f"has prepared under {data_dir or 'TFDS_DATA_DIR or ~/tensorflow_datasets'}; check "
            f"{options.corpus}, or prepare it: {prepare}"
        ) from None
    file_format = builder.info.file_format
    if file_format is None or file_format.value not in ("array_record", "parquet"):
        raise InputError(
            f"{entry}: stored as {getattr(file_format, 'value', 'an unknown format')}, which only "
            f"TensorFlow reads; prepare it as array_record: {prepare}"
        )
    if text_field not in builder.info.features:
        raise InputError(
            f"{entry}: no field {text_field!r}; it has {', '.join(builder.info.features)}: "
            f"{set_field}"
        )
    try:
        records = builder.as_data_source(split=split)
    except (ValueError, KeyError):
        raise InputError(
            f"{entry}: no split {split!r}; it has {', '.join(builder.info.splits)}: write "
            f"{name}[SPLIT]"
        ) from None
    if len(records) != builder.info.splits[split].num_examples:
        raise InputError(
            f"{entry}: tensorflow-datasets does not read slices of {file_format.value}; name a "
            f"whole split ({', '.join(builder.info.splits)}), or prepare it as array_record: "
            f"{prepare}"
        )

    source = SourceFile(Path(name), f"tfds:{name}[{split}]")

    def read(reading: Reading) -> Iterator[Document]:
        for index in range(len(records)):
            where = f"{entry}, record {index}"
            try:
                record = {key: _plain(value) for key, value in records[index].items()}
            except UnicodeDecodeError as error:
                reading.problem(f"{where}: not UTF-8 at byte {error.start}", "prepare it again")
                continue
            if isinstance(record[text_field], str):
                yield record_document(record, text_field, source, index)
            else:
                kind = type(record[text_field]).__name__
                reading.problem(f"{where}: field {text_field!r} is no text but {kind}", set_field)

    return read


def _plain(value: Any) -> Any:
    """A feature as a JSON value, or as it is."""
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
