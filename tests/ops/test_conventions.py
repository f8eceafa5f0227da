"""Conventions where mathematics leaves a choice: kinks, ties, NaN, and values far from zero."""

import numpy as np
import pytest
from operations import FUNCTIONS, assert_operation_agrees, counterparts
from parity import Inputs, assert_close, assert_parity

import minisk as ms
from minisk import ops

# relu and abs bend at 0, clip at its bounds ±1, and x equals x² at 0 and 1.
KINKS = np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("relu", {}),
        ("abs", {}),
        ("clip", {"min": -1.0, "max": 1.0}),
        ("clip", {"min": 0.0, "max": 0.0}),
        ("pow", {"exponent": 0}),
        ("pow", {"exponent": 1}),
        ("pow", {"exponent": 2}),
        ("pow", {"exponent": 3.0}),
    ],
    ids=["relu", "abs", "clip", "clip to a point", "x⁰", "x¹", "x²", "x³"],
)
def test_derivative_at_a_jump_agrees_with_pytorch(name, settings):
    assert_operation_agrees(name, Inputs([KINKS]), **settings)


@pytest.mark.parametrize("name", ["add_relu", "maximum", "minimum"])
def test_derivative_where_x_ties_with_its_square_agrees_with_pytorch(torch, name):
    ours, theirs = FUNCTIONS[name], counterparts(torch)[name]
    assert_parity(lambda x: ours(x, x * x), lambda x: theirs(x, x * x), [KINKS])


@pytest.mark.core
@pytest.mark.parametrize(
    ("operation", "x", "expected"),
    [
        (ops.relu, [0.0], [0.0]),
        (ops.abs, [0.0], [0.0]),
        (lambda x: ops.clip(x, -1, 1), [-1.0, 1.0, 1.5], [1.0, 1.0, 0.0]),
        (lambda x: ops.maximum(x, ms.tensor([2.0, 3.0])), [2.0, 2.0], [0.5, 0.0]),
        (lambda x: ops.minimum(x, ms.tensor([2.0, 3.0])), [2.0, 2.0], [0.5, 1.0]),
        (lambda x: ops.max(x), [1.0, 4.0, 4.0, 4.0, 4.0], [0.0, 0.25, 0.25, 0.25, 0.25]),
        (lambda x: ops.min(x), [1.0, 1.0, 4.0], [0.5, 0.5, 0.0]),
        (lambda x: ops.max_pool2d(x.reshape(1, 1, 2, 2), 2), [3.0, 7.0, 7.0, 7.0], [0.0, 1.0, 0.0, 0.0]),
    ],
    ids=["relu", "abs", "clip", "maximum", "minimum", "max", "min", "max_pool2d"],
)
def test_gradient_at_a_kink_or_tie_is_the_documented_one(operation, x, expected):
    x = ms.tensor(x, requires_grad=True)
    operation(x).sum().backward()
    assert x.grad.numpy().tolist() == expected


@pytest.mark.parametrize("name", ["relu", "abs", "tanh", "sigmoid", "exp", "max", "min"])
def test_nan_stays_nan_as_in_pytorch(torch, name):
    x = np.array([np.nan, 1.0, -1.0])
    expected = counterparts(torch)[name](torch.tensor(x)).numpy()
    np.testing.assert_allclose(FUNCTIONS[name](ms.tensor(x)).numpy(), expected, rtol=1e-12)


def test_operand_that_is_nan_gets_the_gradient():
    for operation in (
        ops.relu,
        ops.abs,
        lambda x: ops.maximum(x, 0.0),
        lambda x: ops.minimum(x, 0.0),
        ops.max,
        ops.min,
    ):
        x = ms.tensor([np.nan], requires_grad=True)
        operation(x).sum().backward()
        assert abs(x.grad.item()) == 1


def test_add_relu_of_scalars():
    x, y = (ms.tensor(value, requires_grad=True) for value in (1.5, 2.0))
    z = ops.add_relu(x, y)
    z.backward()
    assert (z.shape, z.item(), x.grad.item(), y.grad.item()) == ((), 3.5, 1, 1)


def test_maximum_with_nan_is_nan():
    np.testing.assert_array_equal(ops.maximum(ms.tensor([np.nan, 1.0, -1.0]), 0.0).numpy(), [np.nan, 1.0, 0.0])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("softmax", {}),
        ("log_softmax", {}),
        ("cross_entropy", {"target": np.array([0, 1])}),
        ("sigmoid", {}),
        ("tanh", {}),
    ],
    ids=["softmax", "log_softmax", "cross_entropy", "sigmoid", "tanh"],
)
def test_values_far_from_zero_neither_overflow_nor_warn(torch, name, settings, dtype):
    x = np.array([[1e4, -1e4, 88.5, 0.0], [-745.0, 710.0, 709.5, -1.0]])
    ours = ms.tensor(x, requires_grad=True, dtype=dtype)
    reference = torch.tensor(x.astype(dtype).astype("float64"), requires_grad=True)
    y, y_torch = FUNCTIONS[name](ours, **settings), counterparts(torch)[name](reference, **settings)
    y.sum().backward()
    y_torch.sum().backward()
    assert_close(y, y_torch.detach().numpy(), dtype)
    assert_close(ours.grad, reference.grad.numpy(), dtype)
