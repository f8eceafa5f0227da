"""Softmax and its logarithm along an axis.

y = eˣ / Σ eˣ           dx = y · (dy - Σ dy·y)
y = ln(eˣ / Σ eˣ)       dx = dy - eʸ · Σ dy
"""

from .. import kernels
from ..autograd import Context, Function, Tensor, is_grad_enabled
from ..autograd.words import numpy_words
from ..backend import Array
from ..errors import ShapeError
from .dtypes import floating, rounded_once
from .shape import normalize_axes


class Softmax(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, axis: int) -> Array:
        y = kernels.softmax(x, axis)
        ctx.save_for_backward(y)
        ctx.axis = axis
        return y

    @staticmethod
    def backward(ctx: Context, dy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        if not is_grad_enabled():  # no graph is recorded, so the fused kernel can be used
            return Tensor(kernels.softmax_grad(dy.data, y.data, ctx.axis))
        return _softmax_gradient(dy, y, axis=ctx.axis)


@rounded_once
def _softmax_gradient(dy: Tensor, y: Tensor, axis: int) -> Tensor:
    return y * (dy - (dy * y).sum(axis, keepdims=True))


class LogSoftmax(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, axis: int) -> Array:
        y = kernels.log_softmax(x, axis)
        ctx.save_for_backward(y)
        ctx.axis = axis
        return y

    @staticmethod
    def backward(ctx: Context, dy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        if not is_grad_enabled():  # no graph is recorded, so the fused kernel can be used
            return Tensor(kernels.log_softmax_grad(dy.data, y.data, ctx.axis))
        return _log_softmax_gradient(dy, y, axis=ctx.axis)


@rounded_once
def _log_softmax_gradient(dy: Tensor, y: Tensor, axis: int) -> Tensor:
    return dy - y.exp() * dy.sum(axis, keepdims=True)


@numpy_words
def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return eˣ / Σ eˣ along an axis, in the shape of x; no overflow for any finite x.

    Integers become float32. Raises ShapeError for a wrong or empty axis.
    """
    return Softmax.apply(floating("softmax", x), axis=_position("softmax", x, axis))


@numpy_words
def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return log(softmax(x)) along an axis, in the shape of x; accurate where softmax underflows.

    Integers become float32. Raises ShapeError for a wrong or empty axis.
    """
    return LogSoftmax.apply(floating("log_softmax", x), axis=_position("log_softmax", x, axis))


def _position(operation: str, x: Tensor, axis: int) -> int:
    if axis is None:
        raise ShapeError(f"{operation}: axis must be one integer, not None")
    (position,) = normalize_axes(operation, axis, x.shape)
    if x.shape[position] == 0:
        raise ShapeError(f"{operation}: axis {axis} of {x.shape} is empty")
    return position
