"""The engine: which operations are recorded, and how they are differentiated."""

import contextlib

import numpy as np
import pytest

import minisk as ms
from minisk.errors import DeviceError, DtypeError, GraphError, ShapeError


def leaf(*values, dtype="float64"):
    return ms.tensor(np.array(values, dtype), requires_grad=True)


class Square(ms.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        return 2 * x * dout


class TwoOutputs(ms.Function):
    """(x, y) → (x·y, x + y)"""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y, x + y

    @staticmethod
    def backward(ctx, dproduct, dsum):
        x, y = ctx.saved_tensors
        return dproduct * y + dsum, dproduct * x + dsum


def test_a_tensor_keeps_an_arrays_dtype_and_takes_float32_from_python_floats():
    assert ms.tensor(np.zeros(2)).dtype == np.float64
    assert ms.tensor([1.0, 2.0]).dtype == np.float32
    assert ms.tensor([1, 2]).dtype == np.int64
    assert ms.tensor([True]).dtype == np.bool_
    assert ms.tensor([1, 2], dtype="float16").dtype == np.float16


def test_a_tensor_copies_its_data():
    array = np.zeros(2)
    x = ms.tensor(array)
    array[0] = 1
    assert x.numpy().tolist() == [0, 0]


def test_integers_cannot_require_gradients():
    with pytest.raises(DtypeError, match="int64"):
        ms.tensor([1, 2], requires_grad=True)


def test_strings_are_not_a_tensor():
    with pytest.raises(DtypeError, match="real numbers"):
        ms.tensor(["a"])


def test_an_unknown_or_missing_device_is_named():
    with pytest.raises(DeviceError, match="'tpu'"):
        ms.tensor([1.0], device="tpu")
    if not ms.cuda_available():
        with pytest.raises(DeviceError, match="'cuda:1'"):
            ms.tensor([1.0]).to("cuda:1")


def test_a_chain_of_200000_additions_differentiates_and_is_dropped_without_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(200_000):
        y = y + 1
    y.backward()
    assert x.grad.item() == 1
    for _ in range(200_000):
        y = y + x
    del y  # an undifferentiated chain must fall apart without recursion, too


def test_a_value_used_twice_gets_both_gradients():
    x = leaf(3.0)
    y = x * x
    (y * y + y).backward()
    assert x.grad.item() == 4 * 3**3 + 2 * 3


def test_gradients_accumulate_over_backwards_and_over_graphs():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    (2 * x).backward()
    assert x.grad.item() == 6 + 6 + 2


def test_every_order_of_derivative_of_a_polynomial():
    x = leaf(2.0)
    derivatives = [x**5]
    for _ in range(6):
        derivatives.append(ms.grad(derivatives[-1], x, create_graph=True)[0])
    assert [d.item() for d in derivatives] == [32, 80, 160, 240, 240, 120, 0]


def test_backward_with_create_graph_leaves_a_gradient_that_can_be_differentiated():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    (second,) = ms.grad(x.grad, x)
    assert second.item() == 12


def test_grad_leaves_dot_grad_alone_and_differentiates_with_respect_to_intermediates():
    x = leaf(3.0)
    y = x * x
    z = y * y
    dy, dx = ms.grad(z, [y, x])
    assert (dy.item(), dx.item()) == (18, 108)
    assert x.grad is None


class Reversed(ms.Function):
    """The identity, whose gradient is turned around."""

    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, dout):
        return -dout


@pytest.mark.parametrize(
    ("other", "first", "second"),
    [(lambda x: x, 6, 2), (lambda x: x.detach(), 3, 0), (Reversed.apply, 0, -2)],
    ids=["itself", "detached", "reversed"],
)
def test_two_inputs_that_share_an_array_keep_their_own_places_in_the_graph(other, first, second):
    # dx = o(x) + x·o'(x), where o' is 1, 0 or -1; differentiated once more, 2·o'(x).
    x = leaf(3.0)
    (dx,) = ms.grad(x * other(x), x, create_graph=True)
    (ddx,) = ms.grad(dx + 0 * x, x)
    assert (dx.item(), ddx.item()) == (first, second)


def test_grad_of_an_input_that_was_not_used_is_an_error_or_zeros():
    x, unused = leaf(1.0), leaf(1.0, 2.0)
    with pytest.raises(GraphError, match="input 1"):
        ms.grad(x * x, [x, unused])
    zeros = ms.grad(x * x, [x, unused], allow_unused=True)[1]
    assert zeros.numpy().tolist() == [0, 0]


