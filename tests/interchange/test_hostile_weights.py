"""Hostile and damaged files of weights: each is refused in one sentence, executes nothing and fills no memory.

A payload's one wish is to create the file CANARY. The folder must hold the same afterwards.
"""

import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from data_samples import snapshot
from foreign_files import (
    Call,
    Name,
    Raw,
    Storage,
    blob,
    caffemodel,
    field,
    instructions,
    layer,
    pickled,
    pth,
    pth_of_arrays,
    tensor,
    varint,
    zipped,
)

from minisk import models
from minisk.errors import CheckpointError
from minisk.interchange import read_weights

CANARY = "executed"
FOUR = struct.pack("<4f", 1, 2, 3, 4)
RUN = f"open({CANARY!r}, 'w')"


class Payload:
    def __init__(self, function, *arguments):
        self.made_of = function, arguments

    def __reduce__(self):
        return self.made_of


def of_state(value, storages=None):
    return pth({"weight": value}, {"0": FOUR} if storages is None else storages)


def nested(depth):
    return pickled(Raw(b")" + b"\x85" * depth))


GOOD = pth_of_arrays({"stem.weight": np.ones((4, 4), np.float32)})
ONE_TENSOR = {"weight": tensor("0", 4, (4,), (1,))}

PTH = {
    "os.system": (pth(pickle.dumps(Payload(os.system, f"touch {CANARY}"), 2)), r"asks for 'posix\.system'"),
    "os.system, protocol 4": (pth(pickle.dumps(Payload(os.system, f"touch {CANARY}"), 4)), r"asks for 'posix\.system'"),
    "os.system, protocol 0": (pth(pickle.dumps(Payload(os.system, f"touch {CANARY}"), 0)), "instruction"),
    "eval": (pth(pickle.dumps(Payload(eval, RUN), 2)), r"asks for '__builtin__\.eval'"),
    "exec": (pth(pickle.dumps(Payload(exec, RUN), 2)), r"asks for '__builtin__\.exec'"),
    "getattr": (pth({"a": Call(Name("builtins", "getattr"), ("", "x"))}), r"asks for 'builtins\.getattr'"),
    "subprocess": (pth(pickle.dumps(Payload(subprocess.Popen, ["touch", CANARY]), 4)), r"asks for 'subprocess\.Popen'"),
    "torch.load": (pth({"a": Call(Name("torch", "load"), ("x",))}), r"asks for 'torch\.load'"),
    "a whole module": (
        pth({"a": Call(Name("copyreg", "_reconstructor"), (Name("torchvision.models.resnet", "ResNet"),))}),
        r"asks for 'copyreg\._reconstructor', which is not part of a file of weights.*state_dict",
    ),
    "a module of the script": (pth(Raw(b"c__main__\nNet\n)\x81")), "instruction NEWOBJ.*state_dict"),
    "a NumPy array": (pth({"a": Name("numpy.core.multiarray", "_reconstruct")}), "_reconstruct"),
    "a long name": (pth(Name("a" * 5000, "b")), "asks for"),
    "a name with a line break": (pth(pickled(Raw(b"\x8c\x03a\nb\x8c\x01c\x93"))), "asks for"),
    "a name of numbers": (pth(pickled(Raw(b"K\x01K\x02\x93"))), "damaged"),
    "an object": (pth(pickled(Raw(b"(i__main__\nNet\n"))), "instruction INST"),
    "an extension": (pth(pickled(Raw(b"\x82\x01"))), "instruction EXT1"),
    "a persistent name of text": (pth(pickled(Raw(b"Pexecuted\n"))), "instruction PERSID"),
    "a persistent name of a list": (pth(pickled(Raw(b"]Q"))), "something other than a storage"),
    "a persistent name of another kind": (
        pth(pickled(Raw(instructions(("file", "torch.FloatStorage", "0", "cpu", 4)) + b"Q"))),
        "something other than a storage",
    ),
    "a storage of objects": (of_state(Storage("torch.ObjectStorage", "0", 4)), "something other than a storage"),
    "a key upwards": (of_state(tensor("../../data.pkl", 4, (4,), (1,))), "something other than a storage"),
    "a key that is no text": (of_state(tensor(0, 4, (4,), (1,))), "something other than a storage"),
    "a storage without bytes": (of_state(tensor("7", 4, (4,), (1,))), "lacks the member 'archive/data/7'"),
    "a storage too short": (of_state(tensor("0", 5, (4,), (1,))), "has 16 bytes, expected 5 elements of 4 bytes"),
    "a storage of a negative size": (of_state(tensor("0", -4, (4,), (1,))), "expected -4 elements"),
    "a tensor beyond its storage": (of_state(tensor("0", 4, (5,), (1,))), "ends beyond its storage of 4"),
    "an offset beyond its storage": (of_state(tensor("0", 4, (4,), (1,), 1)), "ends beyond its storage"),
    "a stride beyond its storage": (of_state(tensor("0", 4, (2,), (4,))), "ends beyond its storage"),
    "a negative stride": (of_state(tensor("0", 4, (4,), (-1,), 3)), "not whole numbers of at least 0"),
    "a negative offset": (of_state(tensor("0", 4, (4,), (1,), -1)), "not whole numbers of at least 0"),
    "a negative size": (of_state(tensor("0", 4, (-1, -4), (4, 1))), "not whole numbers of at least 0"),
    "a size of 2 to the 70": (of_state(tensor("0", 4, (2**70,), (0,))), "not whole numbers of at least 0"),
    "a size that is a float": (of_state(tensor("0", 4, (4.0,), (1,))), "not whole numbers"),
    "a size that is a bool": (of_state(tensor("0", 4, (True,), (1,))), "not whole numbers"),
    "more sizes than strides": (of_state(tensor("0", 4, (2, 2), (1,))), "not whole numbers"),
    "sizes that are a text": (of_state(tensor("0", 4, "4", (1,))), "without sizes"),
    "a hundred dimensions": (of_state(tensor("0", 4, (1,) * 100, (1,) * 100)), "more than 8 dimensions"),
    "a terabyte of repeats": (of_state(tensor("0", 4, (2**38,), (0,))), "more than twice"),
    "many repeats": (
        pth({f"w{i}": tensor("0", 4, (100_000,), (0,)) for i in range(9)}, {"0": FOUR}),
        "more than twice",
    ),
    "an empty tensor of terabytes": (of_state(tensor("0", 4, (0, 2**62), (1, 1))), "damaged"),
    "a call of a text": (of_state(Call("eval", (RUN,))), "calls a function other"),
    "a call of a call": (of_state(Call(Call(Name("collections", "OrderedDict"), ()), ())), "calls a function other"),
    "a dictionary made of items": (of_state(Call(Name("collections", "OrderedDict"), ([],))), "calls a function other"),
    "a tensor of a list": (of_state(Call(Name("torch._utils", "_rebuild_parameter"), ([],))), "calls a function other"),
    "a state for a list": (of_state(Raw(b"]}b")), "gives a state"),
    "a tuple as a key": (pth({(1, 2): 3}), "key of type tuple"),
    "a large number as a key": (pth({2**61: 3}), "key of type int"),
    "more than one result": (pth(pickled(Raw(b"NN"))), "more than one result"),
    "nothing": (pth(b"\x80\x02."), "damaged"),
    "an empty pickle": (pth(b""), "damaged"),
    "a pickle that is cut": (pth(pickled(ONE_TENSOR)[:-9], {"0": FOUR}), "damaged"),
    "an unknown instruction": (pth(b"\x80\x02\xff."), "damaged"),
    "a text longer than the file": (pth(b"\x80\x02X\xff\xff\xff\x7fabc."), "damaged"),
    "a fetch of what was not kept": (pth(pickled(Raw(b"j\xff\xff\xff\x7f"))), "damaged"),
    "a place of two billion": (pth(pickled(Raw(b"Nr\xff\xff\xff\x7f"))), "holds no arrays"),
    "a million and one instructions": (pth(pickled(Raw(b"N" + b"\x94" * 1_000_001))), "more than 1,000,000 instr"),
    "tuples in tuples": (pth(nested(900_000)), "holds no arrays"),
    "no pickle": (zipped({"archive/version": b"3"}), r"has 0 files NAME/data\.pkl"),
    "two pickles": (zipped({"a/data.pkl": b"N.", "b/data.pkl": b"N."}), r"has 2 files NAME/data\.pkl"),
    "a TorchScript program": (pth(ONE_TENSOR, {"0": FOUR}, **{"constants.pkl": b"N."}), "is a TorchScript program"),
    "an unknown byte order": (pth(ONE_TENSOR, {"0": FOUR}, byteorder=b"middle"), "byte order b'middle'"),
    "a long byte order": (pth(ONE_TENSOR, {"0": FOUR}, byteorder=b"x" * 99), "99 bytes, expected at most 10"),
    "only numbers": (pth({"epoch": 3, "lr": 0.1}), "holds no arrays by name"),
    "a list of arrays": (pth([tensor("0", 4, (4,), (1,))], {"0": FOUR}), "holds no arrays by name"),
    "numbers as names": (pth({0: tensor("0", 4, (4,), (1,))}, {"0": FOUR}), "names are not text"),
    "PyTorch before 1.6": (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2), r"before 1\.6.*save it"),
    "a bare pickle": (pickle.dumps(Payload(os.system, f"touch {CANARY}")), "a bare pickle"),
    "a zip that is cut": (GOOD[:-30], "damaged zip"),
    "a zip that is only a head": (b"PK\x03\x04", "damaged zip"),
    "an empty zip": (zipped({}), "has 0 files"),
    "an empty file": (b"", "unknown format"),
    "a page of the web": (b"<!DOCTYPE html><html>", "unknown format"),
    "a link of Git LFS": (b"version https://git-lfs.github.com/spec/v1\n", "unknown format"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "unknown format"),
}


