"""The stand-in for CuPy is as strict as CuPy: its names, arguments and errors are those recorded from the real CuPy."""

import re
import sys

import numpy as np
import pytest
from cupy_standin import installed
from cupy_standin.arrays import API, NAMES, checked, ndarray
from cupy_standin.ledger import Ledger

import minisk as ms
from minisk.backend import cuda_available, parse_device
from minisk.errors import DeviceError, DtypeError
from minisk.runtime import Kernel, gpu, launch

SCALE = '#include "common.cuh"\nextern "C" __global__ ANY_BLOCK void scale(const int n, const real factor, real* x)'
SCALE += "{ GRID_LOOP(int, i, n) x[i] *= factor; }"


@pytest.fixture
def ledger():
    with installed() as ledger:
        yield ledger


@pytest.fixture
def cp(ledger):
    return sys.modules["cupy"]


def test_the_stand_in_is_removed_after_its_context():
    was_there = cuda_available()
    with installed():
        assert parse_device("cuda") == ("cuda", 0)
        assert ms.tensor([1.0], device="cuda").device == "cuda:0"
        assert sys.modules["cupy"].ndarray is ndarray
    assert getattr(sys.modules.get("cupy"), "ndarray", None) is not ndarray
    assert cuda_available() == was_there


@pytest.mark.parametrize("expression", sorted(API["outcomes"]))
def test_the_stand_in_answers_as_cupy_does(cp, expression):
    x = cp.asarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    kind, text = API["outcomes"][expression]
    values = {"cp": cp, "np": np, "x": x, "scalar": checked}
    if kind == "value":
        assert repr(eval(expression, values)) == text
        return
    with pytest.raises(Exception) as caught:
        eval(expression, values)
    assert type(caught.value).__name__ == kind
    # CuPy's error names an argument of an inner function; NumPy prints shapes without spaces.
    expected, seen = (re.sub(r"^Argument '\w+'|\s", "", str(each)) for each in (text, caught.value))
    assert seen == expected


def test_stand_in_arrays_have_only_names_of_cupy_arrays():
    own = {name for name in vars(ndarray) if not name.startswith("_")}
    operators = {name for name in vars(ndarray) if re.fullmatch(r"__\w+__", name)} - set(dir(object))
    assert own | operators - {"__module__", "__slots__", "__weakref__"} <= NAMES["cupy.ndarray"].keys() | {"base"}


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, cp: x + np.ones(3),
        lambda x, cp: np.ones(3) * x,
        lambda x, cp: x.__iadd__(np.ones(3)),
        lambda x, cp: np.array(2.0) * x,
        lambda x, cp: cp.maximum(x, np.zeros(3)),
        lambda x, cp: np.maximum(x, np.zeros(3)),
        lambda x, cp: cp.where(x > 0, x, np.zeros(3)),
        lambda x, cp: cp.einsum("i,i->", x, np.ones(3)),
        lambda x, cp: cp.concatenate([x, np.ones(3)]),
        lambda x, cp: x + None,
        lambda x, cp: x == [1, 2, 3],
    ],
)
def test_stand_in_arrays_do_not_mix_with_numpy_arrays(cp, mix):
    with pytest.raises(TypeError):
        mix(cp.arange(3.0), cp)


def test_numpy_functions_on_stand_in_arrays_return_stand_in_arrays(cp, ledger):
    x = cp.arange(3.0)
    assert isinstance(np.exp(x), ndarray) and isinstance(np.sum(x), ndarray) and np.sum(x).shape == ()
    assert isinstance(x.sum(), ndarray) and isinstance(x[0], ndarray) and isinstance(np.float64(2) * x, ndarray)
    assert ledger.syncs == []


def test_device_memory_is_apart_from_host_memory(cp):
    host = np.zeros(3)
    x = cp.asarray(host)
    x += 1
    x.get()[:] = 5
    assert host.tolist() == [0, 0, 0] and x.tolist() == [1, 1, 1]
    view = x[1:]
    view[...] = 7
    assert x.tolist() == [1, 7, 7]


def test_empty_cache_frees_the_pool_of_the_gpu(ledger):
    ms.empty_cache()
    assert ledger.operations["free_all_blocks"] == 1


def test_uninitialised_memory_is_nan(cp):
    assert np.isnan(cp.empty((2, 2)).get()).all() and np.isnan(cp.empty_like(cp.zeros(3)).get()).all()


