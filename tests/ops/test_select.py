"""The select step of a selective-kernel unit agrees with its formula, written in PyTorch."""

from hypothesis import strategies as st
from operations import assert_operation_agrees
from parity import Inputs, draws, inputs, shapes


@draws(shapes(min_dims=4), st.booleans(), st.data())
def test_axpy_channel_scale_and_channel_dot_agree_with_their_formulas(shape, has_four_axes, data):
    scale = shape[:2] + (1, 1) * has_four_axes
    a, x, y = data.draw(inputs(scale, shape, shape)).arrays
    assert_operation_agrees("axpy", Inputs([a, x, y]))
    assert_operation_agrees("channel_scale", Inputs([a, x]))
    assert_operation_agrees("channel_dot", Inputs([x, y]))


@draws(shapes(min_dims=4), st.integers(1, 3), st.data())
def test_select_agrees_with_a_softmax_over_branches_and_their_weighted_sum(shape, m, data):
    case = data.draw(inputs((shape[0], m, shape[1]), *[shape] * m))
    assert_operation_agrees("select", Inputs(case.arrays))
