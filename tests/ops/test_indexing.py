"""Reading and writing elements agrees with NumPy's indices; gradients agree with PyTorch."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from operations import assert_operation_agrees
from parity import distinct, distinct_inputs, draws, inputs, shapes

import minisk as ms
from minisk import ops

some_shape = shapes(min_dims=1, max_dims=3)


@draws(st.data(), shapes(min_dims=0, max_dims=3, min_side=0))
def test_slices_integers_new_axes_and_ellipsis_agree(data, shape):
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True, max_dims=6))
    assert_operation_agrees("get_item", data.draw(inputs(shape)), index=index)


@draws(st.data(), some_shape)
def test_integer_arrays_agree_and_repeated_elements_get_every_gradient(data, shape):
    index = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))
    assert_operation_agrees("get_item", data.draw(inputs(shape)), index=index)


@draws(st.data(), some_shape)
def test_boolean_arrays_agree(data, shape):
    mask_dims = data.draw(st.integers(1, len(shape)))
    mask = data.draw(hnp.arrays(bool, shape[:mask_dims]))
    assert_operation_agrees("get_item", data.draw(inputs(shape)), index=mask)


@pytest.mark.parametrize(
    "index",
    [
        np.s_[::-1],
        np.s_[::-2, 3:0:-1],
        np.s_[-1, ..., None],
        np.s_[[0, 0, 2, 0]],
        np.s_[[-1, 0], 1:3],
        np.s_[1:, [3, 3, -4]],
        np.s_[[[0, 1], [1, 1]], None, ..., 0],
        np.s_[None, :, [0, 2], [1, 1]],
        np.s_[[0, 1], :, [1, 1]],
        np.s_[np.array([True, False, True]), 1],
        np.s_[:, np.array([True, False, True, True]), ::-1],
        np.s_[np.array([True, False, True]), [1, 1]],
        np.s_[np.int64(2)],
        np.s_[np.uint8([2, 2]), np.int64(1)],
        np.s_[True],
        np.s_[()],
        np.s_[...],
        np.s_[1:1],
        np.s_[np.array([], int)],
    ],
    ids=str,
)
def test_index_of_several_kinds_agrees(index):
    assert_operation_agrees("get_item", distinct_inputs(((3, 4, 2),)), index=index)


def test_later_writes_to_a_tensor_used_as_an_index_do_not_reach_backward():
    x = ms.tensor([1.0, 2.0, 3.0], requires_grad=True)
    rows = np.array([0, 2, 2])
    index = ms.Tensor(rows)
    y = x[index]
    rows[:] = 1
    (y * ms.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.numpy().tolist() == [1.0, 0.0, 110.0]
    assert x[ms.tensor([True, False, True])].numpy().tolist() == [1.0, 3.0]


@draws(st.data(), some_shape)
def test_set_item_writes_the_elements_that_numpy_writes(data, shape):
    pairs = hnp.integer_array_indices(shape, result_shape=st.just((2,)))
    index = data.draw(hnp.basic_indices(shape) | hnp.arrays(bool, shape) | pairs)
    (expected,) = distinct([shape])
    x = ms.tensor(expected)
    value = np.arange(1.0, 1.0 + expected[index].size).reshape(expected[index].shape)
    expected[index] = value
    ops.set_item(x, index, ms.tensor(value))
    np.testing.assert_array_equal(x.numpy(), expected)
    x[index] = 7
    expected[index] = 7
    np.testing.assert_array_equal(x.numpy(), expected)
