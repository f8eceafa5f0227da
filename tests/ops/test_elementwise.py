"""Element-wise functions, activations among them, agree with PyTorch for random shapes."""

import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from operations import assert_operation_agrees
from parity import broadcastable, draws, inputs, positive, shapes


@pytest.mark.parametrize("name", ["exp", "abs", "tanh", "sigmoid", "relu"])
@draws(inputs(shapes(min_side=0)))
def test_function_of_one_element_agrees(name, case):
    assert_operation_agrees(name, case)


@pytest.mark.parametrize("name", ["log", "sqrt"])
@draws(inputs(shapes()))
def test_function_of_a_positive_element_agrees(name, case):
    assert_operation_agrees(name, case.map(positive))


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@draws(broadcastable(2))
def test_extreme_of_two_elements_agrees_and_broadcasts(name, case):
    assert_operation_agrees(name, case)


@draws(inputs(shapes()), st.sampled_from([(-1.01, 1.03), (None, 0.52), (-0.51, None), (-9, 9), (0.7, 0.7), (3, 4)]))
def test_clip_agrees(case, bounds):
    low, high = bounds
    assert_operation_agrees("clip", case, min=low, max=high)


@draws(st.data())
def test_where_agrees_and_broadcasts(data):
    drawn = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
    case = data.draw(inputs(*drawn.input_shapes[:2]))
    condition = data.draw(hnp.arrays(bool, drawn.input_shapes[2]))
    assert_operation_agrees("where", case, condition=condition)
