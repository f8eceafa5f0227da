"""Reductions agree with PyTorch over any axes of random shapes."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from operations import FUNCTIONS, assert_operation_agrees
from parity import Inputs, draws, inputs, shapes

import minisk as ms
from minisk import ops


@st.composite
def reductions(draw, min_side=1):
    """Draw inputs and settings: axis is one axis, several in any order and sign, or None."""
    case = draw(inputs(shapes(min_dims=1, min_side=min_side)))
    ndim = len(case.shape)
    several = st.lists(st.integers(0, ndim - 1), unique=True, min_size=1)
    signed = several.map(lambda axes: tuple(a - ndim if i % 2 else a for i, a in enumerate(axes)))
    axis = draw(st.none() | st.integers(-ndim, ndim - 1) | signed)
    return case, {"axis": axis, "keepdims": draw(st.booleans())}


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
@draws(reductions())
def test_reduction_agrees_over_any_axes(name, drawn):
    case, settings = drawn
    assert_operation_agrees(name, case, **settings)


@draws(reductions(min_side=0))
def test_sum_of_no_values_is_zero(drawn):
    case, settings = drawn
    assert_operation_agrees("sum", case, **settings)


@draws(reductions(), st.integers(0, 1))
def test_var_agrees_over_any_axes(drawn, ddof):
    case, settings = drawn
    count = int(np.ones(case.shape).sum(settings["axis"]).max())
    assert_operation_agrees("var", case, ddof=min(ddof, count - 1), **settings)


@pytest.mark.parametrize("name", ["max", "min"])
@draws(
    hnp.arrays(np.float64, shapes(min_dims=2, max_dims=3), elements=st.integers(0, 2)), st.sampled_from([0, 1, (0, 1)])
)
def test_tied_extremes_share_the_gradient_equally(name, x, axis):
    assert_operation_agrees(name, Inputs([x]), axis=axis)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_reduction_of_integers_has_the_values_of_the_same_floats(name, dtype):
    x = np.array([[3, 0, 7], [5, 250 if dtype == "uint8" else -4, 1]], dtype)
    found = FUNCTIONS[name](ms.tensor(x), axis=1).numpy()
    np.testing.assert_allclose(found, getattr(np, name)(x.astype("float64"), axis=1), rtol=1e-6)


@draws(hnp.arrays(np.float32, shapes(min_dims=1), elements=st.integers(0, 3)), st.data())
def test_argmax_is_the_first_of_equal_values_and_has_no_gradient(torch, x, data):
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1))
    found = ops.argmax(ms.Tensor(x, requires_grad=True), axis)
    assert found.dtype == np.int64 and not found.requires_grad
    np.testing.assert_array_equal(found.numpy(), torch.argmax(torch.tensor(x), axis).numpy())


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_mean_and_var_of_many_large_values_do_not_overflow(dtype):
    x = ms.tensor(np.tile([200.0, 300.0], 3000), dtype=dtype)
    assert x.mean().item() == pytest.approx(250, rel=1e-3)
    assert x.var().item() == pytest.approx(2500, rel=1e-3)
