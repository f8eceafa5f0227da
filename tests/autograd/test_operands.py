"""Operands: whatever is no real number is refused, by every operation, with a sentence that names the operation."""

import copy
import decimal
import operator

import numpy as np
import pytest

import minisk as ms
from minisk import ops
from minisk.errors import DtypeError, MiniskError

NOT_NUMBERS = {
    "None": None,
    "text": "3",
    "bytes": b"3",
    "complex": 1j,
    "NumPy complex": np.complex64(1j),
    "complex array": np.array([1j, 2j]),
    "date": np.datetime64("2020"),
    "dates": np.array(["2020", "2021"], "M8[Y]"),
    "durations": np.array([1, 2], "m8[s]"),
    "objects": np.array([1, None], object),
    "texts": np.array(["1", "2"]),
    "structured array": np.zeros(2, [("a", "f4")]),
    "list with None": [1, None],
    "list with text": ["1", "2"],
    "extended precision": np.longdouble(2),
    "masked array": np.ma.array([1.0, 2.0], mask=[False, True]),
    "set": {1, 2},
    "decimal": decimal.Decimal(1),
    "function": len,
}


def set_item(x, value):
    x[0] = value


BINARY = ["add", "sub", "mul", "truediv", "matmul", "pow", "lt", "le", "gt", "ge", "eq", "ne"]
IN_PLACE = ["iadd", "isub", "imul", "itruediv"]
OPERATIONS = {
    **{name: getattr(operator, name) for name in BINARY + IN_PLACE},
    **{f"reflected {n}": lambda x, value, n=n: getattr(operator, n)(value, x) for n in ["add", "sub", "mul", "pow"]},
    "maximum": ops.maximum,
    "minimum": lambda x, value: ops.minimum(value, x),
    "where": lambda x, value: ops.where(x > 1, value, x),
    "condition of where": lambda x, value: ops.where(value, x, x),
    "set_item": set_item,
    "concatenate": lambda x, value: ops.concatenate([x, value]),
    "stack": lambda x, value: ops.stack([x, value]),
    "exp": lambda x, value: ops.exp(value),
    "relu": lambda x, value: ops.relu(value),
    "neg": lambda x, value: ops.neg(value),
    "linear": lambda x, value: ops.linear(x, value),
    "tensor": lambda x, value: ms.tensor(value),
    "Tensor": lambda x, value: ms.Tensor(value),
    "full": lambda x, value: ms.full((2,), value),
    "full_like": ms.full_like,
    "arange": lambda x, value: ms.arange(value, 5),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operand_that_is_no_real_number_is_refused(operation):
    for value in NOT_NUMBERS.values():
        for x in (ms.tensor([1.0, 2.0]), ms.tensor([1, 2])):
            with pytest.raises(DtypeError, match=": ") as caught:
                OPERATIONS[operation](x, value)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [v for v in NOT_NUMBERS.values() if v is not None], ids=repr)
def test_bound_of_clip_that_is_no_real_number_is_refused(value):
    for bounds in [(value, None), (None, value)]:
        with pytest.raises(DtypeError, match="clip: m"):
            ops.clip(ms.tensor([1.0, 2.0]), *bounds)


def test_exponent_of_several_numbers_is_refused():
    for exponent in ([1, 2], np.array([2.0])):
        with pytest.raises(DtypeError, match="pow: exponent has shape"):
            ms.tensor([1.0, 2.0]) ** exponent


@pytest.mark.parametrize("dtype", [complex, object, "U3", "no dtype", "M8[s]", np.longdouble])
def test_dtype_of_no_real_numbers_is_refused(dtype):
    x = ms.tensor([1.0])
    for make in (
        lambda: ms.tensor([1.0], dtype=dtype),
        lambda: ms.zeros(2, dtype=dtype),
        lambda: ms.ones_like(x, dtype=dtype),
        lambda: ms.arange(3, dtype=dtype),
        lambda: ms.rand(2, dtype=dtype),
        lambda: ms.full(2, 1.0, dtype=dtype),
        lambda: x.to(dtype=dtype),
    ):
        with pytest.raises(DtypeError):
            make()


