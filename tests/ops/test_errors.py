"""Bad input raises the right class of error, in one line that names the operation and the values it got."""

from functools import partial

import numpy as np
import pytest

import minisk as ms
from minisk import ops
from minisk.errors import ArgumentError, DeviceError, DtypeError, MiniskError, ShapeError


def t(*shape, dtype="float32"):
    return ms.Tensor(np.ones(shape, dtype))


def running(channels):
    return t(channels), t(channels)


X4 = t(2, 4, 5, 6)
STATS_3, STATS_4 = running(3), running(4)
DOUBLE, WHOLE = "float64", "int64"
float_and_double = ["float32", "float64"]

BINARY = ["add", "sub", "mul", "div", "maximum", "minimum"]
BINARY += ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]

# name in the message, call, class, what the message must contain
CASES = [
    # broadcasting and dtypes of two operands
    *[(name, partial(getattr(ops, name), t(2, 3), t(2)), ShapeError, ["(2, 3)", "(2,)"]) for name in BINARY],
    *[(name, partial(getattr(ops, name), t(2), t(2, dtype=DOUBLE)), DtypeError, float_and_double) for name in BINARY],
    ("add", lambda: t(2, 3) + np.ones(2), ShapeError, ["(2, 3)", "(2,)"]),
    *[
        (name, partial(getattr(ops, name), t(2, 3) > 0, t(2) > 0), ShapeError, ["(2, 3)", "(2,)"])
        for name in ["logical_and", "logical_or"]
    ],
    ("logical_not", lambda: ~t(2), DtypeError, ["bool", "float32"]),
    ("where", lambda: ops.where(t(2, 3) > 0, t(2, 3), t(2)), ShapeError, ["(2, 3)", "(2,)"]),
    ("where", lambda: ops.where(t(4) > 0, t(2, 3), t(3)), ShapeError, ["(4,)", "(2, 3)"]),
    ("where", lambda: ops.where(t(2) > 0, t(2), t(2, dtype=DOUBLE)), DtypeError, float_and_double),
    ("clip", lambda: ops.clip(t(2), 2.0, 1.0), ShapeError, ["2.0", "1.0"]),
    ("pow", lambda: ops.pow(t(2), t(2)), DtypeError, ["number"]),
    ("pow", lambda: (-2.0) ** t(2), DtypeError, ["-2.0"]),
    ("pow", lambda: 0 ** t(2), DtypeError, ["0"]),
    ("add", lambda: t(3).__iadd__(t(2, 3)), ShapeError, ["(3,)", "(2, 3)"]),
    # reductions
    *[
        (name, partial(getattr(ops, name), t(2, 3), 2), ShapeError, ["axis 2", "(2, 3)"])
        for name in ["sum", "mean", "var", "max", "min", "argmax", "softmax", "log_softmax"]
    ],
    *[
        (name, partial(getattr(ops, name), t(2, 3), (1, -1)), ShapeError, ["(1, -1)", "twice"])
        for name in ["sum", "mean", "var", "max", "min"]
    ],
    *[
        (name, partial(getattr(ops, name), t(2, 0), 1), ShapeError, ["(2, 0)"])
        for name in ["mean", "var", "max", "min", "argmax", "softmax", "log_softmax"]
    ],
    ("var", lambda: ops.var(t(2, 1), 1, ddof=1), ShapeError, ["(2, 1)", "ddof = 1"]),
    # shapes
    ("reshape", lambda: ops.reshape(t(2, 3), 4, 2), ShapeError, ["(2, 3)", "(4, 2)"]),
    ("reshape", lambda: ops.reshape(t(2, 3), -1, 4), ShapeError, ["(2, 3)", "(-1, 4)"]),
    ("reshape", lambda: ops.reshape(t(2, 3), -1, -1), ShapeError, ["(2, 3)", "(-1, -1)"]),
    *[("reshape", lambda s=s: ops.reshape(t(2, 3), s), ShapeError, [repr(s)]) for s in [None, "6", 6.0, [[1], [2]]]],
    ("transpose", lambda: ops.transpose(t(2, 3), None), ShapeError, ["None"]),
    *[("sum", lambda a=a: ops.sum(t(2, 3), a), ShapeError, [repr(a)]) for a in [0.0, "0", [0.0], [None]]],
    ("transpose", lambda: ops.transpose(t(2, 3), 0), ShapeError, ["(0,)", "(2, 3)"]),
    ("transpose", lambda: ops.transpose(t(2, 3), 0, 0), ShapeError, ["(0, 0)", "(2, 3)"]),
    ("transpose", lambda: ops.transpose(t(2, 3), 0, -3), ShapeError, ["(0, -3)", "(2, 3)"]),
    ("broadcast_to", lambda: ops.broadcast_to(t(2, 3), (3, 2)), ShapeError, ["(2, 3)", "(3, 2)"]),
    ("broadcast_to", lambda: ops.broadcast_to(t(2, 3), (3,)), ShapeError, ["(2, 3)", "(3,)"]),
    ("sum_to", lambda: ops.sum_to(t(2, 3), (4,)), ShapeError, ["(2, 3)", "(4,)"]),
    ("sum_to", lambda: ops.sum_to(t(2, 6), (3, 4)), ShapeError, ["(2, 6)", "(3, 4)"]),
    ("sum_to", lambda: ops.sum_to(t(3), (1, 3)), ShapeError, ["(3,)", "(1, 3)"]),
    ("expand_dims", lambda: ops.expand_dims(t(2, 3), 3), ShapeError, ["axis 3", "(2, 3)"]),
    ("expand_dims", lambda: ops.expand_dims(t(2, 3), -4), ShapeError, ["axis -4", "(2, 3)"]),
    ("squeeze", lambda: ops.squeeze(t(1, 3), 1), ShapeError, ["axis 1", "(1, 3)"]),
    ("squeeze", lambda: ops.squeeze(t(1, 3), 2), ShapeError, ["axis 2", "(1, 3)"]),
    ("pad", lambda: ops.pad(t(2, 3), [(1, 1)] * 3), ShapeError, ["(2, 3)"]),
    ("pad", lambda: ops.pad(t(2, 3), (1, 2, 3)), ShapeError, ["(1, 2, 3)", "(2, 3)"]),
    ("pad", lambda: ops.pad(t(2, 3), -1), ShapeError, ["-1"]),
    ("pad", lambda: ops.pad(t(2, 3), 1.5), MiniskError, ["1.5"]),
    ("concatenate", lambda: ops.concatenate(None), DtypeError, ["NoneType"]),
    ("stack", lambda: ops.stack(3), DtypeError, ["int"]),
    ("concatenate", lambda: ops.concatenate([]), ShapeError, ["[]"]),
    ("concatenate", lambda: ops.concatenate([t(2, 3), t(2, 2)]), ShapeError, ["(2, 3)", "(2, 2)"]),
    ("concatenate", lambda: ops.concatenate([t(2, 3), t(2)]), ShapeError, ["(2, 3)", "(2,)"]),
    ("concatenate", lambda: ops.concatenate([t(2), t(2)], 1), ShapeError, ["axis 1", "(2,)"]),
    ("concatenate", lambda: ops.concatenate([t(), t()]), ShapeError, ["axis 0", "()"]),
    ("concatenate", lambda: ops.concatenate([t(2), t(2, dtype=DOUBLE)]), DtypeError, float_and_double),
    ("stack", lambda: ops.stack([]), ShapeError, ["[]"]),
    ("stack", lambda: ops.stack([t(2), t(3)]), ShapeError, ["(2,)", "(3,)"]),
    ("stack", lambda: ops.stack([t(2), t(2)], 2), ShapeError, ["axis 2", "(2,)"]),
    ("stack", lambda: ops.stack([t(2), t(2, dtype=DOUBLE)]), DtypeError, float_and_double),
    ("split", lambda: ops.split(t(2, 5), 2, 1), ShapeError, ["(2, 5)", "2"]),
    ("split", lambda: ops.split(t(2, 5), 0, 1), ShapeError, ["(2, 5)", "0"]),
    ("split", lambda: ops.split(t(2, 5), 1, 2), ShapeError, ["axis 2", "(2, 5)"]),
    ("cast", lambda: ops.cast(t(2), "complex64"), DtypeError, ["complex64"]),
    ("cast", lambda: ops.cast(t(2), "float99"), DtypeError, ["float99"]),
    ("cast", lambda: ops.to(t(2), dtype="complex64"), DtypeError, ["complex64"]),
    # indexing
    ("index", lambda: ops.get_item(t(2, 3), 2), ShapeError, ["2", "(2, 3)"]),
    ("index", lambda: ops.get_item(t(2, 3), (0, 0, 0)), ShapeError, ["(2, 3)"]),
    ("index", lambda: ops.get_item(t(2, 3), np.array([0, 5])), ShapeError, ["5", "(2, 3)"]),
    ("index", lambda: ops.get_item(t(2, 3), np.array([True, False, True])), ShapeError, ["(2, 3)"]),
    ("index", lambda: ops.get_item(t(2, 3), "a"), ShapeError, ["(2, 3)"]),
    ("index", lambda: ops.set_item(t(2, 3), 2, 0.0), ShapeError, ["2", "(2, 3)"]),
    ("index", lambda: ops.set_item(t(2, 3), 0, t(2)), ShapeError, ["(2, 3)"]),
    # matrix products
    ("matmul", lambda: t(2, 3) @ t(2, 3), ShapeError, ["(2, 3) @ (2, 3)"]),
    ("matmul", lambda: t(3) @ t(2), ShapeError, ["(3,) @ (2,)"]),
    ("matmul", lambda: t(2, 3) @ t(), ShapeError, ["(2, 3) @ ()"]),
    ("matmul", lambda: t(2, 3, 4) @ t(3, 4, 5), ShapeError, ["(2, 3, 4) @ (3, 4, 5)"]),
    ("matmul", lambda: t(3) @ t(3, dtype=DOUBLE), DtypeError, float_and_double),
    ("linear", lambda: ops.linear(t(2, 3), t(4, 2)), ShapeError, ["(2, 3)", "(4, 2)"]),
    ("linear", lambda: ops.linear(t(2, 3), t(3)), ShapeError, ["(2, 3)", "(3,)"]),
    ("linear", lambda: ops.linear(t(2, 3), t(4, 3), t(3)), ShapeError, ["(3,)", "4"]),
    ("linear", lambda: ops.linear(t(2, 3), t(4, 3), t(1, 4)), ShapeError, ["(1, 4)", "4"]),
    ("linear", lambda: ops.linear(t(2, 3), t(4, 3, dtype=DOUBLE)), DtypeError, float_and_double),
    ("linear", lambda: ops.linear(t(2, 3, dtype=WHOLE), t(4, 3)), DtypeError, ["int64"]),
    # convolution
    (
        "conv2d",
        lambda: ops.conv2d(t(1, 12, 5, 5), t(20, 4, 3, 3), groups=4),
        ShapeError,
        ["12 channels", "(20, 4, 3, 3)", "groups=4", "16"],
    ),
    (
        "conv2d_affine",
        lambda: ops.conv2d_affine(X4, t(3, 4, 1, 1), t(4), t(3)),
        ShapeError,
        ["scale (4,)", "(3, 4, 1, 1)"],
    ),
    ("conv2d_affine", lambda: ops.conv2d_affine(X4, t(3, 4, 1, 1), t(3), t(3, 1)), ShapeError, ["bias (3, 1)"]),
    (
        "conv2d_affine",
        lambda: ops.conv2d_affine(X4, t(3, 4, 1, 1), t(3, dtype=DOUBLE), t(3)),
        DtypeError,
        float_and_double,
    ),
    ("conv2d_affine", lambda: ops.conv2d_affine(X4, t(3, 3, 1, 1), t(3), t(3)), ShapeError, ["4 channels"]),
    ("conv2d", lambda: ops.conv2d(X4, t(5, 2, 3, 3), groups=2), ShapeError, ["(5, 2, 3, 3)", "groups=2"]),
    ("conv2d", lambda: ops.conv2d(X4, t(4, 4, 3, 3), groups=0), ShapeError, ["groups=0"]),
    ("conv2d", lambda: ops.conv2d(t(4, 5, 6), t(4, 4, 3, 3)), ShapeError, ["(4, 5, 6)"]),
    ("conv2d", lambda: ops.conv2d(X4, t(4, 4, 3)), ShapeError, ["(4, 4, 3)"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), t(4)), ShapeError, ["(4,)", "(3, 4, 1, 1)"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 6, 1)), ShapeError, ["(6, 1)", "(5, 6)"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 3, 3), dilation=3), ShapeError, ["(3, 3)", "(5, 6)"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 8), stride=4), ShapeError, ["(1, 8)", "(5, 6)"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), stride=0), ShapeError, ["stride", "0"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), stride=(1, 0)), ShapeError, ["stride", "(1, 0)"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), stride=(1, 1, 1)), ShapeError, ["stride", "(1, 1, 1)"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), stride=[[1], [1, 2]]), ShapeError, ["stride", "[[1], [1, 2]]"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), stride=()), ShapeError, ["stride", "()"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), stride=1.5), MiniskError, ["stride", "1.5"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), stride=(1.5, 1)), MiniskError, ["stride", "1.5"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), padding=-1), ShapeError, ["padding", "-1"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), padding="same"), MiniskError, ["padding", "same"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), dilation=0), ShapeError, ["dilation", "0"]),
    ("conv2d", lambda: ops.conv2d(t(2, 4, 0, 5), t(3, 4, 1, 1), padding=1), ShapeError, ["(2, 4, 0, 5)", "empty"]),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1, dtype=DOUBLE)), DtypeError, float_and_double),
    ("conv2d", lambda: ops.conv2d(X4, t(3, 4, 1, 1), t(3, dtype=DOUBLE)), DtypeError, float_and_double),
    ("conv2d", lambda: ops.conv2d(t(2, 4, 5, 6, dtype="uint8"), t(3, 4, 1, 1)), DtypeError, ["uint8"]),
    ("conv2d", lambda: ops.conv2d(X4.numpy(), t(3, 4, 1, 1)), DtypeError, ["ndarray"]),
    # pooling
    *[
        (name, partial(getattr(ops, name), *args), error, seen)
        for name in ["max_pool2d", "avg_pool2d"]
        for args, error, seen in [
            ((t(4, 5, 6), 2), ShapeError, ["(4, 5, 6)"]),
            ((X4, 6), ShapeError, ["(6, 6)", "(5, 6)"]),
            ((X4, (5, 9), 1, (0, 1)), ShapeError, ["(5, 9)", "(5, 6)", "(0, 1)"]),
            ((X4, 0), ShapeError, ["kernel_size", "0"]),
            ((X4, 2, 0), ShapeError, ["stride", "0"]),
            ((X4, (2, 2, 2)), ShapeError, ["kernel_size", "(2, 2, 2)"]),
            ((X4, 2, 2, -1), ShapeError, ["padding", "-1"]),
            ((X4, 3, 2, 2), ShapeError, ["padding", "(2, 2)", "(3, 3)"]),
            ((t(2, 4, 5, 6, dtype=WHOLE), 2), DtypeError, ["int64"]),
        ]
    ],
    ("max_pool2d", lambda: ops.max_pool2d(X4, 9, 2, ceil_mode=True), ShapeError, ["(9, 9)", "(5, 6)"]),
    ("global_avg_pool2d", lambda: ops.global_avg_pool2d(t(2, 3)), ShapeError, ["(2, 3)"]),
    ("global_avg_pool2d", lambda: ops.global_avg_pool2d(t(2, 3, 0, 4)), ShapeError, ["(2, 3, 0, 4)"]),
    ("global_avg_pool2d", lambda: ops.global_avg_pool2d(t(1, 1, 1, 1, dtype=WHOLE)), DtypeError, ["int64"]),
    # resize
    ("interpolate", lambda: ops.interpolate(t(4, 5, 6), 2), ShapeError, ["(4, 5, 6)", "(N, C, H, W)"]),
    ("interpolate", lambda: ops.interpolate(t(2, 4, 0, 6), 2), ShapeError, ["(2, 4, 0, 6)"]),
    ("interpolate", lambda: ops.interpolate(X4, 0), ShapeError, ["size", "0"]),
    ("interpolate", lambda: ops.interpolate(X4, (2, 2, 2)), ShapeError, ["size", "(2, 2, 2)"]),
    ("interpolate", lambda: ops.interpolate(X4, 2.5), ShapeError, ["size", "2.5"]),
    ("interpolate", lambda: ops.interpolate(t(2, 4, 5, 6, dtype=WHOLE), 2), DtypeError, ["int64"]),
    # batch norm: x, weight, bias, running mean, running variance
    ("batch_norm", lambda: ops.batch_norm(t(1, 3), t(3), t(3), *STATS_3, True), ShapeError, ["(1, 3)", "one value"]),
    ("batch_norm", lambda: ops.batch_norm(t(1, 3, 1, 1), t(3), t(3), *STATS_3, True), ShapeError, ["(1, 3, 1, 1)"]),
    ("batch_norm", lambda: ops.batch_norm(X4, t(3), t(4), *STATS_4, True), ShapeError, ["weight (3,)", "(2, 4, 5, 6)"]),
    ("batch_norm", lambda: ops.batch_norm(X4, t(4), t(1, 4), *STATS_4, True), ShapeError, ["bias (1, 4)", "(2, 4,"]),
    ("batch_norm", lambda: ops.batch_norm(X4, t(4), t(4), t(5), t(4), False), ShapeError, ["running_mean (5,)"]),
    ("batch_norm", lambda: ops.batch_norm(X4, t(4), t(4), t(4), t(1), False), ShapeError, ["running_var (1,)"]),
    ("batch_norm", lambda: ops.batch_norm(t(4), t(4), t(4), *STATS_4, False), ShapeError, ["(4,)"]),
    ("batch_norm", lambda: ops.batch_norm(X4, t(4, dtype=DOUBLE), t(4), *STATS_4, True), DtypeError, float_and_double),
    ("add_relu", lambda: ops.add_relu(X4, t(2, 4, 6, 5)), ShapeError, ["(2, 4, 5, 6)", "(2, 4, 6, 5)"]),
    ("add_relu", lambda: ops.add_relu(X4, t(2, 4, 5, 6, dtype=DOUBLE)), DtypeError, float_and_double),
    # softmax and cross entropy
    ("softmax", lambda: ops.softmax(t()), ShapeError, ["()"]),
    ("cross_entropy", lambda: ops.cross_entropy(t(2, 3), np.array([0, 3])), ShapeError, ["0 to 3", "0 to 2"]),
    ("cross_entropy", lambda: ops.cross_entropy(t(2, 3), np.array([-1, 0])), ShapeError, ["-1 to 0", "0 to 2"]),
    ("cross_entropy", lambda: ops.cross_entropy(t(2, 3), np.array([0])), ShapeError, ["(2, 3)", "(1,)"]),
    ("cross_entropy", lambda: ops.cross_entropy(t(3), np.array([0])), ShapeError, ["(3,)", "(1,)"]),
    ("cross_entropy", lambda: ops.cross_entropy(t(0, 3), np.array([], int)), ShapeError, ["(0, 3)"]),
    ("cross_entropy", lambda: ops.cross_entropy(t(2, 3), np.array([0.0, 1.0])), DtypeError, ["float64"]),
    ("cross_entropy", lambda: ops.cross_entropy(t(1, 3, dtype=WHOLE), np.array([0])), DtypeError, ["int64"]),
    ("cross_entropy", lambda: ops.cross_entropy(t(1, 3), np.array([0]), 1.5), ShapeError, ["1.5"]),
    ("cross_entropy", lambda: ops.cross_entropy(t(1, 3), np.array([0]), -0.1), ShapeError, ["-0.1"]),
    # the select step
    *[
        (name, partial(getattr(ops, name), a, *rest), ShapeError, [str(a.shape), "(2, 4, 5, 6)"])
        for name, rest in [("axpy", (X4, X4)), ("channel_scale", (X4,))]
        for a in [t(), t(4), t(1, 4), t(3, 4), t(2, 3), t(2, 4, 1), t(2, 4, 2, 1), t(2, 4, 1, 6), t(2, 4, 1, 1, 1)]
    ],
    ("axpy", lambda: ops.axpy(t(2, 4), X4, t(2, 4, 6, 5)), ShapeError, ["(2, 4, 6, 5)", "(2, 4, 5, 6)"]),
    ("axpy", lambda: ops.axpy(t(2, 4), X4, t(1, 4, 5, 6)), ShapeError, ["(1, 4, 5, 6)", "(2, 4, 5, 6)"]),
    ("axpy", lambda: ops.axpy(t(2, 4), t(2, 4, 5), t(2, 4, 5)), ShapeError, ["(2, 4, 5)"]),
    ("axpy", lambda: ops.axpy(t(2, 4, dtype=DOUBLE), X4, X4), DtypeError, float_and_double),
    ("axpy", lambda: ops.axpy(np.ones((2, 4)), X4, X4), DtypeError, ["ndarray"]),
    ("channel_scale", lambda: ops.channel_scale(t(2, 4), t(2, 4, 5)), ShapeError, ["(2, 4, 5)"]),
    ("channel_scale", lambda: ops.channel_scale(t(2, 4, dtype=DOUBLE), X4), DtypeError, float_and_double),
    ("select", lambda: ops.select(t(2, 1, 4), [X4, X4]), ShapeError, ["(2, 1, 4)", "(2, 4, 5, 6)"]),
    ("select", lambda: ops.select(t(2, 2, 4), [X4, t(2, 4, 6, 5)]), ShapeError, ["(2, 2, 4)", "(2, 4, 6, 5)"]),
    ("select", lambda: ops.select(t(2, 0, 4), []), ShapeError, ["(2, 0, 4)", "[]"]),
    ("select", lambda: ops.select(t(2, 1, 4), [X4.to(dtype=DOUBLE)]), DtypeError, float_and_double),
    ("channel_dot", lambda: ops.channel_dot(X4, t(2, 4, 5, 1)), ShapeError, ["(2, 4, 5, 6)", "(2, 4, 5, 1)"]),
    ("channel_dot", lambda: ops.channel_dot(t(2, 4), t(2, 4)), ShapeError, ["(2, 4)"]),
    ("channel_dot", lambda: ops.channel_dot(X4, X4.to(dtype=DOUBLE)), DtypeError, float_and_double),
    # dropout
    *[("dropout", lambda p=p: ops.dropout(t(2), p), ArgumentError, [str(p)]) for p in [1.0, -0.1, float("nan"), None]],
    ("dropout", lambda: ops.dropout(t(2), np.timedelta64(1, "s")), ArgumentError, ["timedelta64"]),
    ("dropout", lambda: ops.dropout(t(2), 10**400), ArgumentError, ["below 1"]),
    ("dropout", lambda: ops.dropout(t(2, dtype=WHOLE)), DtypeError, ["int64"]),
]

