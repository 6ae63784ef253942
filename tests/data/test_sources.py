"""Every format is read as it was written, and every bad input names itself and the way out."""

import codecs
import gzip
import inspect
import json
import os
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from jaxlm.data import plain_text
from jaxlm.data.corpus import embedded_documents
from jaxlm.data.deduplication import without_duplicates
from jaxlm.data.documents import Document
from jaxlm.data.sources import DocumentCounts, OptionNames, read_documents
from jaxlm.errors import InputError

FLAGS = OptionNames("--corpus", "--data.text-field", "--data.encoding", "with --data.on-error skip")
TEXT = "First line, naïve.\n\n  Second \u2028 東京\r\n"
LINES = "".join(json.dumps({"text": f"{TEXT}{i}", "id": i}) + "\n" for i in range(3)).encode()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def zstd(data):
    return zstandard.ZstdCompressor().compress(data)


def texts(corpus, **options):
    corpus = [corpus] if isinstance(corpus, str) else corpus
    return [document.text for document in read_documents(corpus, options=FLAGS, **options)]


def parquet(path, columns, **options):
    pq.write_table(pa.table(columns), path, **options)
    return str(path)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", [".txt", ".md", ".jsonl"])
def test_formats(tmp_path, kind, suffix):
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstd}[suffix]
    path = write(tmp_path / f"a{kind}{suffix}", pack(LINES if kind == ".jsonl" else TEXT.encode()))
    expected = [f"{TEXT}{i}" for i in range(3)] if kind == ".jsonl" else [TEXT]
    assert texts(path) == expected


def test_parquet_row_groups(tmp_path):
    rows = [f"row {i} é" for i in range(1000)]
    path = parquet(tmp_path / "a.parquet", {"n": range(1000), "content": rows}, row_group_size=100)
    assert texts(path, text_field="content") == rows
    column = pa.array(["a", "b", "a", None]).dictionary_encode()
    assert texts(parquet(tmp_path / "b.parquet", {"text": column})) == ["a", "b", "a"]


def test_several_zstd_frames(tmp_path):
    path = write(tmp_path / "a.jsonl.zst", zstd(LINES[:40]) + zstd(b"") + zstd(LINES[40:]))
    assert len(texts(path)) == 3


def test_folders_globs_links(tmp_path):
    write(tmp_path / "c/b.txt", "b")
    write(tmp_path / "c/a/z.md", "z")
    write(tmp_path / "c/a.jsonl", '{"text": "j"}\n\n')
    write(tmp_path / "c/picture.png", b"\0")
    write(tmp_path / "c/.git/config.txt", "no")
    write(tmp_path / "c/.hidden.txt", "no")
    (tmp_path / "c/link.txt").symlink_to(tmp_path / "c/b.txt")
    (tmp_path / "c/a/loop").symlink_to(tmp_path / "c")
    counts = DocumentCounts()
    corpus = [f"{tmp_path}/c", f"{tmp_path}/c/*.txt"]
    documents = list(read_documents(corpus, counts=counts))
    assert [(d.text, d.source, d.identifier) for d in documents] == [
        ("j", "c/a.jsonl", "1"),
        ("b", "c/b.txt", ""),
        ("z", "c/a/z.md", ""),
    ]
    assert (counts.files, counts.ignored_files, counts.repeated_files) == (3, 2, 3)
    assert texts(f"{tmp_path}/**/*.md") == ["z"]


def test_byte_order_mark_and_encodings(tmp_path):
    assert texts(write(tmp_path / "a.txt", codecs.BOM_UTF8 + b"x")) == ["x"]
    assert texts(write(tmp_path / "a.jsonl", codecs.BOM_UTF8 + b'{"text": "x"}')) == ["x"]
    assert texts(write(tmp_path / "b.txt", "né".encode("latin-1")), encoding="latin-1") == ["né"]
    assert texts(write(tmp_path / "c.txt", "né".encode("utf-16")), encoding="utf-16") == ["né"]


def test_large_text_files_are_several_documents(tmp_path, monkeypatch):
    text = "".join(f"paragraph {i} é東\nmore\n\n" for i in range(40))
    path = write(tmp_path / "a.txt", text)
    for block in (64, 200, len(text.encode())):
        monkeypatch.setattr(plain_text, "_BLOCK", block)
        parts = texts(path)
        assert "".join(parts) == text
        assert all(part.endswith("\n\n") for part in parts)
        assert (len(parts) > 1) == (block < len(text.encode()))