@pytest.mark.parametrize("value", [300, -1, 2**70])
def test_integer_out_of_range_is_refused(value):
    x = ms.tensor(np.array([1, 2], np.uint8))
    for statement in (
        lambda: x + value,
        lambda: x < value,
        lambda: operator.iadd(x, value),
        lambda: set_item(x, value),
        lambda: set_item(x, [value]),
        lambda: ms.tensor([value], dtype="uint8"),
        lambda: ms.full(2, value, dtype="uint8"),
    ):
        with pytest.raises(MiniskError):
            statement()
    assert x.numpy().tolist() == [1, 2]


def test_difference_of_bool_tensors_is_refused():
    mask = ms.tensor([True, False])
    for call in (lambda: mask - mask, lambda: -mask, lambda: mask.__isub__(mask)):
        with pytest.raises(DtypeError, match="bool"):
            call()


@pytest.mark.parametrize("make", [ms.tensor, ms.Tensor, ms.nn.Parameter])
@pytest.mark.parametrize("size", [4, 100_000])  # below and above the size from which kernels are used
def test_big_endian_array_comes_to_native_order(make, size):
    swapped = np.arange(size).astype(">f4")
    x = make(swapped)
    x.requires_grad = True
    (x * swapped).relu().sum().backward()
    assert x.dtype.isnative and x.grad.dtype.isnative
    np.testing.assert_array_equal(x.grad.numpy(), np.arange(size, dtype=np.float32))


def test_from_numpy_refuses_a_big_endian_array_whose_memory_it_cannot_share():
    with pytest.raises(DtypeError, match="byte order"):
        ms.from_numpy(np.zeros(2, ">f4"))
    assert ms.zeros(2, dtype=">f4").dtype.isnative and ms.zeros(2).to(dtype=">f8").dtype.isnative


# Changes in place


@pytest.mark.parametrize("symbol", IN_PLACE)
@pytest.mark.parametrize("dtype", ["int64", "uint8", "int8", "bool"])
def test_fraction_in_place_on_integers_is_refused(symbol, dtype):
    x = ms.tensor(np.array([1, 0], dtype))
    for value in (0.5, np.array([0.5, 1.0]), ms.tensor(2.0)):
        with pytest.raises(DtypeError):
            getattr(operator, symbol)(x, value)
        with pytest.raises(DtypeError):
            set_item(x, value)
    assert x.numpy().tolist() == [1, 0]


def test_write_in_place_that_loses_nothing_is_done():
    x, mask, small = ms.tensor([1, 2]), ms.tensor([True, False]), ms.tensor(np.array([1, 2], np.int8))
    x += True
    x[0] = np.int8(7)
    mask[1] = 1
    small[:] = ms.tensor([-3, 4])
    assert (x.numpy().tolist(), mask.numpy().tolist(), small.numpy().tolist()) == ([7, 3], [True, True], [-3, 4])


def test_integer_tensor_cannot_require_gradients():
    x = ms.tensor([1, 2])
    for make in (lambda: setattr(x, "requires_grad", True), lambda: ms.nn.Parameter(np.array([1]))):
        with pytest.raises(DtypeError, match="int64"):
            make()
    x.requires_grad = False


@pytest.mark.parametrize(
    "index", [[0, 1], [[0, 1], [2, 0]], np.array([0, 1]), ([0, 1],), [True, False, True]], ids=repr
)
def test_index_changed_after_forward_does_not_change_the_gradient(index):
    index = copy.deepcopy(index)
    x = ms.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x[index]
    (expected,) = ms.grad(y.sum(), x, retain_graph=True)
    part = index
    while isinstance(part[0], list) or isinstance(part, tuple):
        part = part[0]
    part[0] = 1 - part[0] if not isinstance(part[0], bool) else not part[0]
    y.sum().backward()
    assert x.grad.numpy().tolist() == expected.numpy().tolist()
