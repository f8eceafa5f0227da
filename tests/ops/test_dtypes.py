"""Dtypes: operands and settings in double precision do not widen a float16 or float32 Tensor."""

import numpy as np
import pytest

import minisk as ms
from minisk import ops

F64, F32, I64 = np.float64(2), np.float32(2), np.int64(2)
ROW = np.array([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "function",
    {
        "t + 1": lambda t: t + 1,
        "1.5 - t": lambda t: 1.5 - t,
        "True + t": lambda t: True + t,
        "1 / t": lambda t: 1 / t,
        "t / 3": lambda t: t / 3,
        "t ** 2": lambda t: t**2,
        "t ** -1": lambda t: t**-1,
        "t ** np.float64": lambda t: t**F64,
        "t ** np.int64": lambda t: t**I64,
        "2 ** t": lambda t: 2**t,
        "np.float64 ** t": lambda t: F64**t,
        "np.float64 * t": lambda t: F64 * t,
        "t * np.float64": lambda t: t * F64,
        "t * np.float32": lambda t: t * F32,
        "np.float32 * t": lambda t: F32 * t,
        "np.float64 - t": lambda t: F64 - t,
        "np.float64 / t": lambda t: F64 / t,
        "np.int64 * t": lambda t: I64 * t,
        "array + t": lambda t: ROW + t,
        "t * array": lambda t: t * ROW,
        "t * 0-d array": lambda t: t * np.array(2.0),
        "array @ t": lambda t: ROW @ t.T,
        "t @ array": lambda t: t @ ROW,
        "integer tensor * t": lambda t: ms.tensor([1, 2, 3]) * t,
        "t + bool tensor": lambda t: t + (t > 1),
        "maximum": lambda t: ops.maximum(t, F64),
        "minimum": lambda t: ops.minimum(F64, t),
        "where": lambda t: ops.where(t > 1, t, F64),
        "clip": lambda t: ops.clip(t, F64 / 2, F64),
        "mean and var": lambda t: t.mean() + t.var(ddof=1),
        "sum to ()": lambda t: t.sum() * F64,
        "element": lambda t: t[0, 0] * F64,
        "linear": lambda t: ops.linear(t, t * 0.5),
        "cross_entropy": lambda t: ops.cross_entropy(t, np.array([0, 2]), label_smoothing=np.float64(0.1)),
        "dropout": lambda t: ops.dropout(t, np.float64(0.25)),
        "batch_norm": lambda t: ops.batch_norm(
            t, t[0], t[1], ms.tensor(ROW), ms.tensor(ROW), True, np.float64(0.1), np.float64(1e-3)
        ),
        "batch_norm in evaluation": lambda t: ops.batch_norm(
            t, t[0], t[1], ms.tensor(ROW), ms.tensor(ROW), False, eps=np.float64(1e-3)
        ),
    }.items(),
    ids=lambda item: item[0],
)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_operand_or_setting_in_double_precision_keeps_the_dtype_of_the_tensor(function, dtype):
    t = ms.tensor([[1.25, 2.0, 0.5], [3.0, 0.25, 1.0]], requires_grad=True, dtype=dtype)
    y = function[1](t)
    assert y.dtype == dtype
    (dt,) = ms.grad(y.sum(), t, create_graph=True)
    (ddt,) = ms.grad((dt * dt).sum() + (t * t).sum(), t)
    assert dt.dtype == dtype and ddt.dtype == dtype


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (lambda t: t.__iadd__(F64), 3.0),
        (lambda t: t.__isub__(np.float64(0.5)), 0.5),
        (lambda t: t.__imul__(np.array([4.0])), 4.0),
        (lambda t: t.__itruediv__(2), 0.5),
    ],
)
def test_in_place_arithmetic_keeps_memory_and_dtype(update, expected):
    t = ms.tensor([1.0])
    memory = t.data
    assert update(t) is t and t.data is memory
    assert t.dtype == np.float32 and t.numpy().tolist() == [expected]


@pytest.mark.parametrize(
    "name", ["exp", "log", "sqrt", "abs", "tanh", "sigmoid", "relu", "softmax", "log_softmax", "mean", "var"]
)
def test_integers_are_converted_to_float32(name):
    x = ms.tensor([3, 1, 2])
    y = getattr(ops, name)(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), getattr(ops, name)(ms.tensor([3.0, 1.0, 2.0])).numpy())
