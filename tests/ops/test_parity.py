"""Every case of the table agrees with PyTorch in each layout: values, first and second gradients.

Random shapes and settings are tried family by family, in the file of the family.
"""

import numpy as np
import pytest
from operation_cases import CASES, DIFFERENTIABLE
from operations import FUNCTIONS, assert_operation_agrees, counterparts
from parity import LAYOUTS, Inputs, as_list, assert_parity, distinct, positive

import minisk as ms

WITHOUT_COUNTERPART = {"cast", "dropout", "set_item", "to"}  # tested against known answers


def comparable(case):
    return case.expression is None and case.operation not in WITHOUT_COUNTERPART


def test_all_operations_but_four_have_a_counterpart(torch):
    assert FUNCTIONS.keys() - counterparts(torch).keys() == WITHOUT_COUNTERPART


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", [case for case in DIFFERENTIABLE if comparable(case)], ids=str)
def test_case_agrees_with_pytorch_up_to_the_second_gradient(case, layout):
    assert_operation_agrees(case.operation, Inputs(case.arrays(), layout), **case.settings)


@pytest.mark.parametrize("case", [case for case in CASES if comparable(case) and not case.is_differentiable], ids=str)
def test_case_without_a_gradient_has_the_values_of_pytorch(torch, case):
    found = as_list(case.function(*map(ms.tensor, case.arrays())))
    theirs = counterparts(torch)[case.operation]
    expected = as_list(theirs(*map(torch.tensor, case.arrays()), **case.settings))
    for ours, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours.numpy(), reference.numpy())


# --- Numbers and arrays as operands -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum"])
@pytest.mark.parametrize("number", [2, -1.5, np.float64(0.25), np.array([[1.0], [2.5]])], ids=str)
def test_number_or_array_on_either_side_is_a_constant(torch, name, number):
    case = Inputs(distinct([(2, 3)])).map(positive)
    constant = torch.tensor(number, dtype=torch.float64)
    minisk, theirs = FUNCTIONS[name], counterparts(torch)[name]
    assert_parity(lambda x: minisk(x, number), lambda x: theirs(x, constant), case)
    assert_parity(lambda x: minisk(number, x), lambda x: theirs(constant, x), case)


@pytest.mark.parametrize("operand", [np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.25]]), np.array([1, 2, 3])], ids=str)
def test_array_on_either_side_of_matmul_is_a_constant(torch, operand):
    constant = torch.tensor(operand, dtype=torch.float64)
    assert_parity(lambda x: x @ operand, lambda x: x @ constant, distinct([(2, 3)]))
    transposed = constant.permute(*range(constant.ndim)[::-1])
    assert_parity(lambda x: operand.T @ x, lambda x: transposed @ x, distinct([(3, 2)]))


# --- The same Tensor in two places --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape", "times", "settings"),
    [
        ("add", (2, 3), 2, {}),
        ("mul", (2, 3), 2, {}),
        ("maximum", (2, 3), 2, {}),
        ("where", (2, 3), 2, {"condition": np.eye(2, 3) > 0}),
        ("concatenate", (2, 3), 3, {}),
        ("stack", (2, 3), 2, {"axis": 1}),
        ("matmul", (3, 3), 2, {}),
        ("matmul", (4,), 2, {}),
        ("linear", (3, 2), 2, {}),
        ("conv2d", (2, 2, 3, 3), 2, {"padding": 1}),
        ("channel_scale", (2, 3, 1, 1), 2, {}),
        ("channel_dot", (2, 3, 2, 2), 2, {}),
    ],
)
def test_same_tensor_in_several_places_gets_every_gradient(torch, name, shape, times, settings):
    theirs = counterparts(torch)[name]
    assert_parity(
        lambda x: FUNCTIONS[name](*[x] * times, **settings),
        lambda x: theirs(*[x] * times, **settings),
        distinct([shape]),
    )


@pytest.mark.parametrize(
    ("expression", "shape"),
    [
        (lambda x: x - x * 2, (2, 3)),
        (lambda x: x / (x * x + 1), (2, 3)),
        (lambda x: x @ x.T, (3, 2)),
    ],
    ids=["x - 2x", "x / (x² + 1)", "x xᵀ"],
)
def test_expression_with_the_same_tensor_twice_agrees(expression, shape):
    assert_parity(expression, expression, distinct([shape]))


def test_axpy_of_x_with_a_scale_taken_from_x_agrees(torch):
    ours, theirs = FUNCTIONS["axpy"], counterparts(torch)["axpy"]
    assert_parity(lambda x: ours(x[:, :, 0, 0], x, x), lambda x: theirs(x[:, :, 0, 0], x, x), distinct([(2, 3, 2, 2)]))
