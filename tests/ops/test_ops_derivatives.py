"""Every differentiable operation against finite differences, and every operation keeps its dtype: no PyTorch needed."""

import numpy as np
import pytest
from operation_cases import CASES, arrays
from parity import LAYOUTS, as_list, assert_derivatives, gradients, leaves

import minisk as ms
from minisk import ops

WITHOUT_GRADIENT = {
    "argmax",
    "equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "not_equal",
    "set_item",
}


every_case = pytest.mark.parametrize(
    ("function", "inputs"), [case[1:] for case in CASES], ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)]
)


def test_table_covers_every_operation():
    assert {name for name, _, _ in CASES} | WITHOUT_GRADIENT == set(ops.__all__)
    assert not {name for name, _, _ in CASES} & WITHOUT_GRADIENT


@every_case
def test_first_and_second_derivative_agree_with_finite_differences(function, inputs):
    assert_derivatives(function, inputs, order=2)


@pytest.mark.parametrize("name", ["neg", "exp", "log", "sqrt", "abs", "tanh", "sigmoid", "relu"])
def test_tensor_without_axes_is_differentiated_twice(name):
    assert_derivatives(getattr(ops, name), [np.array(0.7)])


def test_checker_notices_a_wrong_first_and_a_wrong_second_derivative():
    class Cube(ms.Function):
        slope, slope_is_constant = 3.0, False

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @classmethod
        def backward(cls, ctx, dout):
            (x,) = ctx.saved_tensors
            return dout * (x.detach() if cls.slope_is_constant else x) ** 2 * cls.slope

    assert_derivatives(Cube.apply, arrays((2,)))
    for wrong in [{"slope": 3.0001}, {"slope_is_constant": True}]:
        with pytest.raises(AssertionError, match="finite difference"):
            assert_derivatives(type("Wrong", (Cube,), wrong).apply, arrays((2,)))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@every_case
def test_outputs_and_gradients_keep_the_dtype_and_come_near_double_precision(function, inputs, dtype):
    found, expected = (
        first_gradients(function, [a.astype(dtype).astype(d) for a in inputs]) for d in (dtype, "float64")
    )
    for result, reference in zip(found, expected, strict=True):
        assert result.dtype == dtype
        bound = 30 * np.finfo(dtype).eps * max(1, np.abs(reference.numpy()).max(initial=0))
        assert np.abs(result.numpy().astype("float64") - reference.numpy()).max(initial=0) <= bound


@pytest.mark.parametrize("layout", LAYOUTS)
@every_case
def test_layout_in_memory_does_not_matter(function, inputs, layout):
    found, expected = (first_gradients(function, [lay(a) for a in inputs]) for lay in (LAYOUTS[layout], np.copy))
    for result, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(result.numpy(), reference.numpy(), rtol=1e-12, atol=1e-13)


def first_gradients(function, inputs):
    """Outputs, then gradients recorded and not recorded, for incoming gradients that are short in binary."""
    xs = leaves(inputs)
    outs = as_list(function(*xs))
    gs = leaves((np.arange(out.size).reshape(out.shape) % 5 / 4 - 0.375).astype(inputs[0].dtype) for out in outs)
    recorded = gradients(outs, xs, gs, create_graph=True)
    return [*outs, *recorded, *gradients(outs, xs, gs)]


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
def test_number_array_or_setting_in_double_precision_leaves_a_narrow_tensor_narrow(function, dtype):
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
def test_integers_are_taken_as_float32(name):
    x = ms.tensor([3, 1, 2])
    y = getattr(ops, name)(x)
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y.numpy(), getattr(ops, name)(ms.tensor([3.0, 1.0, 2.0])).numpy())


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_mean_and_var_of_many_large_values_do_not_overflow_on_the_way(dtype):
    x = ms.tensor(np.tile([200.0, 300.0], 3000), dtype=dtype)
    assert x.mean().item() == pytest.approx(250, rel=1e-3)
    assert x.var().item() == pytest.approx(2500, rel=1e-3)
