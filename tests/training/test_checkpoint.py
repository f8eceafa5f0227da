"""minisk.checkpoint: what goes in comes out, damage is reported in one sentence, a failed write loses nothing."""

import errno
import json
import os

import numpy as np
import pytest
from safetensors.numpy import save_file

from minisk import serialization as checkpoint
from minisk.errors import CheckpointError
from minisk.serialization import FORMAT, atomic_write, load_checkpoint, save_checkpoint

ABOUT = {"config": {"lr": 0.1, "data_dir": None}, "classes": ["disc", "Größe ×"], "history": [{"loss": 1e-300}]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.safetensors"


def written(path, minisk, arrays=None):
    """A safetensors file as another tool would write it, with that text as minisk's header."""
    save_file(arrays or {"a": np.ones(2)}, path, metadata=None if minisk is None else {"minisk": minisk})
    return path


# --- Round trip ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (2, 3)])
def test_an_array_comes_back_bit_for_bit_with_its_dtype_and_shape(path, dtype, shape):
    array = np.random.default_rng(0).integers(2, size=shape).astype(dtype)
    save_checkpoint(path, {"model.0.weight": array}, {})
    found = load_checkpoint(path)[0]["model.0.weight"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)


def test_infinities_nan_and_negative_zero_come_back_bit_for_bit(path):
    array = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 5e-324])
    save_checkpoint(path, {"a": array}, {})
    assert load_checkpoint(path)[0]["a"].tobytes() == array.tobytes()


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[::-1, ::2]], ids=["transposed", "strided"])
def test_an_array_in_any_memory_layout_comes_back(path, view):
    array = view(np.arange(12.0).reshape(3, 4))
    save_checkpoint(path, {"a": array}, {})
    np.testing.assert_array_equal(load_checkpoint(path)[0]["a"], array)


def test_the_description_comes_back_beside_the_format(path):
    save_checkpoint(path, {}, ABOUT)
    assert load_checkpoint(path) == ({}, {"format": FORMAT, **ABOUT})


def test_what_was_loaded_may_be_written_to_and_does_not_follow_the_file(path):
    save_checkpoint(path, {"a": np.zeros(3)}, {})
    found = load_checkpoint(path)[0]["a"]
    save_checkpoint(path, {"a": np.ones(3)}, {})
    found += 5
    assert (found.tolist(), load_checkpoint(path)[0]["a"].tolist()) == ([5, 5, 5], [1, 1, 1])


# --- Damage -------------------------------------------------------------------------------------------------


def test_a_file_truncated_anywhere_is_reported_as_damaged(path):
    save_checkpoint(path, {"a": np.arange(100.0), "b": np.arange(7, dtype="int8")}, ABOUT)
    whole = path.read_bytes()
    lengths = sorted({0, 1, 7, 8, 9, len(whole) - 1, *np.linspace(0, len(whole) - 1, 20, dtype=int).tolist()})
    for length in lengths:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match=r"some\.safetensors is damaged or not a safetensors file"):
            load_checkpoint(path)
    path.write_bytes(whole)
    assert load_checkpoint(path)[1]["classes"] == ABOUT["classes"]


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 a zip" * 9, b"\xff" * 64, b"\x02" + bytes(7) + b"[]"], ids=["zip", "huge header", "list"]
)
def test_a_file_that_is_not_safetensors_is_reported(path, content):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"some\.safetensors is damaged or not a safetensors file"):
        load_checkpoint(path)


@pytest.mark.parametrize("minisk", [None, "{}", "[1]", "null", '{"config": {}}'])
def test_a_safetensors_file_of_another_tool_is_reported(path, minisk):
    with pytest.raises(CheckpointError, match=r"some\.safetensors was not written by minisk"):
        load_checkpoint(written(path, minisk))


@pytest.mark.parametrize("minisk", ["", "not JSON", '{"format": 1', "\x00"])
def test_a_header_that_is_not_json_is_reported_as_damaged(path, minisk):
    with pytest.raises(CheckpointError, match=r"some\.safetensors is damaged"):
        load_checkpoint(written(path, minisk))


def test_a_newer_format_is_reported_with_both_numbers(path):
    with pytest.raises(CheckpointError, match=rf"has format {FORMAT + 1}; this minisk reads up to {FORMAT}"):
        load_checkpoint(written(path, json.dumps({"format": FORMAT + 1})))


@pytest.mark.parametrize("number", ["2", None, [1]])
def test_a_format_that_is_not_a_number_is_a_checkpoint_error(path, number):
    with pytest.raises(CheckpointError):
        load_checkpoint(written(path, json.dumps({"format": number})))


def test_a_dtype_that_numpy_lacks_is_a_checkpoint_error(path):
    header = b'{"__metadata__":{"minisk":"{\\"format\\":1}"},"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(2))
    with pytest.raises(CheckpointError):
        load_checkpoint(path)


def test_a_missing_file_is_reported_by_name(path):
    with pytest.raises(CheckpointError, match=r"checkpoint .*some\.safetensors does not exist"):
        load_checkpoint(path)


# --- Writing ------------------------------------------------------------------------------------------------


def full_disk(*arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupt(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("function", ["replace", "fsync"])
@pytest.mark.parametrize(
    ("failure", "error", "message"),
    [(full_disk, CheckpointError, "No space left"), (interrupt, KeyboardInterrupt, "^$")],
)
def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(
    path, monkeypatch, function, failure, error, message
):
    save_checkpoint(path, {"a": np.arange(3.0)}, ABOUT)
    before = path.read_bytes()
    monkeypatch.setattr(checkpoint.os, function, failure)
    with pytest.raises(error, match=message):
        save_checkpoint(path, {"a": np.zeros(3)}, {})
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_first_write_that_fails_leaves_nothing(path, monkeypatch, function):
    monkeypatch.setattr(checkpoint.os, function, full_disk)
    with pytest.raises(OSError, match="No space left"):
        atomic_write(path, b"content")
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("path", ["/", ".", ""])
def test_a_path_without_a_name_is_refused(path):
    with pytest.raises(IsADirectoryError):
        atomic_write(path, b"content")


def test_a_pipe_and_a_link_to_it_stay_what_they_are(tmp_path):
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(OSError, match="is a device or a pipe, expected a regular file"):
            atomic_write(path, b"content")
    assert pipe.is_fifo() and link.is_symlink()


def test_a_file_behind_a_link_is_written_and_the_link_stays(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    atomic_write(link, b"content")
    assert link.is_symlink() and (tmp_path / "file").read_bytes() == b"content"


def test_the_new_content_is_on_disk_before_it_takes_the_old_ones_place(path, monkeypatch):
    seen = []
    path.write_bytes(b"old")
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            checkpoint.os, name, lambda *a, n=name, f=real: (seen.append((n, path.read_bytes())), f(*a))
        )
    atomic_write(path, b"new")
    assert seen == [("fsync", b"old"), ("replace", b"old"), ("fsync", b"new")], "the last is the folder's"


@pytest.mark.parametrize("obstacle", ["a folder in its place", "no folder to write to"])
def test_a_path_that_cannot_be_written_is_reported_by_name(path, obstacle):
    if obstacle == "a folder in its place":
        path.mkdir()
    else:
        path = path.parent / "missing" / path.name
    with pytest.raises(CheckpointError, match=r"some\.safetensors could not be written: (Is a dir|No such file)"):
        save_checkpoint(path, {}, {})


def test_a_description_cannot_pass_for_another_format(path):
    save_checkpoint(path, {}, {"format": "free text"})
    assert load_checkpoint(path)[1]["format"] == FORMAT
