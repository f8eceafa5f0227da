"""Pooling agrees with PyTorch to the second gradient."""

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler
from hypothesis import strategies as st
from operations import assert_operation_agrees
from parity import Inputs, as_pair, distinct, draws, inputs, positive, shapes, window_sizes

import minisk as ms


@st.composite
def pools(draw):
    """Draw images and a window: windows overlap or leave gaps; padding is at most half the kernel."""
    kernel = draw(window_sizes(1, 4))
    padding = tuple(draw(st.integers(0, k // 2)) for k in as_pair(kernel))
    settings = {"kernel_size": kernel, "stride": draw(st.none() | window_sizes(1, 4)), "padding": padding}
    size = [max(1, k - 2 * p) + draw(st.integers(0, 4)) for k, p in zip(as_pair(kernel), padding, strict=True)]
    return draw(inputs((draw(st.integers(1, 2)), draw(st.integers(1, 2)), *size))), settings


@pytest.mark.parametrize("ceil_mode", [False, True])
@draws(pools())
def test_max_pool2d_agrees_for_any_window(ceil_mode, drawn):
    case, settings = drawn
    assert_operation_agrees("max_pool2d", case, ceil_mode=ceil_mode, **settings)


@pytest.mark.parametrize("count_include_pad", [True, False])
@draws(pools())
def test_avg_pool2d_agrees_for_any_window(count_include_pad, drawn):
    case, settings = drawn
    assert_operation_agrees("avg_pool2d", case, count_include_pad=count_include_pad, **settings)


@draws(inputs(shapes(min_dims=4, max_side=5)))
def test_global_avg_pool2d_agrees(case):
    assert_operation_agrees("global_avg_pool2d", case)


def test_first_of_equal_values_in_overlapping_windows_gets_the_gradient():
    x = np.array([[0, 2, 2, 1], [2, 2, 0, 2], [1, 2, 2, 2], [0, 0, 0, 0]], float).reshape(1, 1, 4, 4)
    assert_operation_agrees("max_pool2d", Inputs([x]), kernel_size=3, stride=1, padding=1)


def test_padding_is_never_the_maximum_of_a_window():
    x = -positive(distinct([(1, 2, 3, 3)])[0])
    assert_operation_agrees("max_pool2d", Inputs([x]), kernel_size=3, stride=2, padding=1)


@needs_compiler
@pytest.mark.parametrize("mode", ["numpy", "cpu"])
@pytest.mark.parametrize("settings", [{"stride": 1}, {"stride": 2}, {"stride": 3, "ceil_mode": True}])
def test_gradient_of_a_window_of_minus_infinity_stays_inside_the_image(mode, settings):
    with kernel_mode(mode):
        x = ms.tensor(np.full((1, 2, 5, 4), -np.inf), requires_grad=True)
        y = ms.ops.max_pool2d(x, 3, padding=1, **settings)
        (dx,) = ms.grad(y, x, ms.tensor(np.ones(y.shape)))
    assert dx.numpy().sum() == y.size


@pytest.mark.parametrize("operation", ["max_pool2d", "avg_pool2d"])
def test_image_without_pixels_is_refused(operation):
    with pytest.raises(ms.errors.ShapeError, match=f"{operation}: .*H, W of at least 1"):
        getattr(ms.ops, operation)(ms.zeros((2, 3, 2, 0)), 2, padding=1)
