"""Reductions over axes: sum, mean, max, min, var; argmax, which has no gradient."""

import math

import numpy as np

from ..cuda import kernels
from ..device import Array, array_module
from ..errors import ShapeError
from ..function import Function
from ..tensor import Axis, Tensor
from .operands import floating, normalize_axes
from .shapes import broadcast_to, cast, reshape


class Sum(Function):
    def forward(ctx, x: Array, *, axes: tuple[int, ...], keepdims: bool) -> Array:
        ctx.shape, ctx.kept = x.shape, _kept_shape(x.shape, axes)
        return kernels.total(x, axes, keepdims)

    def backward(ctx, dout: Tensor) -> Tensor:
        return broadcast_to(reshape(dout, ctx.kept), ctx.shape)


class Extreme(Function):
    """The largest or smallest value; all that equal it share the gradient."""

    def forward(ctx, x: Array, *, axes: tuple[int, ...], keepdims: bool, largest: bool) -> Array:
        y = x.max(axis=axes, keepdims=True) if largest else x.min(axis=axes, keepdims=True)
        if x.dtype.kind == "f":
            winners = ((x == y) | (x != x)).astype(x.dtype)  # NaN wins
            ctx.share = winners / winners.sum(axis=axes, keepdims=True)
        ctx.shape, ctx.kept = x.shape, y.shape
        return y if keepdims else y.squeeze(axes)

    def backward(ctx, dout: Tensor) -> Tensor:
        return broadcast_to(reshape(dout, ctx.kept), ctx.shape) * ctx.share


def _kept_shape(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if axis in axes else size for axis, size in enumerate(shape))


def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the sum over an axis, several, or all (None). Raises ShapeError."""
    return Sum.apply(x, axes=normalize_axes("sum", axis, x.shape), keepdims=keepdims)


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean over an axis, several, or all (None); integers as float32. Raises ShapeError if empty."""
    count = _count("mean", x, axis)
    if x.dtype == np.float16:  # the sum may be beyond 65504 although the mean is not
        return cast(mean(cast(x, np.float32), axis, keepdims), np.float16)
    return sum(floating("mean", x), axis, keepdims) * (1.0 / count)


def var(x: Tensor, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Return the variance, Σ (x - mean)² / (count - ddof). Raises ShapeError unless count > ddof."""
    count = _count("var", x, axis)
    if count <= ddof:
        raise ShapeError(f"var: {count} values along axis {axis} of {x.shape} are not more than ddof = {ddof}")
    if x.dtype == np.float16:
        return cast(var(cast(x, np.float32), axis, ddof, keepdims), np.float16)
    centred = x - mean(x, axis, keepdims=True)
    return sum(centred * centred, axis, keepdims) * (1.0 / (count - ddof))


def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest values; tied ones share the gradient equally. Raises ShapeError if empty."""
    return _extreme("max", x, axis, keepdims, largest=True)


def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest values; tied ones share the gradient equally. Raises ShapeError if empty."""
    return _extreme("min", x, axis, keepdims, largest=False)


def _extreme(operation: str, x: Tensor, axis: Axis, keepdims: bool, largest: bool) -> Tensor:
    _count(operation, x, axis)
    return Extreme.apply(x, axes=normalize_axes(operation, axis, x.shape), keepdims=keepdims, largest=largest)


def argmax(x: Tensor, axis: int | None = None) -> Tensor:
    """Return the index (int64) of the first largest value; no gradient. Raises ShapeError if empty."""
    _count("argmax", x, axis)
    return Tensor(array_module(x.data).asarray(x.data.argmax(axis)))


def _count(operation: str, x: Tensor, axis: Axis) -> int:
    """How many values each result is made of."""
    count = math.prod(x.shape[a] for a in normalize_axes(operation, axis, x.shape))
    if count == 0:
        raise ShapeError(f"{operation}: no values along axis {axis} of shape {x.shape}")
    return count
