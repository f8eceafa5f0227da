"""DLPack: memory shared with NumPy, PyTorch and CuPy, in both directions; what cannot be shared is an error."""

import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest
from cupy_standin import installed

import minisk as ms

DTYPES = ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "bool"]


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


class Foreign:
    """An array of another library, over an array that speaks DLPack."""

    def __init__(self, array, device=None):
        self.array, self.device = array, device

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device or self.array.__dlpack_device__()


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_shares_memory_in_both_directions(dtype):
    ours = ms.tensor(np.arange(6).reshape(2, 3).astype(dtype))
    theirs = np.from_dlpack(ours)
    assert theirs.dtype == dtype and np.shares_memory(theirs, ours.data)
    back = ms.from_dlpack(Foreign(theirs))
    assert back.dtype == dtype and back.shape == (2, 3) and np.shares_memory(back.data, ours.data)


@pytest.mark.parametrize("dtype", DTYPES)
def test_pytorch_shares_memory_in_both_directions(torch, dtype):
    ours = ms.tensor(np.arange(6).reshape(2, 3).astype(dtype))
    theirs = torch.from_dlpack(ours)
    theirs[0, 0] = 1
    assert str(theirs.dtype) == f"torch.{dtype}" and ours[0, 0].item() == 1
    back = ms.from_dlpack(theirs)
    theirs[1, 2] = 0
    assert back.dtype == dtype and back[1, 2].item() == 0


@pytest.mark.parametrize("shape", [(), (0, 3), (1,), (2, 3, 4)])
def test_every_shape_passes(torch, shape):
    x = ms.rand(*shape)
    assert tuple(torch.from_dlpack(x).shape) == np.from_dlpack(x).shape == shape
    assert ms.from_dlpack(torch.zeros(shape)).shape == shape


def test_strides_are_kept(torch):
    x = ms.rand(4, 6)
    assert torch.from_dlpack(x.T).stride() == (1, 6)
    assert torch.from_dlpack(x.broadcast_to((2, 4, 6))).stride() == (0, 6, 1)
    assert ms.from_dlpack(torch.zeros(4, 6)[:, ::2]).data.strides == (24, 8)


def test_pytorch_takes_a_tensor_wherever_it_takes_an_array(torch):
    x = ms.tensor([1.0, 2.0])
    for convert in (torch.asarray, torch.tensor, lambda x: torch.from_dlpack(x, device="cpu", copy=True)):
        assert convert(x).tolist() == [1, 2]


def test_a_copy_can_be_asked_for_or_forbidden(torch):
    x = ms.tensor([1.0, 2.0])
    assert not np.shares_memory(np.from_dlpack(x, copy=True), x.data)
    theirs = torch.zeros(2)
    copied, shared = ms.from_dlpack(theirs, copy=True), ms.from_dlpack(theirs, copy=False)
    theirs += 5
    assert copied.data.tolist() == [0, 0] and shared.data.tolist() == [5, 5]


def test_from_dlpack_gives_a_leaf_without_gradient(torch):
    x = ms.from_dlpack(torch.ones(2))
    assert x.is_leaf and not x.requires_grad


def test_a_tensor_that_requires_gradients_is_not_exported(torch):
    x = ms.ones(2, requires_grad=True)
    for tensor in (x, x * 2):
        for take in (np.from_dlpack, torch.from_dlpack):
            with pytest.raises(BufferError, match=r"requires gradients can't be exported; take x\.detach\(\)"):
                take(tensor)
    assert np.shares_memory(np.from_dlpack(x.detach()), x.data)
    with pytest.raises(BufferError, match="require gradient"):  # PyTorch's own refusal
        ms.from_dlpack(torch.ones(2, requires_grad=True))


def test_negative_strides_are_imported_and_not_exported():
    assert ms.from_dlpack(Foreign(np.arange(3.0)[::-1])).data.tolist() == [2, 1, 0]
    x = ms.arange(6).reshape(2, 3)[:, ::-1]
    with pytest.raises(BufferError, match=r"strides \(24, -8\) bytes has a negative one; take ms\.tensor\(x\)"):
        np.from_dlpack(x)
    assert np.from_dlpack(x, copy=True).tolist() == np.from_dlpack(ms.tensor(x)).tolist() == [[2, 1, 0], [5, 4, 3]]


