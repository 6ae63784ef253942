"""A stage does every unit once, survives kill -9, and is the same in any number of processes."""

import functools
import json
import os
import pickle
import signal
import subprocess
import sys
import time

import pytest

from jaxlm.data.beam import beam
from jaxlm.data.documents import Document, from_line, to_line
from jaxlm.data.stages import MANIFEST, merge, processes, read_manifest, run_stage
from jaxlm.data.store import DOCUMENTS, open_store, read_shard, read_unit, write_shard
from jaxlm.errors import DamageError, InputError, JaxlmError

UNITS = [{"first": 10 * i, "count": i % 4} for i in range(7)]


def write(log, unit, directory):
    """Some documents; a line in a file for every time that it is called."""
    if log:
        with open(log, "a") as file:
            file.write(f"{unit['first']}\n")
    numbers = range(unit["first"], unit["first"] + unit["count"])
    documents = (Document(f"text {n} äöü\n\u2028", "here", str(n), {"n": n}) for n in numbers)
    return {**write_shard(directory, documents), "units": 1, "firsts": [unit["first"]]}


def run(directory, *, log=None, units=UNITS, work=write, **options):
    options = {"stage": "make", "settings": {"sizes": (1, 2)}} | options
    return run_stage(directory, units, functools.partial(work, log), **options)


