"""How bugs are planted: a function with a mistake in its gradient, and the verdict it must get.

The lists are in planted_values.py (wrong values) and planted_structure.py (everything else).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from parity import distinct, positive

import minisk as ms
from minisk import ops
from minisk.gradient_check import Verdict


@dataclass(frozen=True)
class Planted:
    """A bug, and what gradcheck must report.

    name: of the bug; function, arrays: what to check; verdict: the expected one; input: the name of the wrong input;
    element: the index of its wrong element, if there is only one; order: of the derivative to check.
    """

    name: str
    function: Any
    arrays: list[np.ndarray]
    verdict: Verdict = Verdict.WRONG
    input: str | None = None
    element: tuple[int, ...] | None = None
    order: int = 1


def sizes(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Return an array per shape, without ties."""
    return distinct(list(shapes))


def above_zero(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Return an array of positive elements per shape."""
    return [positive(a) for a in sizes(*shapes)]


def true_gradients(function: Any, arrays: Any, dout: np.ndarray) -> list[np.ndarray]:
    """Return the gradient of Σ dout · function(*arrays) with respect to each array."""
    with ms.enable_grad():
        xs = [ms.Tensor(np.array(a), requires_grad=True) for a in arrays]
        out = function(*xs)
        return [g.numpy().copy() for g in ms.grad(out, xs, ms.Tensor(np.array(dout)), allow_unused=True)]


def mismatched(forward: Any, backward: Any = None, spoil: Any = None) -> type[ms.Function]:
    """Return a Function with the values of `forward` and the gradient of another function.

    forward: a function of Tensors; backward: a function whose gradient is used, default: forward;
    spoil: a function that changes the list of gradients in place, or returns another list.
    """

    class Mismatched(ms.Function):
        @staticmethod
        def forward(ctx, *arrays):
            ctx.arrays = arrays
            return forward(*(ms.Tensor(a) for a in arrays)).numpy().copy()

        @staticmethod
        def backward(ctx, dout):
            gradients = true_gradients(backward or forward, ctx.arrays, dout.numpy())
            if spoil is not None:
                gradients = spoil(gradients) or gradients
            return tuple(ms.Tensor(gradient) for gradient in gradients)

    return Mismatched


def scaled(i: int, factor: float, at: Any = ...) -> Callable[[list[np.ndarray]], None]:
    """Return a `spoil` that multiplies gradient i, or its elements at an index, by a factor."""

    def spoil(gradients):
        gradients[i][at] *= factor

    return spoil


def batch_norm(x, weight, bias):
    """Return batch norm in training mode; the running statistics start at 0 and are dropped."""
    mean, var = ms.Tensor(np.zeros(x.shape[1])), ms.Tensor(np.zeros(x.shape[1]))
    return ops.batch_norm(x, weight, bias, mean, var, training=True, eps=1e-3)
