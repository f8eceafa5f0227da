"""The engine: what is recorded, how it is differentiated, and which mistakes are told."""

import gc
import weakref

import numpy as np
import pytest

import minisk as ms
from minisk import ops
from minisk.errors import AnomalyError, DeviceError, DtypeError, GraphError, ShapeError


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
    with pytest.raises(DtypeError, match="real dtype"):
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


def test_a_custom_function_has_second_derivatives():
    x = leaf(3.0)
    (first,) = ms.grad(Square.apply(Square.apply(x)), x, create_graph=True)
    (second,) = ms.grad(first, x)
    assert (first.item(), second.item()) == (4 * 27, 12 * 9)


def test_a_second_backward_names_the_operation_whose_graph_was_freed():
    x = leaf(3.0)
    y = (x * x).exp()
    y.backward()
    with pytest.raises(GraphError, match=r"'exp' was freed.*retain_graph"):
        y.backward()
    assert np.isfinite(x.grad.item())


def test_a_failed_second_backward_through_a_shared_part_adds_nothing():
    x = leaf(3.0)
    shared = x * x
    first, second = shared * 2, shared * 3 + x
    first.backward()
    before = x.grad.item()
    with pytest.raises(GraphError, match="'mul'"):
        second.backward()
    assert x.grad.item() == before


def test_backward_frees_saved_arrays_and_dropping_the_result_frees_the_rest():
    x = leaf(3.0)
    y = x.exp()
    saved = weakref.ref(y.node)
    y.backward()
    assert y.node.saved == ()
    del y
    gc.collect()
    assert saved() is None


def test_no_reference_cycle_keeps_a_dropped_graph_alive():
    x = leaf(3.0)
    gc.disable()
    try:
        y = x.exp().tanh()
        node = weakref.ref(y.node)
        del y
        assert node() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("make", [lambda x: x * 2, lambda x: (x * 2).sum() + 1])
def test_backward_on_a_result_of_no_grad_names_the_operation(make):
    x = leaf(3.0)
    with ms.no_grad():
        y = make(x)
    with pytest.raises(GraphError, match=r"computed by '(mul|add)' under no_grad"):
        y.backward()
    with pytest.raises(GraphError, match="under no_grad"):
        (y + 1).backward()


def test_backward_on_something_that_needs_no_gradient_says_so():
    with pytest.raises(GraphError, match="does not require gradients"):
        ms.tensor([1.0]).backward()


def test_backward_of_many_values_needs_a_gradient_of_their_shape():
    x = leaf(1.0, 2.0)
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        (x * x).backward()
    with pytest.raises(ShapeError, match=r"\(3,\).*\(2,\)"):
        (x * x).backward(ms.tensor(np.ones(3)))
    (x * x).backward(ms.tensor(np.array([1.0, 10.0])))
    assert x.grad.numpy().tolist() == [2, 40]


IN_PLACE = {
    "item": lambda x: x.__setitem__(0, 5.0),
    "slice": lambda x: x.__setitem__(slice(None), 5.0),
    "add": lambda x: x.__iadd__(1.0),
    "sub": lambda x: x.__isub__(1.0),
    "mul": lambda x: x.__imul__(2.0),
    "div": lambda x: x.__itruediv__(2.0),
}


@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE)
def test_a_saved_input_changed_in_place_is_an_error_that_names_the_operation(change):
    x, w = leaf(1.0, 2.0), ms.tensor(np.array([3.0, 4.0]))
    y = (x * w).sum()
    change(w)
    with pytest.raises(GraphError, match=r"backward of 'mul': saved array 1.*changed in place"):
        y.backward()


@pytest.mark.parametrize("look", [lambda t: t.reshape(2, 1), lambda t: t[:1], lambda t: t.detach(), lambda t: t.T])
def test_a_write_through_a_view_of_a_saved_array_is_found(look):
    x, w = leaf(1.0, 2.0), ms.tensor(np.array([3.0, 4.0]))
    y = (x * w).sum()
    view = look(w)
    view[0] = 9.0
    with pytest.raises(GraphError, match="changed in place"):
        y.backward()


def test_a_saved_output_changed_in_place_is_found():
    x = leaf(1.0, 2.0)
    y = x.exp()
    total = y.sum()
    with ms.no_grad():
        y += 1
    with pytest.raises(GraphError, match="backward of 'exp'"):
        total.backward()


def test_a_copy_may_be_changed_after_it_was_taken():
    x, w = leaf(1.0, 2.0), ms.tensor(np.array([3.0, 4.0]))
    y = (x * w).sum()
    copy = w * 1
    copy[0] = 9.0
    y.backward()
    assert x.grad.numpy().tolist() == [3, 4]


