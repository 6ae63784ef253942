"""Prepared tensorflow-datasets, read without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from jaxlm.errors import InputError


def read_named(
    entry: str, name: str, split: str, text_field: str, data_dir: str | Path | None
) -> Callable[[Callable[[str], None]], Iterator[tuple[str, str, str]]]:
    """Opens the data set `name`; the result yields (text, source, identifier) of each record.

    Nothing is downloaded. Stored as ArrayRecord or Parquet a data set is read at random without
    TensorFlow; as TFRecord, the library's default, it is not.

    Raises:
      InputError: there is no such prepared data set, split or field, or it needs TensorFlow.
    """
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
            f"--corpus, or prepare it: {prepare}"
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
            "set --data.text-field"
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

    def reading(problem: Callable[[str], None]) -> Iterator[tuple[str, str, str]]:
        for index in range(len(records)):
            value = records[index][text_field]
            try:
                text = value.decode() if isinstance(value, bytes) else value
            except UnicodeDecodeError as error:
                problem(
                    f"{entry}: record {index} is not UTF-8 at byte {error.start}; use "
                    "--data.on-error skip"
                )
                continue
            if isinstance(text, str):
                yield text, f"tfds:{name}[{split}]", str(index)
            else:
                problem(
                    f"{entry}: field {text_field!r} of record {index} is no text but "
                    f"{type(value).__name__}; set --data.text-field"
                )

    return reading
