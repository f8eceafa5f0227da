"""Operations that move values (reshape, pad, stack, …), casts, indexing and matrix products agree with PyTorch."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from parity import assert_parity, distinct, distinct_inputs, draws, inputs, shapes

import minisk as ms
from minisk import ops

torch = pytest.importorskip("torch")
F = torch.nn.functional

# --- Shapes -------------------------------------------------------------------------------------------------


@draws(st.data(), shapes(min_side=0))
def test_reshape_agrees_in_both_spellings_and_infers_a_size(data, shape):
    new = data.draw(st.permutations(shape).map(lambda s: [s[0], s[1] * s[2]] if len(s) == 3 else s))
    inferred = [-1, *new[1:]] if new and 0 not in shape else new
    case = data.draw(inputs(shape))
    assert_parity(lambda x: ops.reshape(x, inferred), lambda x: x.reshape(new), case)
    assert_parity(lambda x: x.reshape(*inferred), lambda x: x.reshape(new), case)


@draws(inputs(shapes(min_side=0)), st.randoms(use_true_random=False))
def test_transpose_agrees_in_both_spellings(case, random):
    order = random.sample(range(len(case.shape)), len(case.shape))
    negative = [a - len(order) for a in order]
    assert_parity(lambda x: ops.transpose(x, order), lambda x: x.permute(order), case)
    assert_parity(lambda x: x.transpose(*negative), lambda x: x.permute(order), case)
    assert_parity(lambda x: x.T, lambda x: x.permute(list(range(len(order)))[::-1]), case)


@draws(hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=(2, 1, 3), max_dims=4), st.data())
def test_broadcast_to_and_its_adjoint_sum_to_agree(drawn, data):
    (small,), big = drawn.input_shapes, drawn.result_shape
    assert_parity(lambda x: ops.broadcast_to(x, big), lambda x: x.broadcast_to(big), data.draw(inputs(small)))
    assert_parity(lambda x: ops.sum_to(x, small), lambda x: x.sum_to_size(small), data.draw(inputs(big)))


@draws(inputs(shapes(min_side=0)), st.data())
def test_expand_dims_and_squeeze_agree(case, data):
    ndim = len(case.shape)
    axis = data.draw(st.integers(-ndim - 1, ndim))
    assert_parity(lambda x: ops.expand_dims(x, axis), lambda x: x.unsqueeze(axis), case)
    assert_parity(lambda x: ops.squeeze(ops.expand_dims(x, axis), axis), lambda x: x * 1, case)
    assert_parity(lambda x: ops.squeeze(x), lambda x: x.squeeze(), case)


@draws(inputs(shapes(min_dims=1, min_side=0)), st.data())
def test_split_agrees_for_sections_and_for_indices(case, data):
    axis = data.draw(st.integers(-len(case.shape), len(case.shape) - 1))
    size = case.shape[axis]
    divisors = [n for n in range(1, size + 1) if size % n == 0] or [1]
    how = data.draw(st.sampled_from(divisors) | st.lists(st.integers(0, size), max_size=3).map(sorted))
    assert_parity(lambda x: ops.split(x, how, axis), lambda x: torch.tensor_split(x, how, axis), case)


@draws(inputs(shapes(min_dims=1, max_dims=3, min_side=0)), st.data())
def test_pad_agrees_with_a_pair_for_each_axis(case, data):
    width = data.draw(st.lists(st.tuples(*[st.integers(0, 2)] * 2), min_size=len(case.shape), max_size=len(case.shape)))
    last_axis_first = [n for pair in reversed(width) for n in pair]
    assert_parity(lambda x: ops.pad(x, width), lambda x: F.pad(x, last_axis_first), case)


@pytest.mark.parametrize(("width", "per_axis"), [(1, [1, 1]), ((2, 0), [2, 0]), ([(0, 3)], [0, 3])])
def test_pad_takes_one_number_or_one_pair_for_all_axes(width, per_axis):
    assert_parity(lambda x: ops.pad(x, width), lambda x: F.pad(x, per_axis * 2), distinct([(2, 3)]))


@draws(shapes(min_dims=1, max_dims=3), st.data())
def test_concatenate_agrees_for_parts_of_different_length(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    position = axis % len(shape)
    parts = [(*shape[:position], n, *shape[position + 1 :]) for n in lengths]
    assert_parity(lambda *xs: ops.concatenate(xs, axis), lambda *xs: torch.cat(xs, axis), data.draw(inputs(*parts)))


@draws(shapes(max_dims=3), st.integers(1, 3), st.data())
def test_stack_agrees_along_any_new_axis(shape, count, data):
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    case = data.draw(inputs(*[shape] * count))
    assert_parity(lambda *xs: ops.stack(xs, axis), lambda *xs: torch.stack(xs, axis), case)


@pytest.mark.parametrize("source", ["float16", "float32", "float64"])
@pytest.mark.parametrize("target", ["float16", "float32", "float64"])
@pytest.mark.parametrize("cast", [ops.cast, lambda x, dtype: x.to(dtype=dtype), lambda x, dtype: x.to("cpu", dtype)])
def test_cast_agrees_and_its_gradient_has_the_dtype_of_the_input(cast, source, target):
    array, weight = (a.astype(dtype) for a, dtype in zip(distinct([(2, 3)] * 2), (source, target), strict=True))
    x, x_torch = ms.Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, y_torch = cast(x, target), x_torch.to(getattr(torch, target))
    w, w_torch = ms.tensor(weight), torch.tensor(weight)
    (dx,) = ms.grad(y * w * y, x, w, create_graph=True)
    (ddx,) = ms.grad(dx.sum(), x)
    (dx_torch,) = torch.autograd.grad(y_torch * w_torch * y_torch, x_torch, w_torch, create_graph=True)
    (ddx_torch,) = torch.autograd.grad(dx_torch.sum(), x_torch)
    for found, expected in [(y, y_torch), (dx, dx_torch), (ddx, ddx_torch)]:
        expected = expected.detach().numpy()
        assert found.dtype == expected.dtype
        coarsest = max(np.finfo(source).eps, np.finfo(target).eps)
        np.testing.assert_allclose(found.numpy(), expected, rtol=4 * coarsest, atol=4 * coarsest)


@pytest.mark.parametrize("target", ["int64", "uint8", "bool"])
def test_cast_to_integers_truncates_and_ends_the_graph(target):
    x = np.array([0.0, 1.7, 2.2])
    found = ops.cast(ms.Tensor(x, requires_grad=True), target)
    assert found.dtype == target and not found.requires_grad
    np.testing.assert_array_equal(found.numpy(), torch.tensor(x).to(getattr(torch, target)).numpy())


# --- Indexing -----------------------------------------------------------------------------------------------

some_shape = shapes(min_dims=1, max_dims=3)


def assert_index_parity(case, index):
    """PyTorch knows no negative steps, so NumPy says which element goes where, and PyTorch gathers them."""
    places = np.asarray(np.arange(int(np.prod(case.shape))).reshape(case.shape)[index]).copy()
    assert_parity(lambda x: ops.get_item(x, index), lambda x: x.reshape(-1)[torch.tensor(places)], case)


@draws(st.data(), shapes(min_dims=0, max_dims=3, min_side=0))
def test_slices_integers_new_axes_and_ellipsis_agree(data, shape):
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True, max_dims=6))
    assert_index_parity(data.draw(inputs(shape)), index)


@draws(st.data(), some_shape)
def test_integer_arrays_agree_and_repeated_elements_get_every_gradient(data, shape):
    index = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))
    assert_index_parity(data.draw(inputs(shape)), index)


@draws(st.data(), some_shape)
def test_boolean_arrays_agree(data, shape):
    mask_dims = data.draw(st.integers(1, len(shape)))
    mask = data.draw(hnp.arrays(bool, shape[:mask_dims]))
    assert_index_parity(data.draw(inputs(shape)), mask)


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
    assert_index_parity(distinct_inputs(((3, 4, 2),)), index)


def test_tensors_serve_as_indices_and_later_writes_to_them_do_not_reach_backward():
    x = ms.tensor([1.0, 2.0, 3.0], requires_grad=True)
    rows = np.array([0, 2, 2])
    index = ms.Tensor(rows)
    y = x[index]
    rows[:] = 1
    (y * ms.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert x.grad.numpy().tolist() == [1.0, 0.0, 110.0]
    assert x[ms.tensor([True, False, True])].numpy().tolist() == [1.0, 3.0]


@draws(st.data(), some_shape)
def test_set_item_writes_what_numpy_writes(data, shape):
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


# --- Matrix products ----------------------------------------------------------------------------------------


@st.composite
def matrix_products(draw):
    """(…, n, k) and (…, k, m), or a vector on either side; leading axes broadcast."""
    n, k, m = (draw(st.integers(1, 4)) for _ in range(3))
    leading = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3)).input_shapes
    left = draw(st.sampled_from([(k,), (*leading[0], n, k)]))
    right = draw(st.sampled_from([(k,), (*leading[1], k, m)]))
    return draw(inputs(left, right))


@draws(matrix_products())
def test_matmul_agrees_for_vectors_matrices_and_broadcast_stacks(case):
    assert_parity(ops.matmul, torch.matmul, case)


@draws(st.lists(st.integers(1, 3), max_size=3), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.data())
def test_linear_agrees_for_any_leading_axes(leading, features, outputs, has_bias, data):
    case = data.draw(inputs((*leading, features), (outputs, features), *[(outputs,)] * has_bias))
    assert_parity(ops.linear, F.linear, case)


@pytest.mark.parametrize("operand", [np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.25]]), np.array([1, 2, 3])], ids=str)
def test_array_on_either_side_of_matmul_is_a_constant(operand):
    constant = torch.tensor(operand, dtype=torch.float64)
    assert_parity(lambda x: x @ operand, lambda x: x @ constant, distinct([(2, 3)]))
    turned = constant.permute(*range(constant.ndim)[::-1])
    assert_parity(lambda x: operand.T @ x, lambda x: turned @ x, distinct([(3, 2)]))