def changed_bytes():
    """Return a .pth with a storage whose checksum no longer fits."""
    broken = bytearray(GOOD)
    broken[GOOD.index(np.ones(4, np.float32).tobytes())] ^= 1
    return bytes(broken)


def compressed_bomb():
    bomb = {"weight": tensor("0", 1 << 26, (1 << 26,), (1,))}
    members = {"archive/data.pkl": pickled(bomb), "archive/data/0": bytes(1 << 28)}
    return zipped(members, zipfile.ZIP_DEFLATED)


def with_changed_heads(offset, value):
    """Return a .pth with one byte changed in the first member's two heads; the offset is that of the local one."""
    broken = bytearray(GOOD)
    broken[broken.index(b"PK\x03\x04") + offset] = value
    broken[broken.index(b"PK\x01\x02") + offset + 2] = value
    return bytes(broken)


PTH |= {
    "a changed byte": (changed_bytes(), "damaged member"),
    "a bomb of 256 MB": (compressed_bomb(), "expected at most"),
    "an encrypted zip": (with_changed_heads(6, 1), "encrypted"),
    "an unknown compression": (with_changed_heads(8, 99), "compression"),
}


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), **options)
    return file.getvalue()


def header(text):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


NUMBERS = np.ones((2, 3), np.float32)
NPZ = {
    "objects": (zipped({"a.npy": npy(np.array([Payload(os.system, f"touch {CANARY}")], object))}), "dtype object"),
    "fields": (zipped({"a.npy": npy(np.zeros(2, "f4,f4"))}), "dtype .*expected numbers"),
    "text": (zipped({"a.npy": npy(np.array(["a"]))}), "expected numbers"),
    "complex numbers": (zipped({"a.npy": npy(np.zeros(2, complex))}), "expected numbers"),
    "an array that is cut": (zipped({"a.npy": npy(NUMBERS)[:-4]}), "20 bytes for the shape"),
    "an array too long": (zipped({"a.npy": npy(NUMBERS) + b"abcd"}), "28 bytes for the shape"),
    "a header that is cut": (zipped({"a.npy": npy(NUMBERS)[:20]}), "refused or damaged"),
    "a header of code": (zipped({"a.npy": header(RUN + "\n")}), "refused or damaged"),
    "a shape of petabytes": (
        zipped({"a.npy": header("{'descr': '<f4', 'fortran_order': False, 'shape': (2**50,)}\n")}),
        "refused or damaged",
    ),
    "a large shape": (
        zipped({"a.npy": header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**50},)}}\n")}),
        "0 bytes for the shape",
    ),
    "a negative shape": (
        zipped({"a.npy": header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -6)}\n") + bytes(24)}),
        "refused or damaged",
    ),
    "another version": (zipped({"a.npy": b"\x93NUMPY\x07\x00"}), "refused or damaged"),
    "no array": (zipped({"a.npy": b"hello"}), "refused or damaged"),
    "a bomb": (zipped({"a.npy": npy(np.zeros(1 << 23))}, zipfile.ZIP_DEFLATED), "expected at most"),
    "many small bombs": (
        zipped({f"{i}.npy": npy(np.zeros(1 << 19)) for i in range(9)}, zipfile.ZIP_DEFLATED),
        "expected at most",
    ),
    "a changed byte": (zipped({"a.npy": npy(NUMBERS)}).replace(NUMBERS.tobytes(), bytes(24)), "damaged member"),
}

