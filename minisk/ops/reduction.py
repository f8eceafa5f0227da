"""Reductions along axes: sum, mean, var, max, min; and argmax, which has no gradient.

    y = Σ x        dx = dout, broadcast to the shape of x
    y = max x      dx = dout at the largest element, 0 elsewhere; several equal ones share it

In this file, `sum`, `max` and `min` are the operations, not Python's functions.

Common arguments:
    axis: one axis, several, or None for all; negative ones count from the end.
    keepdims: leave the reduced axes in the shape, with size 1.
"""

import math

from .. import kernels
from ..autograd import Axis, Context, Function, Tensor
from ..autograd.words import numpy_words
from ..backend import Array, array_module
from ..errors import ShapeError
from .dtypes import floating, rounded_once
from .masked import Masked
from .shape import broadcast_to, normalize_axes, reshape


class Sum(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, axes: tuple[int, ...], keepdims: bool) -> Array:
        ctx.shape, ctx.kept = x.shape, tuple(1 if i in axes else size for i, size in enumerate(x.shape))
        return kernels.total(x, axes, keepdims)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return broadcast_to(reshape(dout, ctx.kept), ctx.shape)


class Max(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, axes: tuple[int, ...], keepdims: bool) -> Array:
        return _extreme(ctx, x, x.max(axis=axes, keepdims=True), axes, keepdims)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        share = _share(reshape(dout, ctx.kept), ctx.is_taken.sum(axis=ctx.axes, keepdims=True))
        return Masked.apply(broadcast_to(share, ctx.shape), mask=ctx.is_taken)


class Min(Max):  # with the backward of Max
    @staticmethod
    def forward(ctx: Context, x: Array, *, axes: tuple[int, ...], keepdims: bool) -> Array:
        return _extreme(ctx, x, x.min(axis=axes, keepdims=True), axes, keepdims)


def _extreme(ctx: Context, x: Array, y: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Return y, the largest or smallest elements of x, with or without the reduced axes.

    ctx.is_taken says which elements of x share the gradient of y. A constant is right for a second derivative, because
    max and min are piecewise linear.
    """
    ctx.shape, ctx.kept, ctx.axes = x.shape, y.shape, axes
    ctx.is_taken = (x == y) | (x != x)  # x != x: NaN is the largest and the smallest
    return y if keepdims else y.squeeze(axes)


@rounded_once
def _share(dout: Tensor, ties: Array) -> Tensor:
    return dout / ties


@numpy_words
def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the sum of x, of any shape, over one axis, several, or all. Raises ShapeError."""
    return Sum.apply(x, axes=normalize_axes("sum", axis, x.shape), keepdims=keepdims)


@numpy_words
@rounded_once  # the sum may exceed 65504 although the mean does not
def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean of x, of any shape, over one axis, several, or all; integers become float32.

    Raises ShapeError for a wrong axis, or if there is no element to average.
    """
    count = _count("mean", x, axis)
    return sum(floating("mean", x), axis, keepdims) / count  # not · (1 / count): the mean of 41 ones is 1


@numpy_words
@rounded_once
def var(x: Tensor, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Return the variance, Σ (x - mean)² / (count - ddof), over one axis, several, or all.

    Args:
        x: any shape; integers become float32.
        axis, keepdims: as in all reductions.
        ddof: 0 for the biased variance (NumPy's default), 1 for the unbiased one (PyTorch's).

    Raises:
        ShapeError: for a wrong axis, or unless count > ddof.
    """
    count = _count("var", x, axis)
    if count <= ddof:
        raise ShapeError(f"var: {count} values along axis {axis} of {x.shape} are not more than ddof = {ddof}")
    centred = x - mean(x, axis, keepdims=True)
    return sum(centred * centred, axis, keepdims) / (count - ddof)


@numpy_words
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest elements of x, of any shape, over one axis, several, or all; tied ones share the gradient.

    Raises ShapeError for a wrong axis, or if there is no element.
    """
    _count("max", x, axis)
    return Max.apply(x, axes=normalize_axes("max", axis, x.shape), keepdims=keepdims)


@numpy_words
def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest elements of x, of any shape, over one axis, several, or all; tied ones share the gradient.

    Raises ShapeError for a wrong axis, or if there is no element.
    """
    _count("min", x, axis)
    return Min.apply(x, axes=normalize_axes("min", axis, x.shape), keepdims=keepdims)


@numpy_words
def argmax(x: Tensor, axis: int | None = None) -> Tensor:
    """Return the index of the first largest element along an axis, or in the flattened x; int64, no gradient.

    Raises ShapeError for a wrong axis, or if there is no element.
    """
    _count("argmax", x, axis)
    return Tensor(array_module(x.data).asarray(x.data.argmax(axis)))


def _count(operation: str, x: Tensor, axis: Axis) -> int:
    """Return how many elements are reduced to one. Raises ShapeError if that is 0."""
    count = math.prod(x.shape[a] for a in normalize_axes(operation, axis, x.shape))
    if count == 0:
        raise ShapeError(f"{operation}: no values along axis {axis} of shape {x.shape}")
    return count