def test_empty_documents_are_counted(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": " \\n"}\n{"text": ""}\n{"text": "x"}\n')
    counts = DocumentCounts()
    assert texts(path, counts=counts) == ["x"]
    assert (counts.read, counts.empty) == (3, 2)


BAD_FILES = {
    "binary": ("a.txt", b"PK\0\1", r"a\.txt: binary"),
    "binary that is no UTF-8": ("a.txt", b"\xff\xd8\0\0", r"a\.txt: binary"),
    "encoding": (
        "a.txt",
        b"abc\xe9def",
        r"not utf-8 at byte 3; .*--data\.encoding.*with --data\.on-error skip",
    ),
    "cut character": ("a.txt", "abcé".encode()[:-1], r"not utf-8 at byte 3"),
    "encoding of a line": ("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}', "line 2: .*at byte 24"),
    "truncated gzip": (
        "a.txt.gz",
        gzip.compress(TEXT.encode(), mtime=0)[:-9],
        "truncated or damaged",
    ),
    "no gzip": ("a.jsonl.gz", b"hello", "truncated or damaged"),
    "truncated zstd": ("a.txt.zst", zstd(os.urandom(99).hex().encode() * 9)[:-3], "truncated"),
    "second frame": ("a.jsonl.zst", zstd(LINES) + zstd(LINES)[:20], "truncated or damaged"),
    "no zstd": ("a.txt.zst", b"hello", "truncated or damaged"),
    "JSON": ("a.jsonl", b'{"text": "a"}\n{"text": \n', r"line 2 \(byte 14\): invalid JSON"),
    "deep JSON": ("a.jsonl", b"[" * 100_000, "line 1 .*invalid JSON"),
    "no field": (
        "a.jsonl",
        b'{"body": 1, "id": 2}',
        r"'text', it has body, id; .*--data\.text-field",
    ),
    "surrogate in a name": ("a.jsonl", b'{"\\ud800": 1}', "no field 'text'"),
    "deep metadata": (
        "a.jsonl",
        b'{"text": "a", "id": "", "source": "", "metadata": {"x": %s}}' % (b"[" * 65 + b"]" * 65),
        "line 1: metadata of more than 64 levels",
    ),
    "no record": ("a.jsonl", b"[1]", "no fields at all"),
    "no text": ("a.jsonl", b'{"text": 5}', "is no text but int"),
    "lone surrogate": ("a.jsonl", b'{"text": "\\ud800"}', r"line 1: .*surrogate U\+D800"),
    "NUL in a line": ("a.jsonl", b'{"text": "a"}\n\0\0\n', "line 2: binary"),
    "no parquet": ("a.parquet", b"PAR1", "damaged or no Parquet"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_stop_or_are_skipped(tmp_path, name):
    file, content, match = BAD_FILES[name]
    path = write(tmp_path / file, content)
    with pytest.raises(InputError, match=match) as error:
        texts(path)
    assert path in str(error.value)
    assert "--data." in str(error.value)
    good = write(tmp_path / "good.txt", "good")
    counts = DocumentCounts()
    assert texts([path, good], on_error="skip", counts=counts)[-1] == "good"
    assert counts.skipped >= 1


def test_bad_parquet_columns(tmp_path):
    path = parquet(tmp_path / "a.parquet", {"body": ["x"], "n": [1]})
    with pytest.raises(
        InputError, match=r"no column 'text', it has body, n; .* with --data.text-field"
    ):
        texts(path)
    with pytest.raises(InputError, match="column 'n' is no text but int64"):
        texts(path, text_field="n")


def test_all_bad_arguments_are_reported_at_once(tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "picture.png", b"x")
    bad = {
        f"{tmp_path}/missing.txt": "no such file, folder or glob",
        f"{tmp_path}/*.rtf": "no such file, folder or glob",
        f"{tmp_path}/empty": r"no file to read in this folder.*\.txt, .*\.parquet",
        f"{tmp_path}/picture.png": r"the extension \.png is not read, only \.txt",
        "tfds:not a name": "is no name of a data set",
    }
    with pytest.raises(InputError) as error:
        read_documents(list(bad))  # before anything is read
    assert len(error.value.problems) == len(bad)
    for (path, match), problem in zip(bad.items(), error.value.problems, strict=True):
        assert path in problem
        with pytest.raises(InputError, match=match):
            read_documents([path])
    with pytest.raises(InputError, match="the corpus is empty"):
        read_documents([])
    with pytest.raises(InputError, match=r"encoding .utf-9. is no encoding"):
        read_documents([f"{tmp_path}/picture.png"], encoding="utf-9")


def test_nothing_but_white_space(tmp_path):
    with pytest.raises(InputError, match=r"no text in .* 1 files, 1 documents"):
        texts(write(tmp_path / "a.txt", " \n"))
    with pytest.raises(InputError, match="no text in"):
        texts(write(tmp_path / "b.jsonl", ""))


@pytest.fixture(scope="module")
def haiku(tmp_path_factory):
    # Its builder is registered by importing it, and must not be needed afterwards.
    import builders

    directory = tmp_path_factory.mktemp("tfds")
    for folder, file_format in (("a", "array_record"), ("p", "parquet")):
        builders.HaikuCollection(
            data_dir=directory / folder, file_format=file_format
        ).download_and_prepare()
    return directory


@pytest.mark.filterwarnings("ignore")
def test_named_data_sets(haiku):
    for folder in ("a", "p"):
        for name, count in (
            ("haiku_collection", 4),
            ("tfds:haiku_collection:1.2.0[test]", 2),
        ):
            documents = list(read_documents([name], tfds_data_dir=haiku / folder))
            assert len(documents) == count
            assert all(d.text.endswith("古池や") for d in documents)
            assert documents[0].source.startswith("tfds:haiku_collection")
    assert "tensorflow" not in sys.modules
    half = list(read_documents(["haiku_collection[train[:50%]]"], tfds_data_dir=haiku / "a"))
    assert len(half) == 2
    with pytest.raises(InputError, match="slices of parquet"):
        list(read_documents(["haiku_collection[train[:50%]]"], tfds_data_dir=haiku / "p"))
    by_author = read_documents(["haiku_collection"], text_field="author", tfds_data_dir=haiku / "a")
    assert next(by_author).text == "Bashō"


@pytest.mark.filterwarnings("ignore")
def test_bad_named_data_sets(haiku, tmp_path):
    def read(name, **options):
        return list(read_documents([name], tfds_data_dir=haiku / "a", **options))

    with pytest.raises(InputError, match="neither a file, folder or glob, nor a data set"):
        read("haikus")
    with pytest.raises(
        InputError, match=r"no field 'body'; it has (author, text|text, author): .*text_field"
    ):
        read("haiku_collection", text_field="body")
    with pytest.raises(InputError, match=r"no split 'dev'; it has (test, train|train, test)"):
        read("haiku_collection[dev]")
    info = next((haiku / "a").rglob("dataset_info.json"))
    copied = tmp_path / "haiku_collection" / "1.2.0"
    write(copied / "features.json", (info.parent / "features.json").read_bytes())
    write(copied / "dataset_info.json", info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(InputError, match="stored as tfrecord, which only TensorFlow reads"):
        list(read_documents(["haiku_collection"], tfds_data_dir=tmp_path))


def test_duplicates():
    given = ["a b", "c", " a\n b ", "c", "ab"]
    counts = DocumentCounts()
    documents = [Document(text, "s", str(i)) for i, text in enumerate(given)]
    kept = list(without_duplicates(documents, counts))
    assert [d.identifier for d in kept] == ["0", "1", "4"]
    assert (counts.duplicates, counts.kept) == (2, 3)


def test_embedded_corpus():
    imported = set(sys.modules)
    documents = list(embedded_documents())
    assert not {m for m in set(sys.modules) - imported if m.startswith("pydoc_data")}
    assert documents == list(embedded_documents())
    size = sum(len(d.text) for d in documents)
    assert 1_800_000 < size < 4_000_000
    assert 6_000 < len(documents) < 12_000
    by_name = {d.identifier: d for d in documents}
    dumps = by_name["json.dumps"]
    assert dumps.source == "stdlib"
    assert dumps.text.startswith("json.dumps(obj, *, skipkeys=False")
    # The interpreter's own view of the same docstring.
    assert dumps.text.partition("\n\n")[2] == inspect.getdoc(json.dumps).strip() + "\n"
    decoder = by_name["json.decoder.JSONDecoder"]
    assert decoder.text.startswith("class json.decoder.JSONDecoder(object)\n\nSimple JSON")
    assert "json" in by_name
    topics = [d for d in documents if d.source == "python-docs"]
    assert len(topics) > 70
    assert "lambda" in {d.identifier for d in topics}
    left_out = ("test.", "site-packages", "dist-packages")
    assert not [n for n in by_name if n.startswith(left_out)]


def test_embedded_corpus_without_sources(tmp_path):
    with pytest.raises(InputError, match=r"zipped or stripped.*--corpus"):
        embedded_documents(tmp_path)
