"""Operations that move values (reshape, pad, stack, …) and casts agree with PyTorch."""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from operations import assert_operation_agrees
from parity import assert_parity, distinct, draws, inputs, shapes

import minisk as ms
from minisk import ops


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
    assert_operation_agrees("transpose", case, axes=order)
    assert_parity(lambda x: x.transpose(*negative), lambda x: x.permute(order), case)
    assert_parity(lambda x: x.T, lambda x: x.permute(list(range(len(order)))[::-1]), case)


@draws(hnp.mutually_broadcastable_shapes(num_shapes=1, base_shape=(2, 1, 3), max_dims=4), st.data())
def test_broadcast_to_and_its_adjoint_sum_to_agree(drawn, data):
    (small,), big = drawn.input_shapes, drawn.result_shape
    assert_operation_agrees("broadcast_to", data.draw(inputs(small)), shape=big)
    assert_operation_agrees("sum_to", data.draw(inputs(big)), shape=small)


@draws(inputs(shapes(min_side=0)), st.data())
def test_expand_dims_and_squeeze_agree(case, data):
    ndim = len(case.shape)
    axis = data.draw(st.integers(-ndim - 1, ndim))
    assert_operation_agrees("expand_dims", case, axis=axis)
    assert_parity(lambda x: ops.squeeze(ops.expand_dims(x, axis), axis), lambda x: x * 1, case)
    assert_operation_agrees("squeeze", case)


@draws(inputs(shapes(min_dims=1, min_side=0)), st.data())
def test_split_agrees_for_sections_and_for_indices(case, data):
    axis = data.draw(st.integers(-len(case.shape), len(case.shape) - 1))
    size = case.shape[axis]
    divisors = [n for n in range(1, size + 1) if size % n == 0] or [1]
    how = data.draw(st.sampled_from(divisors) | st.lists(st.integers(0, size), max_size=3).map(sorted))
    assert_operation_agrees("split", case, indices_or_sections=how, axis=axis)


@draws(inputs(shapes(min_dims=1, max_dims=3, min_side=0)), st.data())
def test_pad_agrees_with_a_pair_for_each_axis(case, data):
    width = data.draw(st.lists(st.tuples(*[st.integers(0, 2)] * 2), min_size=len(case.shape), max_size=len(case.shape)))
    assert_operation_agrees("pad", case, pad_width=width)


@pytest.mark.parametrize(("width", "per_axis"), [(1, [1, 1]), ((2, 0), [2, 0]), ([(0, 3)], [0, 3])])
def test_pad_takes_one_number_or_one_pair_for_all_axes(torch, width, per_axis):
    theirs = torch.nn.functional.pad
    assert_parity(lambda x: ops.pad(x, width), lambda x: theirs(x, per_axis * 2), distinct([(2, 3)]))


@pytest.mark.parametrize("shape", [(), (2,)])
def test_pad_by_nothing_is_a_copy(shape):
    x = ms.ones(shape)
    ops.pad(x, 0).data[...] = 5
    assert (x.data == 1).all()


@draws(shapes(min_dims=1, max_dims=3), st.data())
def test_concatenate_agrees_for_parts_of_different_length(shape, data):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    lengths = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    position = axis % len(shape)
    parts = [(*shape[:position], n, *shape[position + 1 :]) for n in lengths]
    assert_operation_agrees("concatenate", data.draw(inputs(*parts)), axis=axis)


@draws(shapes(max_dims=3), st.integers(1, 3), st.data())
def test_stack_agrees_along_any_new_axis(shape, count, data):
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    assert_operation_agrees("stack", data.draw(inputs(*[shape] * count)), axis=axis)


@pytest.mark.parametrize("source", ["float16", "float32", "float64"])
@pytest.mark.parametrize("target", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    "cast",
    [ops.cast, lambda x, dtype: x.to(dtype=dtype), lambda x, dtype: x.to("cpu", dtype)],
    ids=["cast", "to", "to with a device"],
)
def test_cast_agrees_and_its_gradient_has_the_dtype_of_the_input(torch, cast, source, target):
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
def test_cast_to_integers_truncates_and_ends_the_graph(torch, target):
    x = np.array([0.0, 1.7, 2.2])
    found = ops.cast(ms.Tensor(x, requires_grad=True), target)
    assert found.dtype == target and not found.requires_grad
    np.testing.assert_array_equal(found.numpy(), torch.tensor(x).to(getattr(torch, target)).numpy())
