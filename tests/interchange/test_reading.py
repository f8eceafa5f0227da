"""Files of weights that are in order: what each reader returns, and the wrappers and prefixes that it removes."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
from foreign_files import blob, caffemodel, field, layer, pth, pth_of_arrays, tensor, zipped

import minisk as ms
from minisk.errors import CheckpointError
from minisk.interchange import read_weights

DRAW = np.random.default_rng(0)
WEIGHT = DRAW.standard_normal((3, 2, 1, 5)).astype(np.float32)
BIAS = DRAW.standard_normal(3)
ARRAYS = {"conv.weight": WEIGHT, "conv.bias": BIAS}


def read(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return read_weights(path)


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)


def npz(arrays, save=np.savez):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_holds_its_arrays(tmp_path, save):
    arrays = {**ARRAYS, "fortran": np.asfortranarray(DRAW.standard_normal((4, 5))), "scalar": np.float32(3).reshape(())}
    found = read(tmp_path, "x.npz", npz(arrays, save))
    assert found.format == "npz"
    assert_same(found.arrays, arrays)


def test_a_pth_holds_its_arrays(tmp_path):
    arrays = {**ARRAYS, "half": WEIGHT.astype(np.float16), "scalar": np.float32(3).reshape(())}
    found = read(tmp_path, "x.pth", pth_of_arrays(arrays))
    assert found.format == "pth"
    assert_same(found.arrays, arrays)


def test_a_safetensors_file_holds_its_arrays(tmp_path):
    ms.save(ARRAYS, tmp_path / "x")
    found = read_weights(tmp_path / "x")  # the content decides, not the name
    assert found.format == "safetensors"
    assert_same(found.arrays, ARRAYS)


@pytest.mark.parametrize("name", ["x.caffemodel", "a.b.caffemodel"])
def test_a_caffemodel_holds_the_blobs_of_its_layers(tmp_path, name):
    found = read(tmp_path, name, caffemodel({"conv": [WEIGHT, BIAS], "relu": [], "fc": [BIAS]}))
    assert found.format == "caffemodel"
    assert_same(found.arrays, {"conv#0": WEIGHT, "conv#1": BIAS, "fc#0": BIAS})


def test_older_forms_of_a_caffemodel_are_read(tmp_path):
    sizes = b"".join(field(number, size) for number, size in zip((1, 2, 3, 4), WEIGHT.shape, strict=True))
    old_blob = sizes + field(5, WEIGHT.tobytes())
    old_layer = field(2, field(4, b"old") + field(6, old_blob))
    unpacked = field(7, field(1, 2)) + b"".join(b"\x2d" + struct.pack("<f", value) for value in (1, 2))
    dims_one_by_one = field(7, field(1, 1) + field(1, 3)) + field(8, BIAS.tobytes())
    content = old_layer + layer("unpacked", unpacked) + layer("dims", dims_one_by_one, blob(WEIGHT))
    found = read(tmp_path, "x.caffemodel", content).arrays
    expected = {"old#0": WEIGHT, "unpacked#0": np.float32([1, 2]), "dims#0": BIAS.reshape(1, 3), "dims#1": WEIGHT}
    assert_same(found, expected)


def test_views_of_one_storage_share_it(tmp_path):
    values = np.arange(24, dtype=np.float32)
    state = {
        "all": tensor("0", 24, (4, 6), (6, 1)),
        "transposed": tensor("0", 24, (6, 4), (1, 6)),
        "part": tensor("0", 24, (2, 3), (12, 2), 1),
        "one": tensor("0", 24, (), (), 5),
        "empty": tensor("0", 24, (0, 7), (7, 1)),
        "expanded": tensor("0", 24, (3, 2), (0, 1)),
    }
    found = read(tmp_path, "x.pth", pth(state, {"0": values.tobytes()})).arrays
    table = values.reshape(4, 6)
    expected = {
        "all": table,
        "transposed": table.T,
        "part": np.array([[1, 3, 5], [13, 15, 17]], np.float32),
        "one": np.float32(5).reshape(()),
        "empty": np.zeros((0, 7), np.float32),
        "expanded": np.float32([[0, 1]] * 3),
    }
    assert_same(found, expected)


def test_bfloat16_becomes_float32_and_big_endian_is_turned(tmp_path):
    upper = (WEIGHT.view(np.uint32) >> 16).astype(np.uint16)
    storage = tensor("0", upper.size, upper.shape, tuple(s // 2 for s in upper.strides), kind="BFloat16Storage")
    found = read(tmp_path, "x.pth", pth({"a": storage}, {"0": upper.tobytes()})).arrays["a"]
    np.testing.assert_array_equal(found, (upper.astype(np.uint32) << 16).view(np.float32))
    turned = pth(
        {"a": tensor("0", 3, (3,), (1,), kind="DoubleStorage")}, {"0": BIAS.astype(">f8").tobytes()}, byteorder=b"big"
    )
    assert_same(read(tmp_path, "y.pth", turned).arrays, {"a": BIAS})


WRAPPERS = {
    "a state dict": lambda s: s,
    "state_dict": lambda s: {"epoch": 3, "best": 0.5, "state_dict": s, "optimizer": {"state": {0: {"step": 7}}}},
    "model": lambda s: {"model": s, "args": [1, "a", None, True, (2,)]},
    "averaged weights": lambda s: {"state_dict": {"conv.weight": s["conv.bias"]}, "state_dict_ema": s},
    "model_ema": lambda s: {"model": {}, "model_ema": s},
    "two wrappers": lambda s: {"model": {"state_dict": s}},
    "DataParallel": lambda s: {"state_dict": {f"module.{name}": value for name, value in s.items()}},
    "a module in a module": lambda s: {f"module.model.{name}": value for name, value in s.items()},
    "torch.compile": lambda s: {f"_orig_mod.{name}": value for name, value in s.items()},
    "counters": lambda s: {**s, "bn.num_batches_tracked": s["conv.bias"]},
}


@pytest.mark.parametrize("name", WRAPPERS)
def test_wrappers_and_prefixes_are_removed(tmp_path, name):
    found = read(tmp_path, "x.pth", pth_of_arrays(ARRAYS, WRAPPERS[name]))
    assert_same(found.arrays, ARRAYS)


@pytest.mark.parametrize("prefix", ["module.", "model.", "state_dict.module."])
def test_prefixes_in_flat_files_are_removed(tmp_path, prefix):
    prefixed = {prefix + name: array for name, array in ARRAYS.items()}
    assert_same(read(tmp_path, "x.npz", npz(prefixed)).arrays, ARRAYS)
    mixed = {"module.a": WEIGHT, "b": BIAS}  # not a prefix: one name lacks it
    assert_same(read(tmp_path, "y.npz", npz(mixed)).arrays, mixed)


def test_a_compressed_pth_is_read(tmp_path):
    arrays = {**ARRAYS, "zeros": np.zeros((50, 60), np.float32)}
    with zipfile.ZipFile(io.BytesIO(pth_of_arrays(arrays))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    assert_same(read(tmp_path, "x.pth", zipped(members, zipfile.ZIP_DEFLATED)).arrays, arrays)


def test_a_safetensors_file_of_a_dtype_that_numpy_lacks_is_an_error(tmp_path):
    head = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [4], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + bytes(4))
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        read_weights(tmp_path / "x.safetensors")


# --- With PyTorch ---------------------------------------------------------------------------------------------


def torch_values(torch):
    base = torch.arange(24.0).reshape(4, 6)
    return {
        "plain": base,
        "view": base[1:3, ::2],
        "transposed": base.T,
        "expanded": base[:1].expand(3, 6),
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "double": base.double(),
        "bool": base > 5,
        "long": base.long(),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5),
        "parameter": torch.nn.Parameter(base + 1),
    }


def test_a_file_of_torch_holds_its_tensors(tmp_path):
    torch = pytest.importorskip("torch")
    values = torch_values(torch)
    torch.save(values, tmp_path / "x.pth")
    found = read_weights(tmp_path / "x.pth").arrays
    assert found.keys() == values.keys()
    for name, value in values.items():
        expected = value.detach().float().numpy() if name == "bfloat16" else value.detach().numpy()
        assert_same({name: found[name]}, {name: expected})


def test_a_checkpoint_of_a_training_script_in_torch_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    module = torch.nn.DataParallel(net)
    about = {"epoch": 3, "arch": "resnet50", "state_dict": module.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(about, tmp_path / "x.pth")
    expected = {name: v.numpy() for name, v in net.state_dict().items() if "num_batches" not in name}
    assert_same(read_weights(tmp_path / "x.pth").arrays, expected)


def test_modules_and_older_files_of_torch_are_refused(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Linear(2, 3)
    torch.save(net, tmp_path / "module.pth")
    with pytest.raises(
        CheckpointError, match=r"is refused: .*expected weights alone, as torch\.save\(model\.state_dict\(\)"
    ):
        read_weights(tmp_path / "module.pth")
    torch.save(net.state_dict(), tmp_path / "older.pth", _use_new_zipfile_serialization=False)
    with pytest.raises(CheckpointError, match=r"before 1\.6 wrote.*save it again"):
        read_weights(tmp_path / "older.pth")
