"""Every differentiable operation against finite differences; every operation keeps dtype and result in any layout.

These tests need no PyTorch.
"""

import numpy as np
import pytest
from operation_cases import CASES, DIFFERENTIABLE, SMALL_CASES
from parity import LAYOUTS, as_list, assert_derivatives, distinct, gradients, leaves

import minisk as ms
from minisk import ops

every_case = pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
WITHOUT_GRADIENT = {"argmax", "equal", "greater", "greater_equal", "less", "less_equal", "not_equal", "set_item"}
WITHOUT_GRADIENT |= {"logical_and", "logical_not", "logical_or"}


def test_table_covers_every_operation():
    assert {case.operation for case in CASES} == set(ops.__all__)
    # Of each operation with a derivative, one case is small enough to be checked element by element.
    assert {case.operation for case in SMALL_CASES} == set(ops.__all__) - WITHOUT_GRADIENT


def test_names_of_cases_differ():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


@pytest.mark.core
@every_case
def test_first_and_second_derivative_agree_with_finite_differences(case):
    assert_derivatives(case.function, case.arrays(), order=2)


@pytest.mark.parametrize("name", ["neg", "exp", "log", "sqrt", "abs", "tanh", "sigmoid", "relu"])
def test_tensor_without_axes_is_differentiated_twice(name):
    assert_derivatives(getattr(ops, name), [np.array(0.7)])


@pytest.mark.core
def test_assert_derivatives_rejects_a_wrong_first_and_a_wrong_second_derivative():
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

    assert_derivatives(Cube.apply, distinct([(2,)]))
    for wrong in [{"slope": 3.0001}, {"slope_is_constant": True}]:
        with pytest.raises(AssertionError, match="finite difference"):
            assert_derivatives(type("Wrong", (Cube,), wrong).apply, distinct([(2,)]))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@every_case
def test_outputs_and_gradients_keep_the_dtype_and_are_close_to_double_precision(case, dtype):
    found, expected = (
        first_gradients(case, [a.astype(dtype).astype(d) for a in case.arrays()]) for d in (dtype, "float64")
    )
    for result, reference in zip(found, expected, strict=True):
        assert result.dtype == dtype
        bound = 30 * np.finfo(dtype).eps * max(1, np.abs(reference.numpy()).max(initial=0))
        assert np.abs(result.numpy().astype("float64") - reference.numpy()).max(initial=0) <= bound


@pytest.mark.parametrize("layout", LAYOUTS)
@every_case
def test_layout_in_memory_does_not_change_the_result(case, layout):
    found, expected = (
        first_gradients(case, [arrange(a) for a in case.arrays()]) for arrange in (LAYOUTS[layout], np.copy)
    )
    for result, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(result.numpy(), reference.numpy(), rtol=1e-12, atol=1e-13)


def first_gradients(case, inputs):
    """Return outputs, then gradients with a graph and without; the incoming gradients are exact in float16."""
    xs = leaves(inputs)
    outs = as_list(case.function(*xs))
    gs = leaves((np.arange(out.size).reshape(out.shape) % 5 / 4 - 0.375).astype(inputs[0].dtype) for out in outs)
    recorded = gradients(outs, xs, gs, create_graph=True)
    return [*outs, *recorded, *gradients(outs, xs, gs)]