def test_an_index_array_changed_after_use_does_not_change_the_gradient():
    x, index = leaf(1.0, 2.0, 3.0), ms.tensor([0, 1])
    y = x[index].sum()
    index[0] = 2
    y.backward()
    assert x.grad.numpy().tolist() == [1, 1, 0]


def test_in_place_arithmetic_is_in_place_outside_a_graph_and_rebinds_inside():
    w = ms.tensor([1.0, 2.0])
    alias = w
    w += 1
    assert alias.numpy().tolist() == [2, 3]
    x = leaf(1.0, 2.0)
    y = x * 1
    before = y
    y += x
    assert y is not before
    y.sum().backward()
    assert x.grad.numpy().tolist() == [2, 2]


def test_in_place_writes_that_a_graph_would_miss_are_refused():
    x = leaf(1.0, 2.0)
    with pytest.raises(GraphError, match="leaf"):
        x += 1
    with pytest.raises(GraphError, match="in-place"):
        x[0] = 1.0
    buffer = ms.tensor(np.zeros(2))
    with pytest.raises(GraphError, match="in-place"):
        buffer[0] = x[0]
    with ms.no_grad():
        x += 1
        x[0] = 7.0
    assert x.numpy().tolist() == [7, 3]


def test_in_place_arithmetic_cannot_grow_a_tensor_or_change_its_dtype():
    x = ms.tensor([1.0])
    with pytest.raises(ShapeError, match=r"\(1,\).*\(3,\)"):
        x += np.ones(3, np.float32)
    x += np.float64(1)
    assert x.dtype == np.float32


def test_a_leaf_owns_its_gradient():
    x, y = leaf(1.0, 2.0), leaf(3.0, 4.0)
    (x + y).sum().backward()
    x.grad[0] = 100.0
    assert y.grad.numpy().tolist() == [1, 1]


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


def test_no_grad_is_left_again_even_by_an_exception():
    with pytest.raises(ZeroDivisionError), ms.no_grad():
        raise ZeroDivisionError
    assert ms.is_grad_enabled()


def test_anomaly_mode_names_the_operation_and_the_users_line():
    x = leaf(0.0)
    with ms.detect_anomaly(), pytest.raises(AnomalyError, match=r"'sqrt'.*test_autograd.py.*x\.sqrt\(\)"):
        y = x.sqrt()
        with np.errstate(divide="ignore"):
            (y * 2).backward()


def test_anomaly_mode_finds_a_raw_write_to_a_saved_array():
    x, w = leaf(1.0, 2.0), ms.tensor(np.array([3.0, 4.0]))
    with ms.detect_anomaly():
        y = (x * w).sum()
        w.data[0] = 9.0
        with pytest.raises(AnomalyError, match=r"'mul'.*written to"):
            y.backward()


class SavesIntermediate(ms.Function):
    @staticmethod
    def forward(ctx, x):
        y = x * x
        ctx.save_for_backward(y)
        return y + 1

    @staticmethod
    def backward(ctx, dout):
        (y,) = ctx.saved_tensors
        return 2 * y.sqrt() * dout


def test_a_saved_intermediate_is_fine_for_first_order_and_an_error_for_second():
    x = leaf(3.0)
    assert ms.grad(SavesIntermediate.apply(x), x)[0].item() == 6
    with pytest.raises(GraphError, match=r"'saves_intermediate'.*neither input nor output"):
        ms.grad(SavesIntermediate.apply(x), x, create_graph=True)


def returning(make):
    class Faulty(ms.Function):
        @staticmethod
        def forward(ctx, x):
            return x.copy()

        @staticmethod
        def backward(ctx, dout):
            return make(dout)

    return Faulty


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda g: (g, g), GraphError, "returned 2 gradients for 1 inputs"),
        (lambda g: g.reshape(1, 2), ShapeError, r"shape \(1, 2\), but the input has \(2,\)"),
        (lambda g: g.to(dtype="float32"), DtypeError, "float32, but the input has float64"),
        (lambda g: g.numpy(), DtypeError, "is a ndarray"),
    ],
)
def test_a_backward_that_returns_nonsense_is_told(make, error, message):
    with pytest.raises(error, match=f"'faulty'.*{message}"):
        returning(make).apply(leaf(1.0, 2.0)).sum().backward()


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


def test_every_operation_declared_on_tensor_is_attached():
    declared = [name for name in ops.methods.METHODS if not callable(getattr(ms.Tensor, name, None)) and name != "T"]
    assert declared == []