@pytest.mark.parametrize(
    "wait",
    [
        lambda x, cp: x.get(),
        lambda x, cp: x[0].item(),
        lambda x, cp: float(x[0]),
        lambda x, cp: int(x[0]),
        lambda x, cp: x[0] > 1 or None,
        lambda x, cp: repr(x),
        lambda x, cp: f"{x}",
        lambda x, cp: x.tolist(),
        lambda x, cp: cp.asnumpy(x),
        lambda x, cp: x[x > 1],
        lambda x, cp: x.__setitem__(x > 1, 0),
        lambda x, cp: cp.nonzero(x),
        lambda x, cp: cp.cuda.Device().synchronize(),
    ],
)
def test_the_ledger_records_each_line_that_waits_for_the_gpu(cp, ledger, wait):
    wait(cp.arange(3.0), cp)
    (where,) = ledger.syncs
    assert where.startswith("test_cupy_standin.py:")


def test_computing_never_waits_for_the_gpu(cp, ledger):
    x = cp.arange(12.0).reshape(3, 4)
    y = cp.where(x > 1, x @ x.T[:, :1], 0).sum(axis=0, keepdims=True)
    y[..., 0] = y.max() - x[cp.arange(1), 2]
    cp.add.at(y, (0, np.array([0, 0])), 1.0)
    assert ledger.syncs == []
    assert ledger.operations["matmul"] == 1 and ledger.operations["setitem"] == 1 and ledger.kernels == {}


def test_a_ledger_starts_empty():
    assert Ledger() == Ledger([], {}, {}, 0)


@pytest.fixture
def scale(cp):
    options = ("-std=c++17", "-DREAL=float", "-DINDEX=int")
    return cp.RawModule(code=SCALE, options=options).get_function("scale")


def test_a_kernel_runs_from_its_source_text(cp, ledger, scale):
    x = cp.arange(5, dtype=np.float32)
    scale((2,), (32,), (np.int32(5), np.float32(3), x))
    assert x.tolist() == [0, 3, 6, 9, 12] and ledger.kernels == {"scale": 1}


@pytest.mark.parametrize(
    ("grid", "block", "change", "message"),
    [
        ((1,), (32,), {0: 5}, "is a int, the kernel takes int32"),
        ((1,), (32,), {0: np.int64(5)}, "is a int64, the kernel takes int32"),
        ((1,), (32,), {1: 3.0}, "is a float, the kernel takes float32"),
        ([1], (32,), {}, "is no tuple"),
        (1, (32,), {}, "is no tuple"),
        ((1,), (2048,), {}, "must be ints from 1"),
        ((1, 65536), (32,), {}, "must be ints from 1"),
        ((np.int64(1),), (32,), {}, "must be ints from 1"),
        ((1,), (64, 32), {}, "block"),
    ],
)
def test_a_kernel_launch_refuses_arguments_that_a_gpu_would_misread(cp, scale, grid, block, change, message):
    args = [np.int32(5), np.float32(3), cp.zeros(5, np.float32)]
    for position, value in change.items():
        args[position] = value
    with pytest.raises(AssertionError, match=re.escape(message)):
        scale(grid, block, args)


def test_a_kernel_launch_refuses_arrays_of_another_library(cp, scale):
    for array in (cp.zeros(5), cp.zeros((5, 2), np.float32).T):
        with pytest.raises(AssertionError, match="argument x"):
            scale((1,), (32,), (np.int32(5), np.float32(3), array))
    with pytest.raises(TypeError, match="Unsupported type"):
        scale((1,), (32,), (np.int32(5), np.float32(3), np.zeros(5, np.float32)))


def test_a_kernel_is_compiled_again_after_its_header_changed(cp, tmp_path, monkeypatch):
    """CuPy keeps what it built by the source and the options; a header is in neither."""
    seen = []
    monkeypatch.setattr(cp, "RawModule", lambda code, options: seen.append((code, options)) or cp)
    monkeypatch.setattr(cp, "get_function", lambda name: None, raising=False)
    path = tmp_path / "scale.cu"
    path.write_text(SCALE)
    monkeypatch.setattr(gpu, "PACKAGE", tmp_path)
    for header in ("one", "one", "another"):
        (tmp_path / "common.cuh").write_text(header)
        Kernel(path, "scale").compiled("cuda:0")
    assert seen[0] == seen[1] != seen[2]


def test_minisk_launch_gives_every_scalar_its_c_type(cp, tmp_path, ledger):
    path = tmp_path / "scale.cu"
    path.write_text(SCALE)
    x = cp.arange(3, dtype=np.float64)
    launch(Kernel(path, "scale"), (1,), (32,), (3, 2, x))
    assert x.tolist() == [0, 2, 4] and ledger.kernels == {"scale": 1}
    with pytest.raises(DeviceError, match="cpu, cuda:0"):
        launch(Kernel("axpy.cu", "channel_scale"), (1,), (32,), (1, 3, np.zeros(1), x, x))
    with pytest.raises(DtypeError, match="int64"):
        launch(Kernel(path, "scale"), (1,), (32,), (3, 2, cp.arange(3)))