# These accept real numbers of any shape.
ACCEPT_EVERYTHING = {"abs", "exp", "log", "neg", "relu", "sigmoid", "sqrt", "tanh"}


@pytest.mark.parametrize(
    ("name", "call", "error", "seen"), CASES, ids=[f"{i}-{case[0]}-{case[3][0]}" for i, case in enumerate(CASES)]
)
def test_bad_input_raises_one_line_with_the_operation_and_the_values(name, call, error, seen):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, MiniskError)
    assert message.startswith(f"{name}:")
    assert "\n" not in message
    assert [value for value in seen if value not in message] == []


def test_table_covers_every_operation():
    named = {name for name, *_ in CASES} - {"index"} | {"get_item", "set_item", "to"}
    assert named | ACCEPT_EVERYTHING == set(ops.__all__)


@pytest.mark.parametrize("name", sorted(ACCEPT_EVERYTHING - {"log", "sqrt"}))
@pytest.mark.parametrize("shape", [(), (0,), (2, 0), (1, 1, 1, 1, 1, 2)])
def test_function_of_one_element_accepts_any_shape(name, shape):
    assert getattr(ops, name)(t(*shape)).shape == shape


@pytest.mark.parametrize(("name", "x"), [("log", 0.0), ("log", -1.0), ("sqrt", -1.0), ("div", 0.0)])
def test_value_outside_the_domain_warns_as_in_numpy(name, x):
    arguments = [1.0] * (name == "div") + [ms.tensor([x])]
    with pytest.warns(RuntimeWarning):
        y = getattr(ops, name)(*arguments)
    assert not np.isfinite(y.item())


