"""A leaf's `.grad` has memory of its own. A gradient that nothing else refers to is not copied for that."""

import numpy as np
import pytest

import minisk as ms


def leaf(*values: float) -> ms.Tensor:
    return ms.tensor(np.array(values, np.float32), requires_grad=True)


def in_backward(result):
    """Return an operation whose backward returns result(ctx, dout)."""

    class Same(ms.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x + 0

        @staticmethod
        def backward(ctx, dout):
            return result(ctx, dout)

    return Same.apply


def shared(a: ms.Tensor, b: ms.Tensor) -> bool:
    return np.shares_memory(a.data, b.data)


def test_a_gradient_that_nothing_else_refers_to_is_not_copied():
    addresses = []

    def fresh(ctx, dout):
        result = 2 * dout
        addresses.append(result.data.ctypes.data)
        return result

    x = leaf(1, 2)
    in_backward(fresh)(x).sum().backward()
    assert [x.grad.data.ctypes.data] == addresses


def test_two_leaves_that_get_one_gradient_do_not_share_it():
    x, y = leaf(1, 2), leaf(3, 4)
    (x + y).sum().backward()
    assert not shared(x.grad, y.grad)


def test_the_gradient_to_start_from_stays_the_callers():
    x, start = leaf(1, 2), ms.tensor(np.ones(2, np.float32))
    x.backward(start)
    assert not shared(x.grad, start)
    y = leaf(1, 2)
    y.reshape(2, 1).backward(ms.Tensor(start.data.reshape(2, 1)))
    assert not shared(y.grad, start)


def test_what_a_hook_keeps_is_not_the_leafs():
    x, kept = leaf(1, 2), []
    x.register_hook(kept.append)
    (3 * x).sum().backward()
    assert not shared(x.grad, kept[0])


def test_what_backward_keeps_or_saved_is_not_the_leafs():
    x, kept = leaf(1, 2), ms.tensor(np.ones(2, np.float32))
    in_backward(lambda ctx, dout: kept)(x).sum().backward()
    assert not shared(x.grad, kept)
    y = leaf(1, 2)
    in_backward(lambda ctx, dout: ctx.saved_tensors[0])(y).sum().backward()
    assert not shared(y.grad, y)


@pytest.mark.parametrize("part", [np.s_[:2], np.s_[::2]], ids=["a half", "every second"])
def test_a_part_of_an_array_is_copied(part):
    x = leaf(1, 2)
    in_backward(lambda ctx, dout: ms.Tensor(np.ones(4, np.float32)[part]))(x).sum().backward()
    assert x.grad.data.flags.owndata


def test_a_gradient_in_another_order_is_copied_to_rows():
    x = ms.tensor(np.ones((2, 3), np.float32), requires_grad=True)
    in_backward(lambda ctx, dout: ms.Tensor(np.ones((3, 2), np.float32).T))(x).sum().backward()
    assert x.grad.data.flags.c_contiguous