HOSTILE = """
import numpy as np, torch
import minisk as ms
x = ms.arange(6)
read_only = np.arange(3.0)
read_only.flags.writeable = False
for tensor in (x[::-1], x.to(dtype="float32")[::-2], ms.tensor([1.0], requires_grad=True), ms.Tensor(read_only)):
    for take in (torch.from_dlpack, np.from_dlpack, torch.asarray, lambda t: torch.from_dlpack(t, copy=True)):
        try:
            take(tensor)
        except (BufferError, RuntimeError, ValueError, TypeError) as error:
            print(type(error).__name__)
for source in (torch.ones(2, dtype=torch.bfloat16), torch.ones(2).to_sparse(), torch.ones(2, device="meta"),
               torch.ones(2, dtype=torch.complex64), torch.ones(2, dtype=torch.complex64).conj(), [1.0], None):
    try:
        ms.from_dlpack(source)
    except (BufferError, ValueError, ms.MiniskError) as error:  # ValueError: PyTorch on a meta tensor
        print(type(error).__name__)
print("alive")
"""


def test_nothing_ends_the_process(torch):
    """PyTorch 2.13 calls std::terminate for a NumPy array with negative strides."""
    done = subprocess.run([sys.executable, "-c", HOSTILE], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "alive"


def test_read_only_memory_stays_read_only():
    theirs = np.arange(3.0)
    theirs.flags.writeable = False
    x = ms.from_dlpack(Foreign(theirs))
    assert not x.data.flags.writeable and not np.from_dlpack(x).flags.writeable
    with pytest.raises(ms.ShapeError, match="read-only"):
        x[0] = 1
    assert theirs.tolist() == [0, 1, 2]


def test_a_dtype_without_a_real_numpy_dtype_is_named(torch):
    with pytest.raises(ms.DtypeError, match="complex64"):
        ms.from_dlpack(torch.ones(2, dtype=torch.complex64))
    with pytest.raises(ms.DtypeError, match="from_dlpack: Unsupported dtype"):
        ms.from_dlpack(torch.ones(2, dtype=torch.bfloat16))


def test_other_sources_and_devices_are_named():
    with pytest.raises(ms.DtypeError, match=r"from_dlpack: a list does not speak DLPack; ms\.tensor copies numbers"):
        ms.from_dlpack([1.0])
    with pytest.raises(ms.DeviceError, match=r"from_dlpack: device 8 of dlpack\.h is neither the CPU nor a CUDA GPU"):
        ms.from_dlpack(Foreign(np.ones(2), device=(8, 0)))  # kDLMetal


def test_memory_lives_as_long_as_either_side_needs_it(torch):
    array = np.ones(5)
    alive = weakref.ref(array)
    theirs = torch.from_dlpack(ms.Tensor(array))
    del array
    gc.collect()
    assert alive() is not None and theirs.sum() == 5
    del theirs
    gc.collect()
    assert alive() is None
    source = torch.arange(4.0)
    ours = ms.from_dlpack(source)
    del source
    gc.collect()
    assert ours.data.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("kind", [2, 13])
def test_cupy_shares_memory_in_both_directions(index, kind):
    with installed():
        import cupy

        x = ms.tensor([1.0, 2.0], device=f"cuda:{index}")
        assert x.__dlpack_device__() == (2, index)
        theirs = cupy.from_dlpack(x)
        theirs[0] = 7
        assert x.numpy().tolist() == [7, 2]
        cupy.cuda.Device(0).use()
        back = ms.from_dlpack(Foreign(theirs, device=(kind, index)))
        assert back.device == f"cuda:{index}"
        theirs[1] = 8
        assert (back + 1).numpy().tolist() == [8, 9]
        assert ms.from_dlpack(theirs, device="cpu").data.tolist() == [7, 8]


def test_without_a_gpu_memory_on_one_is_a_device_error():
    if ms.cuda_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ms.DeviceError, match="no CUDA driver"):
        ms.from_dlpack(Foreign(np.ones(2), device=(2, 0)))