ARRAY = np.ones((2, 3), np.float32)
CAFFE = {
    "an empty file": (b"", "it has no layers"),
    "a text": (b"name: 'net'\nlayer {\n", "no .caffemodel, or damaged"),
    "a number without end": (b"\xff" * 20, "a number ends too early"),
    "a field without end": (field(100, b"abc")[:-1], "begins 2 bytes before its end"),
    "a field of exabytes": (varint(100 << 3 | 2) + varint(2**62), "a field of 4,611,686,018,427,387,904 bytes"),
    "a field of number 0": (b"\x00\x00", "number 0"),
    "a group": (varint(100 << 3 | 3), "kind 3"),
    "an unknown kind": (varint(100 << 3 | 7), "kind 7"),
    "a blob too short": (layer("a", blob(ARRAY, (2, 4))), r"6 elements, expected the shape \[2, 4\]"),
    "a blob of petabytes": (layer("a", blob(ARRAY, (2**50, 2**50))), "6 elements, expected the shape"),
    "a blob of nothing times much": (layer("a", blob(np.zeros(0, np.float32), (0, 2**63))), "0 elements, expected"),
    "a blob of many dimensions": (layer("a", blob(np.float32([1]), (1,) * 40)), "1 elements, expected the shape"),
    "a blob of half a number": (layer("a", field(5, b"abc")), "has 3 bytes of float32"),
    "a blob of old sizes": (layer("a", field(1, 2) + field(2, 9) + field(5, bytes(8))), r"shape \[2, 9, 1, 1\]"),
    "a name of bytes": (field(100, field(1, b"\xff\xfe") + field(7, blob(ARRAY))), "name is not text"),
    "two layers of one name": (layer("a", blob(ARRAY)) * 2, "two layers have the name 'a'"),
    "a million fields": (field(3, 1) * 1_000_001, "more than 1,000,000 fields"),
    "a layer that is cut": (field(100, field(1, b"a") + field(7, blob(ARRAY))[:-3]), "before its end"),
    "layers without blobs": (layer("a"), "holds no arrays"),
}