@pytest.mark.parametrize("device", ["gpu", 5, b"cpu", ["cpu"]], ids=repr)
def test_unknown_device_raises_device_error(device):
    with pytest.raises(DeviceError, match=r"^device .* is not known"):
        ops.to(t(2), device)


@pytest.mark.parametrize("given", [None, 3, "x", [t(2), None], [1.0]], ids=repr)
def test_grad_of_what_is_no_tensor_names_the_argument(given):
    x = ms.tensor(1.0, requires_grad=True)
    with pytest.raises(DtypeError, match="grad: outputs: expected Tensors"):
        ms.grad(given, x)
    with pytest.raises(DtypeError, match="grad: inputs: expected Tensors"):
        ms.grad(x * 2, given)


def test_failed_batch_norm_does_not_change_the_running_statistics():
    mean, var = running(3)
    with pytest.raises(ShapeError):
        ops.batch_norm(t(1, 3), t(3), t(3), mean, var, True)
    assert mean.numpy().tolist() == var.numpy().tolist() == [1.0] * 3


@pytest.mark.parametrize("value", [np.int64(1), np.int32(2), (np.int64(1), 2), [2, 1], np.array([1, 2])], ids=repr)
def test_window_sizes_may_be_numpy_integers_or_lists(value):
    plain = tuple(int(v) for v in np.broadcast_to(value, 2))
    x = ms.Tensor(np.arange(60.0).reshape(1, 2, 5, 6))
    for call in [
        lambda size: ops.conv2d(x, t(2, 2, 2, 2, dtype=DOUBLE), stride=size, padding=size, dilation=size),
        lambda size: ops.max_pool2d(x, size, size),
        lambda size: ops.avg_pool2d(x, size, size),
    ]:
        np.testing.assert_array_equal(call(value).numpy(), call(plain).numpy())