def content(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_documents_come_back_in_order_with_all_that_they_hold(tmp_path):
    manifest = run(tmp_path / "s")
    documents = list(open_store(tmp_path / "s", verify=True).documents())
    expected = [n for u in UNITS for n in range(u["first"], u["first"] + u["count"])]
    assert [d.metadata["n"] for d in documents] == expected
    assert documents[0] == Document("text 10 äöü\n\u2028", "here", "10", {"n": 10})
    assert manifest["statistics"]["documents"] == len(expected) == 9
    assert manifest["statistics"]["units"] == 7
    assert manifest["statistics"]["characters"] == sum(len(d.text) for d in documents)
    assert manifest["statistics"]["bytes"] == sum(len(d.text.encode()) for d in documents)
    assert manifest["statistics"]["firsts"] == [0, 10, 20, 30, 40]  # five examples of seven
    assert manifest == read_manifest(tmp_path / "s")


def test_a_line_is_one_line():
    document = Document('a\n\r\u2028\x00\x85"\\', "s\n", "i", {"k": [1, None]})
    assert to_line(document).count(b"\n") == 1
    assert from_line(to_line(document)) == document


def test_any_number_of_processes_and_parts_gives_the_same_bytes(tmp_path):
    run(tmp_path / "one")
    run(tmp_path / "two", engine=processes(2))
    assert content(tmp_path / "one") == content(tmp_path / "two")
    for index in (2, 0, 1):
        result = run(tmp_path / "parts", part=(index, 3))
        assert (result is None) == (index != 1)
    assert content(tmp_path / "one") == content(tmp_path / "parts")


@pytest.mark.slow
def test_beam_gives_the_same_bytes(tmp_path):
    pytest.importorskip("apache_beam", reason="Apache Beam is not installed")
    run(tmp_path / "one")
    run(tmp_path / "beam", engine=beam())
    assert content(tmp_path / "one") == content(tmp_path / "beam")


def refuse(unit, directory):
    raise {0: InputError(["this", "that"]), 10: DamageError("hurt")}[unit["first"]]


@pytest.mark.slow
def test_an_error_in_beam_is_the_same_and_short(tmp_path, caplog):
    pytest.importorskip("apache_beam", reason="Apache Beam is not installed")
    for number, error in enumerate((InputError, DamageError)):
        options = {"stage": "refuse", "settings": {}, "engine": beam()}
        with pytest.raises(error, match=r"th[ia]|hurt") as raised:
            run_stage(tmp_path / str(number), [UNITS[number]], refuse, **options)
        assert len(str(raised.value)) < 100
    assert not [r for r in caplog.records if r.name == "apache_beam.runners.common"]


def test_beam_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(InputError, match=r"pip install 'jaxlm\[beam\]'"):
        beam()


def test_what_is_finished_is_not_done_again(tmp_path):
    log = tmp_path / "log"
    run(tmp_path / "s", log=log)
    before = content(tmp_path / "s")
    (tmp_path / "s" / MANIFEST).unlink()
    (tmp_path / "s/00003/unit.json").unlink()
    reports = []
    run(tmp_path / "s", log=log, progress=lambda *report: reports.append(report))
    assert log.read_text().split() == [*(str(u["first"]) for u in UNITS), "30"]
    assert content(tmp_path / "s") == before
    assert reports == [("make", 6, 7), ("make", 7, 7)]


def test_killed_at_any_moment_it_goes_on(tmp_path):
    code = f"""
import sys, time
sys.path.insert(0, {os.path.dirname(__file__)!r})
import test_stages
def slow(log, unit, directory):
    result = test_stages.write(log, unit, directory)
    time.sleep(0.1)
    return result
test_stages.run({str(tmp_path / "s")!r}, work=slow)
"""  # noqa: PTH120
    run(tmp_path / "whole")
    for wait in (0.0, 0.13, 0.31):
        process = subprocess.Popen([sys.executable, "-c", code])
        while not (tmp_path / "s/stage.json").exists():
            time.sleep(0.01)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(InputError, match="no finished stage"):
            open_store(tmp_path / "s")
    run(tmp_path / "s")
    assert content(tmp_path / "s") == content(tmp_path / "whole")


def fail(log, unit, directory):
    if unit["first"] == 20:
        raise InputError("document 20 is bad")
    return write(log, unit, directory)


def die(log, unit, directory):
    os._exit(9)


def fill(log, unit, directory):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("engine", [processes(1), processes(2)], ids=["one", "two"])
def test_failures_are_told_and_keep_what_is_finished(tmp_path, engine):
    with pytest.raises(InputError, match="document 20 is bad"):
        run(tmp_path / "s", work=fail, engine=engine)
    with pytest.raises(JaxlmError, match=r"0000\d cannot be written \(No space left on device\)"):
        run(tmp_path / "full", work=fill, engine=engine)
    run(tmp_path / "s", engine=engine)
    run(tmp_path / "whole")
    assert content(tmp_path / "s") == content(tmp_path / "whole")


def test_a_worker_that_dies(tmp_path):
    with pytest.raises(JaxlmError, match="a worker process died"):
        run(tmp_path / "s", work=die, engine=processes(2))


def test_other_settings_input_or_places_are_refused(tmp_path):
    run(tmp_path / "s")
    with pytest.raises(InputError, match=r"was begun with sizes \[1, 2\], not \[1, 3\]"):
        run(tmp_path / "s", settings={"sizes": (1, 3)})
    with pytest.raises(InputError, match="units 7, not 6"):
        run(tmp_path / "s", units=UNITS[1:])
    with pytest.raises(InputError, match="00000 was made from other input"):
        run(tmp_path / "s", units=[{"first": 1, "count": 2}, *UNITS[1:]])
    with pytest.raises(InputError, match="was begun with stage 'make', not 'other'; choose"):
        run(tmp_path / "s", stage="other", settings={"sizes": 3})
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("keep me")
    with pytest.raises(InputError, match="holds other things"):
        run(tmp_path / "mine")
    with pytest.raises(InputError, match="nothing to make"):
        run(tmp_path / "none", units=[])
    with pytest.raises(InputError, match="--shard 3/3"):
        run(tmp_path / "none", part=(3, 3))
    with pytest.raises(InputError, match="--workers 0"):
        processes(0)
    assert not (tmp_path / "none").exists()


def again(log, unit, directory):
    with pytest.raises(JaxlmError, match="another process is at work on"):
        run(directory.parent, work=again, part=(0, 2))
    return write(log, unit, directory)


def test_only_one_process_works_on_a_directory_unless_it_is_divided(tmp_path):
    run(tmp_path / "s", work=again)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/.stage.json.7.tmp").touch()  # of another part, which begins now
    run(tmp_path / "parts", work=divided, part=(0, 2))
    (tmp_path / "parts/.stage.json.7.tmp").unlink()
    assert content(tmp_path / "s") == content(tmp_path / "parts")


def divided(log, unit, directory):
    run(directory.parent, part=(1, 2))
    return write(log, unit, directory)


def counting(sizes, function, tasks):
    for task in tasks:
        sizes.append(len(pickle.dumps((function, task))))
        yield function(task)


def test_what_an_engine_carries_for_a_unit_does_not_grow_with_their_number(tmp_path):
    for number in (7, 700):
        sizes = []
        units = [{"first": i, "count": 0} for i in range(number)]
        engine = functools.partial(counting, sizes)
        run(tmp_path / str(number), units=units, engine=engine)
        assert max(sizes) < 1000


def copy(unit, directory):
    return write_shard(directory, read_unit(unit))


def test_a_store_may_be_moved_between_two_calls(tmp_path):
    run(tmp_path / "s")
    options = {"stage": "copy", "settings": {}}
    run_stage(tmp_path / "c", open_store(tmp_path / "s").units, copy, part=(0, 2), **options)
    (tmp_path / "s").rename(tmp_path / "t")
    units = open_store(tmp_path / "t").units
    assert run_stage(tmp_path / "c", units, copy, part=(1, 2), **options) is not None
    assert open_store(tmp_path / "c").units[0]["blake2b"] == units[0]["blake2b"]


def in_small_files(unit, directory):
    return write_shard(directory, numbered(unit), max_documents=4, max_bytes=1000)


def numbered(unit):
    for number in range(unit["first"], unit["first"] + unit["count"]):
        yield Document("x" * (1000 if number == 2 else 1), "here", str(number))


def test_a_large_shard_is_several_files_and_units(tmp_path):
    units = [{"first": 0, "count": 12}, {"first": 12, "count": 0}, {"first": 12, "count": 4}]
    options = {"stage": "make", "settings": {}}
    manifest = run_stage(tmp_path / "s", units, in_small_files, **options)
    assert manifest["statistics"] == {"documents": 16, "characters": 1015, "bytes": 1015}
    store = open_store(tmp_path / "s")
    found = [[int(d.identifier) for d in read_unit(unit)] for unit in store.units]
    assert found == [[0, 1, 2], [3, 4, 5, 6], [7, 8, 9, 10], [11], [], [12, 13, 14, 15]]
    assert [d.identifier for d in store.documents()] == list(map(str, range(16)))
    copied = run_stage(tmp_path / "c", store.units, copy, **options)
    assert [len(shard["files"]) for shard in copied["shards"]] == [1] * 6
    (tmp_path / "s/00000/documents-2.jsonl.zst").unlink()
    with pytest.raises(DamageError, match=r"documents-2\.jsonl\.zst is damaged: missing"):
        open_store(tmp_path / "s")


def test_damage_is_found(tmp_path):
    run(tmp_path / "s")
    path = tmp_path / "s/00003" / DOCUMENTS
    data = path.read_bytes()
    unit = open_store(tmp_path / "s").units[3]
    assert len(list(read_unit(unit))) == 3
    for position in range(len(data)):
        damaged = bytearray(data)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        open_store(tmp_path / "s")
        with pytest.raises(DamageError, match=f"{path} is damaged: its checksum"):
            open_store(tmp_path / "s", verify=True)
        with pytest.raises(DamageError, match=f"{path} is damaged: its checksum"):
            list(read_unit(unit))
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(DamageError, match="bytes instead of"):
            open_store(tmp_path / "s")
        if end:
            with pytest.raises(DamageError, match="is damaged after document"):
                list(read_shard(path))
    path.unlink()
    with pytest.raises(DamageError, match="missing instead of"):
        open_store(tmp_path / "s")
    (tmp_path / "s" / MANIFEST).write_text("{")
    with pytest.raises(DamageError, match=r"manifest.json cannot be read"):
        open_store(tmp_path / "s")


def test_merge():
    first = {"n": 1, "by": {"a": 1, "b": {"x": 2}}, "examples": [1, 2, 3], "name": "one"}
    second = {"n": 2, "by": {"b": {"x": 3, "y": 1}, "c": 0.5}, "examples": [4, 5, 6], "new": True}
    assert merge([first, second]) == {
        "n": 3,
        "by": {"a": 1, "b": {"x": 5, "y": 1}, "c": 0.5},
        "examples": [1, 2, 3, 4, 5],
        "name": "one",
        "new": True,
    }
    assert first["by"] == {"a": 1, "b": {"x": 2}}
    assert json.loads(json.dumps(merge([]))) == {}
