"""Units of collection, and records, limits and damage that all readers share."""

import bz2
import functools
import gzip
import json
import os
import pickle
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxlm.data import plain_text
from jaxlm.data.collect import collect, collect_unit, collection_units
from jaxlm.data.documents import Document, to_line
from jaxlm.data.reading import DocumentCounts, Reading, ReadSettings
from jaxlm.data.sources import find_inputs, read_documents, read_inputs
from jaxlm.data.stages import merge, processes
from jaxlm.data.store import open_store, read_shard
from jaxlm.errors import InputError

SKIP = ReadSettings(on_error="skip")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def read(corpus, settings=SKIP):
    counts = DocumentCounts()
    reading = Reading(settings, counts)
    corpus = [corpus] if isinstance(corpus, str) else corpus
    return list(read_inputs(find_inputs(corpus, reading), reading)), counts


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "c"
    for number in range(10):
        write(folder / f"{number}.txt", f"text {number} " * 100)
    write(folder / "big.jsonl", "".join(json.dumps({"text": "x" * 500}) + "\n" for _ in range(9)))
    write(folder / "bad.jsonl", '{"text": 1}\n{"text": "good"}\n{"text": " "}\n')
    write(folder / "ignored.png", b"\0")
    (folder / "link.txt").symlink_to(folder / "0.txt")
    return str(folder)


def test_units_hold_every_file_once_and_are_reproducible(corpus):
    units = collection_units([corpus, "embedded"], target_bytes=2000)
    assert units == json.loads(
        json.dumps(collection_units([corpus, "embedded"], target_bytes=2000))
    )
    assert units[-1] == {"inputs": [{"embedded": True}]}
    files = [one["path"] for unit in units[:-1] for one in unit["inputs"]]
    assert len(files) == len(set(files)) == 12
    assert files == sorted(files)
    sizes = [[one["size"] for one in unit["inputs"]] for unit in units[:-1]]
    # A unit is closed by the file that fills it.
    assert all(sum(unit) >= 2000 > sum(unit[:-1]) for unit in sizes[:-1])
    assert units[0]["found"] == {"ignored_files": 1, "repeated_files": 1}
    assert len(collection_units([corpus])) == 1
    first, second = collection_units(["embedded", corpus])
    assert first["inputs"] == [{"embedded": True}]
    assert len(second["inputs"]) == 12


def test_units_give_what_reading_gives(corpus, tmp_path):
    expected, counts = read(corpus)
    documents, statistics = [], []
    for number, unit in enumerate(collection_units([corpus], target_bytes=2000, settings=SKIP)):
        directory = tmp_path / str(number)
        directory.mkdir()
        statistics.append(collect_unit(unit, directory, settings=SKIP))
        documents += read_shard(directory / "documents.jsonl.zst")
    assert documents == expected
    total = json.loads(json.dumps(merge(statistics)))
    assert total["sources"] == {
        "c": {"documents": 20, "characters": sum(len(d.text) for d in expected)}
    }
    assert total["documents"] == total["kept"] == 20
    assert (total["files"], total["ignored_files"], total["repeated_files"]) == (12, 1, 1)
    assert (total["read"], total["empty"], total["skipped"]) == (21, 1, 1)
    assert total["problems"] == counts.problems
    assert "bad.jsonl, line 1: field 'text' is no text but int" in total["problems"][0]


def test_the_stage_gives_the_same_bytes_on_any_engine(corpus, tmp_path):
    here = collect([corpus], tmp_path / "a", SKIP, target_bytes=4000)
    there = collect([corpus], tmp_path / "b", SKIP, target_bytes=4000, engine=processes(2))
    assert here == there
    assert len(here["shards"]) > 1
    documents = list(open_store(tmp_path / "a").documents())
    assert documents == read(corpus)[0]
    # A store is a corpus again, and its documents stay what they are.
    again, counts = read(f"{tmp_path}/a")
    assert (again, counts.skipped) == (documents, 0)
    with pytest.raises(InputError, match=r"bad\.jsonl, line 1"):
        collect([corpus], tmp_path / "d", ReadSettings(), target_bytes=4000)
    work = functools.partial(collect_unit, settings=SKIP)
    assert pickle.loads(pickle.dumps(work)).keywords == work.keywords


