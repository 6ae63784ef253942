"""Files that are what they say, and files that are not."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from files import llama, safetensors, write, write_index

from jaxlm.errors import InputError
from jaxlm.interop import safetensors as reader


def problems(call, *arguments):
    with pytest.raises(InputError) as error:
        call(*arguments)
    return error.value.problems


def with_header(header, data=b""):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(shape, first, last, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [first, last]}


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", jnp.bfloat16])
def test_tensors_come_back(tmp_path, dtype):
    random = np.random.default_rng(0)
    tensors = {
        "matrix": random.normal(size=(5, 3)), "vector": random.normal(size=7),
        "scalar": np.float64(2.5), "empty": np.zeros((0, 4)), "cube": random.normal(size=(2, 3, 4)),
    }  # fmt: skip
    tensors = {name: np.asarray(a).astype(dtype) for name, a in tensors.items()}
    (tmp_path / "a.safetensors").write_bytes(safetensors(tensors))
    found = reader.read_header(tmp_path / "a.safetensors")
    assert set(found) == set(tensors)
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name].read(), array)
    rows = [piece for _, piece in found["matrix"].rows(1, 4)]
    np.testing.assert_array_equal(np.concatenate(rows), tensors["matrix"][1:4])


def test_big_tensors_are_read_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(reader, "CHUNK", 40)
    array = np.arange(33.0, dtype=np.float32).reshape(11, 3)
    (tmp_path / "a.safetensors").write_bytes(safetensors({"a": array}))
    pieces = list(reader.read_header(tmp_path / "a.safetensors")["a"].rows(2))
    assert [row for row, _ in pieces] == [2, 5, 8]
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in pieces]), array[2:])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated or no safetensors file"),
        (b"\x05", "truncated or no safetensors file"),
        ((2**63).to_bytes(8, "little") + b"{}", "its header is to have 9,223,372,036,854,775,808"),
        ((9).to_bytes(8, "little") + b"{}", "its header is to have 9 bytes, the file has 10"),
        ((2).to_bytes(8, "little") + b"[]", "no JSON object"),
        ((2).to_bytes(8, "little") + b"\xff\xff", "no JSON object"),
        (b"PK\x03\x04" + b"\x00" * 60, "truncated or no safetensors file|no JSON object"),
        (with_header({"a": entry([2**40, 2**40], 0, 2**82)}), "truncated: "),
        (with_header({"a": entry([2], 0, 4)}, b"1234"), "is 8 bytes, its range 4"),
        (with_header({"a": entry([-2], 0, 8)}, b"12345678"), "the header is damaged"),
        (with_header({"a": entry([1.5], 0, 6)}, b"123456"), "the header is damaged"),
        (with_header({"a": entry([True], 0, 4)}, b"1234"), "the header is damaged"),
        (with_header({"a": {"dtype": "F32"}}), "needs dtype, shape and data_offsets"),
        (with_header({"a": 3}), "needs dtype, shape and data_offsets"),
        (with_header({"a": entry([4], 0, 2, "F4")}, b"12"), "dtype F4 is not supported"),
        (
            with_header({"a": entry([1], 0, 4), "b": entry([1], 2, 6)}, b"123456"),
            "b: overlaps the tensor before it",
        ),
        (with_header({"a": entry([1], 4, 8)}, b"12345678"), "a: leaves bytes unused"),
        (with_header({"a": entry([1], 0, 4)}, b"12345"), "damaged: "),
    ],
)
def test_damaged_files(tmp_path, content, message):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    (problem,) = problems(reader.read_header, path)
    assert problem.startswith(str(path))
    assert any(part in problem for part in message.split("|")), problem


def test_every_truncation_is_noticed(tmp_path):
    content = safetensors({"a": np.zeros((2, 3), np.float32), "b": np.ones(2, np.float16)})
    path = tmp_path / "a.safetensors"
    for size in range(len(content)):
        path.write_bytes(content[:size])
        assert problems(reader.read_header, path)


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = tmp_path / "a.safetensors"
    content = safetensors({"a": np.zeros((200, 3), np.float32)})
    path.write_bytes(content)
    tensor = reader.read_header(path)["a"]
    path.write_bytes(content[:-100])
    assert "ended while it was being read" in problems(tensor.read)[0]


def test_shards(tmp_path):
    folder = write(tmp_path, shards=3)
    found = reader.read_checkpoint(folder)
    for name, array in llama().items():
        np.testing.assert_array_equal(found[name].read(), array)


@pytest.mark.parametrize(
    "file", ["../other.safetensors", "/etc/passwd", "a/../../b", "..\\b", "C:\\b", "C:b"]
)
def test_paths_that_leave_the_directory(tmp_path, file):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (tmp_path / "other.safetensors").write_bytes(safetensors(llama()))
    write_index(folder, {"model.norm.weight": file})
    (problem,) = problems(reader.read_checkpoint, folder)
    assert "lies outside of the directory; refused" in problem


def test_an_index_that_is_wrong(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    for text in ("", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'):
        index.write_text(text)
        assert "has no 'weight_map'" in problems(reader.read_checkpoint, tmp_path)[0], text
    (tmp_path / "a.safetensors").write_bytes(safetensors({"a": np.zeros(1, np.float32)}))
    write_index(tmp_path, {"a": "a.safetensors", "b": "a.safetensors"})
    assert problems(reader.read_checkpoint, tmp_path) == [f"{index}: b is not in a.safetensors"]
    write_index(tmp_path, {"a": "a.safetensors", "b": "b.safetensors", "c": "c.safetensors"})
    assert len(problems(reader.read_checkpoint, tmp_path)) == 2


def test_pickles_are_refused_with_the_way_out(tmp_path):
    assert "holds neither model.safetensors" in problems(reader.read_checkpoint, tmp_path)[0]
    (tmp_path / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    (problem,) = problems(reader.read_checkpoint, tmp_path)
    assert "pytorch_model.bin: pickles can run any program" in problem
    assert "save_pretrained" in problem
