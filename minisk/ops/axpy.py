"""Axpy: scale every channel of x and add y. And its two gradients, which are operations themselves.

    axpy             out[n,c,h,w] = a[n,c] · x[n,c,h,w] + y[n,c,h,w]
                     da = channel_dot(dout, x)     dx = channel_scale(a, dout)     dy = dout
    channel_scale    out[n,c,h,w] = a[n,c] · x[n,c,h,w]
                     da = channel_dot(dout, x)     dx = channel_scale(a, dout)
    channel_dot      out[n,c] = Σ_hw x[n,c,h,w] · y[n,c,h,w]
                     dx = channel_scale(dout, y)   dy = channel_scale(dout, x)

Source: the Axpy layer of the SENet and SKNet Caffe forks.
"""

from .. import kernels
from ..autograd import Context, Function, Tensor
from ..backend import Array
from ..errors import ShapeError
from .dtypes import floating_operands


class Axpy(Function):
    @staticmethod
    def forward(ctx: Context, a: Array, x: Array, y: Array) -> Array:
        ctx.save_for_backward(a, x)
        return kernels.axpy(a, x, y)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, x = ctx.saved_tensors
        return channel_dot(dout, x), channel_scale(a, dout), dout


class ChannelScale(Function):
    @staticmethod
    def forward(ctx: Context, a: Array, x: Array) -> Array:
        ctx.save_for_backward(a, x)
        return kernels.channel_scale(a, x)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, Tensor]:
        a, x = ctx.saved_tensors
        return channel_dot(dout, x), channel_scale(a, dout)


class ChannelDot(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, y: Array) -> Array:
        ctx.save_for_backward(x, y)
        return kernels.channel_dot(x, y)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, Tensor]:
        x, y = ctx.saved_tensors
        return channel_scale(dout, y), channel_scale(dout, x)


def axpy(a: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return a · x + y with one scale for each image and channel.

    Args:
        a: (N, C) or (N, C, 1, 1).
        x, y: (N, C, H, W), of the same floating dtype.

    Returns:
        (N, C, H, W).

    Raises:
        ShapeError, DtypeError.
    """
    a, x, y = floating_operands("axpy", a=a, x=x, y=y)
    _check_scale("axpy", a, x)
    if x.shape != y.shape:
        raise ShapeError(f"axpy: y {y.shape} must have the shape of x {x.shape}")
    return Axpy.apply(a.reshape(a.shape[:2]), x, y)


def channel_scale(a: Tensor, x: Tensor) -> Tensor:
    """Return a · x, (N, C, H, W), with one scale for each image and channel. Raises ShapeError, DtypeError.

    a: (N, C) or (N, C, 1, 1); x: (N, C, H, W), of the same floating dtype.
    """
    a, x = floating_operands("channel_scale", a=a, x=x)
    _check_scale("channel_scale", a, x)
    return ChannelScale.apply(a.reshape(a.shape[:2]), x)


def channel_dot(x: Tensor, y: Tensor) -> Tensor:
    """Return the inner product of each plane of x with that of y, (N, C). Raises ShapeError, DtypeError.

    x, y: (N, C, H, W), of one floating dtype.
    """
    x, y = floating_operands("channel_dot", x=x, y=y)
    if x.ndim != 4 or x.shape != y.shape:
        raise ShapeError(f"channel_dot: x {x.shape} and y {y.shape} must be (N, C, H, W), and equal")
    return ChannelDot.apply(x, y)


def _check_scale(operation: str, a: Tensor, x: Tensor) -> None:
    is_scale = x.ndim == 4 and a.ndim in (2, 4) and a.shape[:2] == x.shape[:2] and a.shape[2:] in ((), (1, 1))
    if not is_scale:
        raise ShapeError(f"{operation}: scale {a.shape} must be (N, C) or (N, C, 1, 1) of x {x.shape}, (N, C, H, W)")
