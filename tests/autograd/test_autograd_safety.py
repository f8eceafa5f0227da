"""What the engine refuses: gradients that would be wrong are errors that name the operation."""

import gc
import weakref

import numpy as np
import pytest
from test_autograd import leaf

import minisk as ms
from minisk.errors import AnomalyError, DtypeError, GraphError, ShapeError


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
    assert y.node.ctx is None and y.node.saved == ()
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


def test_no_grad_is_left_again_even_by_an_exception():
    with pytest.raises(ZeroDivisionError), ms.no_grad():
        raise ZeroDivisionError
    assert ms.is_grad_enabled()


def test_anomaly_mode_names_the_operation_and_the_users_line():
    x = leaf(0.0)
    with ms.detect_anomaly(), pytest.raises(AnomalyError, match=r"'sqrt'.*test_autograd_safety\.py.*x\.sqrt\(\)"):
        y = x.sqrt()
        with np.errstate(divide="ignore"):
            (y * 2).backward()


def test_anomaly_mode_finds_a_raw_write_to_a_saved_array():
    x, w = leaf(1.0, 2.0), ms.tensor(np.array([3.0, 4.0]))
    with ms.detect_anomaly():
        y = (x * w).sum()
        w.data[0] = 9.0
        with pytest.raises(AnomalyError, match=r"'mul'.*test_autograd_safety\.py.*written to"):
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
def test_a_backward_that_returns_something_else_is_an_error(make, error, message):
    with pytest.raises(error, match=f"'faulty'.*{message}"):
        returning(make).apply(leaf(1.0, 2.0)).sum().backward()