def test_no_text_at_all_is_no_store(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": 1}\n{"text": " "}\n')
    with pytest.raises(InputError, match=r"no text in .* 1 documents, all of them empty, 1 skip"):
        collect([path], tmp_path / "s", SKIP)
    with pytest.raises(InputError, match="no finished stage"):
        open_store(tmp_path / "s")


def test_dolma_layout(tmp_path):
    given = Document("naïve\n", "web/x", "id-1", {"url": "u", "deep": {"a": [1, None]}, "n": 1.5})
    extra = {"id": "2", "source": "s", "text": "t", "added": "2024", "metadata": {"a": 1}}
    path = write(tmp_path / "a.json.gz", gzip.compress(to_line(given) + json.dumps(extra).encode()))
    documents, _ = read(path)
    assert documents == [given, Document("t", "s", "2", {"a": 1, "added": "2024"})]


def test_other_fields_are_metadata(tmp_path):
    record = {"text": "t", "id": 7, "label": "x", "nested": [1], "no": None, "yes": True}
    path = write(tmp_path / "a.ndjson", json.dumps(record))
    (document,) = read(path)[0]
    assert (document.source, document.identifier) == ("a.ndjson", "1")
    assert dict(document.metadata) == {"id": 7, "label": "x", "yes": True}
    # What could not be written again: half of a pair, and infinity.
    path = write(tmp_path / "b.jsonl", '{"text": "t", "a": "\\ud800x", "b": Infinity}')
    (document,) = read(path)[0]
    assert dict(document.metadata) == {"a": "?x", "b": None}
    to_line(document)


def test_parquet_columns(tmp_path):
    table = pa.table({
        "text": ["a", "b"], "n": [1, 2], "when": pa.array([0, 1], pa.timestamp("s")),
        "list": [[1], [2]], "raw": [b"\xff", b""], "f": [0.5, float("nan")],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    documents, _ = read(f"{tmp_path}/a.parquet")
    assert [d.identifier for d in documents] == ["0", "1"]
    assert dict(documents[0].metadata) == {"n": 1, "when": "1970-01-01T00:00:00", "f": 0.5}
    for document in documents:
        assert "NaN" not in to_line(document).decode()


def test_damaged_parquet(tmp_path):
    rows = [f"row {i} with some words é" * 5 for i in range(500)]
    path = tmp_path / "a.parquet"
    options = {"compression": "none", "use_dictionary": False, "row_group_size": 100}
    pq.write_table(pa.table({"text": rows}), path, write_page_checksum=True, **options)
    whole = path.read_bytes()
    for position in range(len(whole) // 20, len(whole) - 4, len(whole) // 10):
        data = bytearray(whole)
        data[position] ^= 4
        path.write_bytes(data)
        documents, counts = read([str(path)], SKIP)
        assert counts.skipped == 1
        assert [d.text for d in documents] == rows[: len(documents)]
    for end in (3, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert read(str(path))[1].skipped == 1
        with pytest.raises(InputError, match=r"a\.parquet: damaged or no Parquet file"):
            read(str(path), ReadSettings())
    # Without checksums, a byte that makes a text invalid costs its row.
    pq.write_table(pa.table({"text": rows}), path, **options)
    data = bytearray(path.read_bytes())
    data[data.index(b"row 7 ")] = 0xFF
    path.write_bytes(data)
    documents, counts = read(str(path))
    assert [d.text for d in documents] == rows[:7] + rows[8:]
    assert "a.parquet, row 7: damaged text" in counts.problems[0]


def test_long_lines_are_bounded(tmp_path, monkeypatch):
    good = json.dumps({"text": "good"})
    path = write(tmp_path / "a.jsonl", f'{good}\n{{"text": "{"x" * 3_000_000}"}}\n{good}\n')
    settings = ReadSettings(on_error="skip", max_bytes=10_000)
    tracemalloc.start()
    documents, counts = read(path, settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(d.text, d.identifier) for d in documents] == [("good", "1"), ("good", "3")]
    assert counts.problems == [f"{path}, line 2: longer than 10,000 bytes"]
    assert peak < 2_500_000  # less than the line
    with pytest.raises(InputError, match="line 2: longer than 10,000 bytes; divide it"):
        read(path, ReadSettings(max_bytes=10_000))
    exact = write(tmp_path / "b.jsonl", good)
    assert len(read(exact, ReadSettings(max_bytes=len(good)))[0]) == 1

    monkeypatch.setattr(plain_text, "_BLOCK", 10_000)
    for text in ("é" * 60_000, "word " * 20_000):
        documents, _ = read(write(tmp_path / "a.txt", text))
        assert "".join(d.text for d in documents) == text
        assert max(len(d.text) for d in documents) <= 20_000
        assert len({d.identifier for d in documents}) == len(documents) > 4
        assert "w" not in text or all(d.text.endswith("word ") for d in documents)


def test_mixed_encodings(tmp_path):
    mixed = "Größe und 東京 ☃ ".encode() * 3 + b"caf\xe9\n"
    path = write(tmp_path / "a.txt", mixed)
    with pytest.raises(InputError, match=r"not utf-8 at byte 72; name its encoding, or auto, "):
        read(path, ReadSettings())
    automatic = ReadSettings(encoding="auto")
    documents, counts = read(path, automatic)
    assert documents[0].text == "Größe und 東京 ☃ " * 3 + "café\n"
    assert documents[0].metadata["encoding"] == "utf-8 with stray bytes"
    assert counts.encodings == {"utf-8 with stray bytes": 1}
    lines = '{"text": "é"}\n'.encode() + '{"text": "déjà vu à Noël, été"}\n'.encode("latin-1")
    documents, counts = read(write(tmp_path / "a.jsonl", lines), automatic)
    assert [d.text for d in documents] == ["é", "déjà vu à Noël, été"]
    assert "encoding" not in documents[0].metadata
    assert documents[1].metadata["encoding"] == "cp1252"


def test_source_code(tmp_path):
    write(tmp_path / "c/a.PY", "print(1)\n")
    write(tmp_path / "c/b.tar.c.bz2", bz2.compress(b"int x;\n"))
    write(tmp_path / "c/py", "no extension")
    documents, counts = read(f"{tmp_path}/c")
    assert [(d.text, dict(d.metadata)) for d in documents] == [
        ("print(1)\n", {"format": "code", "programming_language": "python"}),
        ("int x;\n", {"format": "code", "programming_language": "c"}),
    ]
    assert counts.ignored_files == 1


def test_truncated_bz2(tmp_path):
    data = bz2.compress(os.urandom(9999).hex().encode())
    for name, content in (("a", data[:-20]), ("b", b"BZh9" + b"x" * 99), ("c", data[:3])):
        path = write(tmp_path / f"{name}.txt.bz2", content)
        with pytest.raises(InputError, match=r"\.bz2: truncated or damaged compressed file"):
            read(path, ReadSettings())


def test_odd_files(tmp_path):
    folder = tmp_path / "c"
    write(folder / "dir.txt/inner.txt", "inner")
    write(folder / "empty.txt", "")
    write(folder / "empty.jsonl", "")
    os.mkfifo(folder / "pipe.txt")
    (folder / "dangling.txt").symlink_to(folder / "nothing")
    (folder / "self.txt").symlink_to(folder / "self.txt")
    (folder / "dir.txt/up").symlink_to(folder)
    documents, counts = read(str(folder))
    assert [d.text for d in documents] == ["inner"]
    assert (counts.ignored_files, counts.empty, counts.skipped) == (1, 1, 2)
    assert "dangling.txt: cannot be read (No such file" in counts.problems[0]
    assert [d.text for d in read(f"{folder}/*.txt/*.txt")[0]] == ["inner"]
    with pytest.raises(InputError, match=r"pipe\.txt: no regular file"):
        read(str(folder / "pipe.txt"))
    with pytest.raises(InputError, match=r"dangling\.txt: cannot be read .*; check it and its"):
        read(str(folder), ReadSettings())


def test_what_may_not_be_read(tmp_path, monkeypatch):
    write(tmp_path / "c/a.txt", "a")
    write(tmp_path / "c/b/b.txt", "b")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda p: refuse(p) if str(p).endswith("b") else scandir(p))
    documents, counts = read(f"{tmp_path}/c")
    assert [d.text for d in documents] == ["a"]
    assert "c/b: this folder cannot be read (Permission denied)" in counts.problems[0]
    with pytest.raises(InputError, match=r"this folder cannot be read .*; check its rights"):
        read_documents([f"{tmp_path}/c"])
    monkeypatch.undo()
    monkeypatch.setattr("jaxlm.data.formats.open_stream", refuse)
    with pytest.raises(InputError, match=r"a\.txt: cannot be read \(Permission denied\)"):
        read(f"{tmp_path}/c/a.txt", ReadSettings())


def test_the_embedded_corpus_by_name(tmp_path, monkeypatch):
    first = next(read_documents(["embedded"]))
    assert first.source == "python-docs"
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "embedded/a.txt", "a file goes first")
    assert next(read_documents(["embedded"])).text == "a file goes first"


def test_the_output_is_not_in_the_corpus(corpus, tmp_path):
    with pytest.raises(InputError, match=r"c/out lies in .*c, so that what is written"):
        collect([corpus], f"{corpus}/out", SKIP)
    assert not (tmp_path / "c/out").exists()
    collect([corpus], f"{corpus}/.out", SKIP)  # hidden folders are not read
    assert open_store(f"{corpus}/.out").manifest["statistics"]["files"] == 12
    with pytest.raises(InputError, match="corpus: one entry is empty"):
        collect([""], tmp_path / "s", SKIP)


def test_names_and_fields_that_are_no_unicode(tmp_path):
    folder = tmp_path / "c"
    write(folder / os.fsdecode(b"a\xe9.txt"), "text")
    write(folder / os.fsdecode(b"b\xe9.jsonl"), '{"\\ud800": 1}\n')
    manifest = collect([str(folder)], tmp_path / "s", SKIP)
    assert [d.source for d in open_store(tmp_path / "s").documents()] == [r"c/a\udce9.txt"]
    assert r"b\udce9.jsonl, line 1: no field 'text'" in manifest["statistics"]["problems"][0]
