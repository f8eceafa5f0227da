"""Faults of kinds that the random programs must find: each replaces a part of minisk for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import minisk as ms
from minisk import kernels
from minisk.autograd import engine
from minisk.autograd.tensor import Tensor
from minisk.ops import activation, arithmetic

Fault = Callable[[], Any]


def wrong_sign_in_backward() -> Any:
    return patch.object(arithmetic.Neg, "backward", staticmethod(lambda ctx, dout: dout))


def dropped_term_in_second_derivative() -> Any:
    """Let tanh's backward use its output as a constant: right in first order."""

    def backward(ctx: Any, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        fixed = y.detach()
        return dout * (1.0 - fixed * fixed)

    return patch.object(activation.Tanh, "backward", staticmethod(backward))


def write_that_is_not_counted() -> Any:
    return patch.object(Tensor, "mark_written", lambda self: None)


def hook_that_is_called_twice() -> Any:
    take = engine._take

    def twice(pending: Any, complete: Any, slot: Any, hooks: Any) -> Any:
        return take(pending, complete, slot, tuple(hooks or ()) * 2)

    return patch.object(engine, "_take", twice)


def float16_rounded_twice() -> Any:
    """Let division round the reciprocal before it multiplies."""

    def forward(ctx: Any, a: Any, b: Any) -> Any:
        ctx.save_for_backward(a, b)
        return a * (1 / b)

    return patch.object(arithmetic.Div, "forward", staticmethod(forward))


def graph_recorded_under_no_grad() -> Any:
    return patch.object(ms, "no_grad", ms.enable_grad)


def dropped_broadcast() -> Any:
    """Let the gradient of an operand that was repeated along a new axis be its first part instead of the sum."""
    sum_to = arithmetic.sum_to

    def first(x: Tensor, shape: Any) -> Tensor:
        is_repeated = x.ndim > 0 and tuple(shape) == x.shape[1:] and x.shape[0] > 0
        return x[0] if is_repeated else sum_to(x, shape)

    return patch.object(arithmetic, "sum_to", first)


def softmax_along_the_wrong_axis() -> Any:
    """Let the fused backward of softmax, which runs without a graph, reduce along the last axis always."""
    grad = kernels.softmax_grad
    return patch.object(kernels, "softmax_grad", lambda dy, y, axis: grad(dy, y, y.ndim - 1))


FAULTS: list[Fault] = [
    wrong_sign_in_backward,
    dropped_term_in_second_derivative,
    write_that_is_not_counted,
    hook_that_is_called_twice,
    float16_rounded_twice,
    graph_recorded_under_no_grad,
    dropped_broadcast,
    softmax_along_the_wrong_axis,
]
