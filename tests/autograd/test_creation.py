"""Creation functions: shapes, dtypes, values, shared memory, and the seeded generator."""

import numpy as np
import pytest

import minisk as ms
from minisk.errors import DeviceError, DtypeError


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: ms.zeros(2, 3), np.zeros((2, 3), np.float32)),
        (lambda: ms.zeros((2, 3)), np.zeros((2, 3), np.float32)),
        (lambda: ms.zeros([2, 3], dtype=None), np.zeros((2, 3), np.float32)),
        (lambda: ms.zeros(), np.zeros((), np.float32)),
        (lambda: ms.ones(2, dtype="int64"), np.ones(2, np.int64)),
        (lambda: ms.full((2, 1), 1.5), np.full((2, 1), 1.5, np.float32)),
        (lambda: ms.full(2, 7), np.full(2, 7, np.int64)),
        (lambda: ms.full((2,), True), np.full(2, True)),
        (lambda: ms.full((2,), 3, dtype="float64"), np.full(2, 3.0)),
        (lambda: ms.arange(4), np.arange(4)),
        (lambda: ms.arange(1, 4), np.arange(1, 4)),
        (lambda: ms.arange(5, 0, -2), np.arange(5, 0, -2)),
        (lambda: ms.arange(0, 1, 0.25), np.arange(0, 1, 0.25, np.float32)),
        (lambda: ms.arange(3, dtype="float64"), np.arange(3.0)),
        (lambda: ms.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype=np.float32)),
        (lambda: ms.eye(2), np.eye(2, dtype=np.float32)),
        (lambda: ms.eye(2, 3, dtype="bool"), np.eye(2, 3, dtype=bool)),
        (lambda: ms.zeros_like(ms.ones(2, dtype="float64")), np.zeros(2)),
        (lambda: ms.ones_like(ms.zeros(2), dtype="int32"), np.ones(2, np.int32)),
        (lambda: ms.full_like(ms.zeros(2, dtype="int64"), 3), np.full(2, 3)),
        (lambda: ms.full_like(ms.zeros(2, dtype="int64"), 0.5, dtype="float32"), np.full(2, 0.5, np.float32)),
    ],
)
def test_values_shape_and_dtype_are_numpys_with_float32_as_the_default(made, expected):
    array = made().numpy()
    assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
    assert (array == expected).all()


def test_created_tensors_are_leaves_that_can_require_gradients():
    for x in (
        ms.zeros(2, requires_grad=True),
        ms.linspace(0, 1, 2, requires_grad=True),
        ms.randn(2, requires_grad=True),
    ):
        assert x.is_leaf and x.requires_grad
        (x * 3).sum().backward()
        assert x.grad.numpy().tolist() == [3, 3]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ms.zeros(2, dtype="complex64"), DtypeError, "complex64"),
        (lambda: ms.tensor([1.0], dtype="complex64"), DtypeError, "complex64"),
        (lambda: ms.tensor([1j]), DtypeError, "1j"),
        (lambda: ms.from_numpy(np.array(["a"])), DtypeError, "dtype <U1"),
        (lambda: ms.from_numpy([1.0]), DtypeError, "list"),
        (lambda: ms.arange(3, requires_grad=True), DtypeError, "int64"),
        (lambda: ms.ones(2, device="tpu"), DeviceError, "tpu"),
        (lambda: ms.rand(2, device="tpu"), DeviceError, "tpu"),
    ],
)
def test_a_dtype_or_device_that_does_not_exist_is_an_error(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("make", [ms.rand, ms.randn])
@pytest.mark.parametrize("dtype", [None, "float64", "float16"])
def test_random_tensors_repeat_after_the_same_seed(make, dtype):
    ms.manual_seed(7)
    first = make(3, 4, dtype=dtype)
    second = make((3, 4), dtype=dtype)
    ms.manual_seed(7)
    again = make(3, 4, dtype=dtype)
    assert first.shape == (3, 4) and first.dtype == (dtype or "float32")
    assert (first == again).numpy().all() and not (first == second).numpy().any()


def test_random_tensors_have_the_promised_distribution():
    ms.manual_seed(0)
    uniform, normal = ms.rand(10_000).numpy(), ms.randn(10_000).numpy()
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.01
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.03


def test_float64_is_drawn_with_all_its_digits():
    ms.manual_seed(0)
    drawn = ms.rand(8, dtype="float64").numpy()
    assert (drawn != drawn.astype(np.float32)).any()


def test_from_numpy_shares_memory_and_tensor_copies_it():
    array = np.zeros(2)
    shared, copied = ms.from_numpy(array), ms.tensor(array)
    array[0] = 5
    assert (shared.numpy().tolist(), copied.numpy().tolist()) == ([5, 0], [0, 0])


def test_from_dlpack_shares_memory_with_another_library(torch):
    theirs = torch.zeros(2, 3)
    ours = ms.from_dlpack(theirs)
    theirs[0, 0] = 4
    assert ours.shape == (2, 3) and ours.dtype == np.float32 and ours[0, 0].item() == 4
