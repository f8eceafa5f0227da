"""Hooks and retain_grad: each hook once, `.grad` after all of them, and their results checked."""

import numpy as np
import pytest

import minisk as ms
from minisk.errors import DtypeError, GraphError, ShapeError


def leaf():
    return ms.tensor([1.0, 2.0], requires_grad=True)


def test_retain_grad_called_twice_keeps_the_gradient_once():
    x = leaf()
    y = x * 3
    y.retain_grad()
    y.retain_grad()
    y.sum().backward()
    assert y.grad.numpy().tolist() == [1, 1]


@pytest.mark.parametrize("is_retained_first", [True, False])
def test_retained_gradient_is_the_one_after_all_hooks(is_retained_first):
    x = leaf()
    y = x * 3
    if is_retained_first:
        y.retain_grad()
    y.register_hook(lambda g: g * 10)
    if not is_retained_first:
        y.retain_grad()
    y.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 2)
    y.sum().backward()
    assert y.grad.numpy().tolist() == [11, 11]
    assert x.grad.numpy().tolist() == [66, 66]


def test_retain_grad_of_a_tensor_without_gradients_is_an_error():
    with pytest.raises(GraphError, match="retain_grad"):
        ms.tensor([1.0]).retain_grad()


@pytest.mark.parametrize("of_leaf", [True, False])
@pytest.mark.parametrize(
    ("result", "error", "seen"),
    [
        (lambda g: g.sum(), ShapeError, r"shape \(\) must match the tensor's, \(2,\)"),
        (lambda g: ms.tensor(np.ones((5, 2), np.float32)), ShapeError, r"\(5, 2\)"),
        (lambda g: ms.tensor(np.ones(2)), DtypeError, "dtype float64"),
        (lambda g: g.numpy(), DtypeError, "ndarray"),
        (lambda g: 2.0, DtypeError, "float"),
    ],
)
def test_result_of_a_hook_must_fit_the_gradient(result, error, seen, of_leaf):
    x = leaf()
    y = x * 3
    (x if of_leaf else y).register_hook(result)
    with pytest.raises(error, match=f"hook: .*{seen}"):
        y.sum().backward()
    assert x.grad is None


def test_remover_called_twice_removes_one_hook():
    x = leaf()

    def double(gradient):
        return gradient * 2

    remove, _ = x.register_hook(double), x.register_hook(double)
    remove()
    remove()
    (x * 1).sum().backward()
    assert x.grad.numpy().tolist() == [2, 2]


@pytest.mark.parametrize(
    ("gradient", "error"),
    [
        (ms.tensor([1.0]), ShapeError),
        (ms.tensor([1, 2]), DtypeError),
        (np.ones(2, np.float32), DtypeError),
        (1.0, DtypeError),
    ],
)
def test_assigned_gradient_must_fit_the_tensor(gradient, error):
    x = leaf()
    with pytest.raises(error, match=r"x.grad = value"):
        x.grad = gradient
    x.grad = ms.tensor([3.0, 4.0])
    x.grad = None


class Scale(ms.Function):
    @staticmethod
    def forward(ctx, x, bias=None):
        ctx.save_for_backward(x, bias)
        return 2 * x if bias is None else 2 * x + bias

    @staticmethod
    def backward(ctx, dout):
        _, bias = ctx.saved_tensors
        return 2 * dout, None if bias is None else dout


@pytest.mark.parametrize("is_checked", [True, False])
def test_saved_none_comes_back_as_none(is_checked):
    x = leaf()
    with ms.detect_anomaly() if is_checked else ms.enable_grad():
        y = Scale.apply(x, None)
        assert len(y.node.saved) == 1
        y.sum().backward()
    assert x.grad.numpy().tolist() == [2, 2]


def test_saved_number_is_refused():
    class Save(ms.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 2.0)
            return x

    with pytest.raises(DtypeError, match="save_for_backward of 'save': a float"):
        Save.apply(leaf())


def test_hook_of_a_leaf_runs_as_soon_as_its_last_gradient_has_come():
    early, late, order = leaf(), leaf(), []
    first = late * 2
    first.register_hook(lambda g: order.append("inner tensor below"))
    y = first * early + early  # two edges lead to early, and none of them through `first`
    early.register_hook(lambda g: order.append(("early", g.numpy().tolist())))
    late.register_hook(lambda g: order.append("late"))
    y.sum().backward()
    assert order == [("early", [3.0, 5.0]), "inner tensor below", "late"]


def test_hook_of_a_leaf_that_is_its_own_root_runs_once():
    x, calls = leaf(), []
    x.register_hook(lambda g: calls.append(g.numpy().tolist()))
    x.backward(ms.tensor([5.0, 6.0]))
    assert calls == [[5, 6]] and x.grad.numpy().tolist() == [5, 6]


def test_hook_of_a_leaf_runs_although_one_of_its_paths_gives_no_gradient():
    class Left(ms.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, dout):
            return dout, None

    x, other, calls = leaf(), leaf(), []
    x.register_hook(lambda g: calls.append(g.numpy().tolist()))
    (Left.apply(other, x) + x).sum().backward()
    assert calls == [[1, 1]]
