"""Bilinear resize agrees with PyTorch to the second gradient, and keeps infinities where they are read."""

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler
from hypothesis import strategies as st
from operations import assert_operation_agrees
from parity import Inputs, distinct, draws, inputs, shapes

import minisk as ms
from minisk import ops


@draws(inputs(shapes(min_dims=4, max_side=5)), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_interpolate_agrees_for_any_size(case, size):
    assert_operation_agrees("interpolate", case, size=size)


@pytest.mark.parametrize("size", [(14, 11), (1, 1), (7, 5), (13, 1), (2, 3), (3, 9)], ids=str)
def test_interpolate_agrees_on_the_borders_between_up_and_down(size):
    assert_operation_agrees("interpolate", Inputs(distinct([(2, 3, 7, 5)])), size=size)


def test_corners_stay_and_equal_sizes_copy():
    x = distinct([(1, 1, 5, 4)])[0]
    resized = ops.interpolate(ms.Tensor(x), (8, 9)).numpy()
    np.testing.assert_array_equal(resized[..., ::7, ::8], x[..., ::4, ::3])
    np.testing.assert_array_equal(ops.interpolate(ms.Tensor(x), (5, 4)).numpy(), x)


@needs_compiler
@pytest.mark.parametrize("mode", ["numpy", "cpu"])
def test_an_infinity_reaches_only_the_outputs_between_its_neighbours(mode):
    x = np.ones((1, 1, 5, 5), np.float32)
    x[0, 0, 2, 2] = np.inf
    with kernel_mode(mode):
        out = ops.interpolate(ms.Tensor(x), 9).numpy()[0, 0]
    # Inputs 1, 2, 3 lie at outputs 2, 4, 6: of these, the infinity reaches its own alone.
    assert np.isfinite(out[[2, 6]]).all() and np.isfinite(out[:, [2, 6]]).all()
    assert np.isposinf(out[3:6, 3:6]).all()