def test_grad_takes_a_gradient_for_each_output():
    x = leaf(1.0, 2.0)
    (dx,) = ms.grad([x * x, x.sum()], x, [ms.tensor(np.array([1.0, 10.0])), None])
    assert dx.numpy().tolist() == [3, 41]


def test_grad_does_not_run_the_backward_of_nodes_no_input_lies_behind():
    calls = []

    class Noted(ms.Function):
        @staticmethod
        def forward(ctx, x):
            return x.copy()

        @staticmethod
        def backward(ctx, dout):
            calls.append(1)
            return dout

    x, other = leaf(1.0), leaf(1.0)
    ms.grad(x * 2 + Noted.apply(other), x)
    assert calls == []


def test_functions_with_two_outputs_get_zeros_for_the_unused_one():
    x, y = leaf(2.0), leaf(5.0)
    product, _ = TwoOutputs.apply(x, y)
    product.backward()
    assert (x.grad.item(), y.grad.item()) == (5, 2)
    x.grad = None
    product, total = TwoOutputs.apply(x, y)
    (product * 3 + total).backward()
    assert x.grad.item() == 16


@pytest.mark.parametrize("mode", [contextlib.nullcontext, ms.detect_anomaly])
def test_function_that_wants_no_zeros_gets_none_for_an_unused_output(mode):
    seen = []

    class Pair(ms.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x + 1, x + 2

        @staticmethod
        def backward(ctx, first, second):
            seen.append((first, second))
            return second

    x = leaf(2.0)
    with mode():
        _, second = Pair.apply(x)
        second.backward()
    assert seen[0][0] is None
    assert x.grad.item() == 1


def test_a_custom_function_has_second_derivatives():
    x = leaf(3.0)
    (first,) = ms.grad(Square.apply(Square.apply(x)), x, create_graph=True)
    (second,) = ms.grad(first, x)
    assert (first.item(), second.item()) == (4 * 27, 12 * 9)


def test_hooks_see_and_replace_the_whole_gradient():
    x = leaf(2.0)
    y = x * 3
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    y.register_hook(lambda g: g * 10)
    remove = x.register_hook(lambda g: g + 1)
    (y + y).backward(retain_graph=True)
    assert (seen, x.grad.item()) == ([2], 61)
    remove()
    x.grad = None
    (y * 1).backward()
    assert x.grad.item() == 30


def test_retain_grad_keeps_the_gradient_of_an_intermediate():
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    (y * y).backward()
    assert (y.grad.item(), x.grad.item()) == (12, 36)


def test_numbers_of_every_kind_mix_with_a_float32_tensor_and_leave_it_float32():
    x = ms.tensor([1.0, 2.0], requires_grad=True)
    numbers = [2, 2.5, True, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), np.ones(2)]
    for number in numbers:
        for result in (x + number, number + x, x * number, number * x, x - number, number - x, x / number, number / x):
            assert result.dtype == np.float32
            assert isinstance(result, ms.Tensor)
    assert (ms.tensor([1, 2]) * x).dtype == np.float32
    assert (ms.tensor([1, 2]) / 2).dtype == np.float32
    assert (ms.tensor([1, 2]) * 0.5).dtype == np.float32


def test_two_floating_dtypes_do_not_mix_silently():
    with pytest.raises(DtypeError, match=r"add.*float32 and float64"):
        ms.tensor([1.0]) + ms.tensor(np.ones(1))


def test_casting_sends_the_gradient_back_in_the_original_dtype():
    x = leaf(1.0, 2.0, dtype="float32")
    (x.to(dtype="float64") ** 2).sum().backward()
    assert x.grad.dtype == np.float32
    assert x.grad.numpy().tolist() == [2, 4]


def test_a_tensor_prints_converts_and_compares():
    x = ms.tensor([1.0, 2.0], requires_grad=True)
    assert repr(x) == "tensor([1., 2.], dtype=float32, requires_grad=True)"
    assert "grad_fn=mul" in repr(x * 2)
    assert (x == 2).numpy().tolist() == [False, True]
    assert (x < 2).numpy().tolist() == [True, False]
    assert len({x, x}) == 1
    assert (float(x[0]), int(x[1]), bool(x[0]), len(x)) == (1.0, 2, True, 2)
    assert [value.item() for value in x] == [1, 2]
    assert np.asarray(x).tolist() == [1, 2]
    with pytest.raises(ShapeError, match=r"one element, got shape \(2,\)"):
        x.item()