FILES = {f".pth: {name}": ("x.pth", *case) for name, case in PTH.items()}
FILES |= {f".npz: {name}": ("x.npz", *case) for name, case in NPZ.items()}
FILES |= {f".caffemodel: {name}": ("x.caffemodel", *case) for name, case in CAFFE.items()}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_refused_in_one_sentence(name, tmp_path):
    file, content, match = FILES[name]
    (tmp_path / file).write_bytes(content)
    before = snapshot(".")
    with pytest.raises(CheckpointError, match=match) as caught:
        read_weights(file)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    assert file in str(caught.value)
    assert snapshot(".") == before and not (tmp_path / CANARY).exists()


def test_there_are_at_least_sixty_files():
    assert len(FILES) >= 60


def test_no_file_takes_more_memory_than_its_size_allows(tmp_path):
    """Read them all in a process that may have 1 GB more than after its imports."""
    for index, (file, content, _) in enumerate(FILES.values()):
        (tmp_path / f"{index}-{file}").write_bytes(content)
    program = """
import pathlib, resource
from minisk.errors import CheckpointError
from minisk.interchange import read_weights
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + (1 << 30)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for path in sorted(pathlib.Path().glob("*-x.*")):
    try:
        read_weights(path)
    except CheckpointError as error:
        assert "not enough memory" not in str(error), error
    else:
        raise AssertionError(path)
"""
    if not os.path.exists("/proc/self/statm") or not hasattr(resource, "RLIMIT_AS"):
        pytest.skip("needs /proc and RLIMIT_AS")
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["folder", "pipe", "nothing"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path / "x.pth"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(CheckpointError, match="does not exist" if kind == "nothing" else "not a regular file"):
        read_weights(path)


@pytest.mark.parametrize("seed", range(5))
def test_random_changes_of_good_files_end_in_a_result_or_a_sentence(tmp_path, seed):
    """Change bytes of good files at random: every outcome is arrays or a CheckpointError."""
    good = {
        "x.pth": GOOD,
        "x.npz": zipped({"a.npy": npy(NUMBERS)}),
        "x.caffemodel": caffemodel({"a": [ARRAY], "b": [ARRAY, ARRAY]}),
    }
    draw = np.random.default_rng(seed)
    for file, content in good.items():
        for _ in range(100):
            broken = bytearray(content)
            for place in draw.integers(0, len(content), draw.integers(1, 4)):
                broken[place] = draw.integers(256)
            (tmp_path / file).write_bytes(broken[: draw.integers(1, 2 * len(content))])
            try:
                found = read_weights(tmp_path / file).arrays
            except CheckpointError:
                continue
            assert all(isinstance(array, np.ndarray) for array in found.values())


def test_models_load_refuses_in_the_same_way(tmp_path):
    (tmp_path / "x.pth").write_bytes(PTH["os.system"][0])
    with pytest.raises(CheckpointError, match=r"posix\.system"):
        models.load("x.pth")
