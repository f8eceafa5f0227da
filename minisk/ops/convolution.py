"""2-D convolution (cross-correlation, as in every deep-learning library), and the two gradients that close the family.

out = x ⋆ w        conv2d         linear in x and in w, so each gradient is one of the three again:
dx  = dout ⋆ᵀ w    input_grad         conv2d:      dx = input_grad(dout, w)     dw = weight_grad(x, dout)
dw  = x ⋆ dout     weight_grad        input_grad:  ddout = conv2d(ddx, w)       dw = weight_grad(ddx, dout)
                                      weight_grad: dx = input_grad(dout, ddw)   ddout = conv2d(x, ddw)

And pooling: max pool, average pool, and the mean of each plane (global average pool). The gradient of a max goes to the
tap that won; for an average every tap gets its share. Both are linear in dout, so the gradient's gradient is the
adjoint: gather what was scattered, average what was spread.
"""

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from .. import kernels
from ..autograd.function import Function
from ..autograd.tensor import Tensor
from ..backend import Array
from ..errors import ShapeError
from ..kernels import ConvGeometry, PoolWindow
from .dtypes import require_floating
from .shape import broadcast_to


class Conv2d(Function):
    def forward(ctx, x: Array, weight: Array, *, geometry: ConvGeometry) -> Array:
        ctx.save_for_backward(x, weight)
        ctx.geometry = geometry
        return kernels.conv2d(x, weight, geometry)

    def backward(ctx, dout: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        return _gradients(ctx, x, weight, dout)


class Conv2dInputGrad(Function):
    def forward(ctx, dout: Array, weight: Array, *, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
        ctx.save_for_backward(dout, weight)
        ctx.geometry = geometry
        return kernels.conv2d_input_grad(dout, weight, geometry, shape)

    def backward(ctx, ddx: Tensor) -> tuple[Tensor, Tensor | None]:
        dout, weight = ctx.saved_tensors
        ddout = Conv2d.apply(ddx, weight, geometry=ctx.geometry)
        return ddout, _gradients(ctx, ddx, weight, dout)[1]


class Conv2dWeightGrad(Function):
    def forward(ctx, x: Array, dout: Array, *, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
        ctx.save_for_backward(x, dout)
        ctx.geometry = geometry
        return kernels.conv2d_weight_grad(x, dout, geometry, shape)

    def backward(ctx, ddweight: Tensor) -> tuple[Tensor | None, Tensor]:
        x, dout = ctx.saved_tensors
        ddout = Conv2d.apply(x, ddweight, geometry=ctx.geometry)
        return _gradients(ctx, x, ddweight, dout)[0], ddout


def _gradients(ctx: Function, x: Tensor, weight: Tensor, dout: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of conv2d(x, weight) for inputs 0 and 1 of ctx's operation, each only if it will be used."""
    wanted, geometry = ctx.needs_input_grad, ctx.geometry
    dx = Conv2dInputGrad.apply(dout, weight, geometry=geometry, shape=x.shape) if wanted[0] else None
    dweight = Conv2dWeightGrad.apply(x, dout, geometry=geometry, shape=weight.shape) if wanted[1] else None
    return dx, dweight


Size = int | Sequence[int]  # of something two-dimensional: one number, or (height, width)


def pair(operation: str, name: str, value: Any, least: int) -> tuple[int, int]:
    """Return (height, width) from one number or two. Raises ShapeError if either is below `least`."""
    given = (value, value) if np.ndim(value) == 0 else value
    try:
        height, width = (index(size) for size in given)
    except (TypeError, ValueError):
        height = width = least - 1
    if min(height, width) < least:
        raise ShapeError(f"{operation}: {name} {value!r} must be one or two integers of at least {least}")
    return height, width


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve images with a set of kernels.

    x: (N, C, H, W); weight: (O, C / groups, kh, kw); bias: (O,); stride, padding, dilation: one number, or (height,
    width). Returns (N, O, Ho, Wo) with Ho = (H + 2·padding - dilation·(kh - 1) - 1) // stride + 1.
    Raises ShapeError, DtypeError.
    """
    require_floating("conv2d", x=x, weight=weight, bias=bias)
    steps, border = pair("conv2d", "stride", stride, 1), pair("conv2d", "padding", padding, 0)
    geometry = ConvGeometry(steps, border, pair("conv2d", "dilation", dilation, 1), groups)
    _check(x, weight, bias, geometry)
    out: Tensor = Conv2d.apply(x, weight, geometry=geometry)
    return out if bias is None else out + bias.reshape(1, -1, 1, 1)


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> None:
    if x.ndim != 4 or weight.ndim != 4:
        raise ShapeError(f"conv2d: x {x.shape} and weight {weight.shape} must have 4 axes each")
    (outputs, per_group), groups = weight.shape[:2], geometry.groups
    if groups < 1 or outputs % groups:
        raise ShapeError(f"conv2d: the {outputs} outputs of weight {weight.shape} do not divide into groups={groups}")
    if x.shape[1] != per_group * groups:
        expected = f"weight {weight.shape} with groups={groups} expects {per_group * groups}"
        raise ShapeError(f"conv2d: x has {x.shape[1]} channels, but {expected}")
    if 0 in weight.shape or 0 in x.shape:
        raise ShapeError(f"conv2d: x {x.shape} and weight {weight.shape} must not be empty")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"conv2d: bias {bias.shape} must hold one value per output of weight {weight.shape}")
    if min(geometry.output_size(x.shape[2:], weight.shape[2:])) < 1:
        kernel = f"kernel {weight.shape[2:]} with dilation {geometry.dilation}"
        raise ShapeError(f"conv2d: {kernel} is larger than the input {x.shape[2:]} with padding {geometry.padding}")


class MaxPool2d(Function):
    def forward(ctx, x: Array, *, window: PoolWindow) -> Array:
        out, ctx.winner = kernels.max_pool2d(x, window)
        ctx.window, ctx.shape = window, x.shape
        return out

    def backward(ctx, dout: Tensor) -> Tensor:
        return MaxPool2dScatter.apply(dout, ctx.winner, window=ctx.window, shape=ctx.shape)


class MaxPool2dScatter(Function):
    def forward(ctx, dout: Array, winner: Array, *, window: PoolWindow, shape: tuple[int, ...]) -> Array:
        ctx.winner, ctx.window = winner, window
        return kernels.max_pool2d_scatter(dout, winner, window, shape)

    def backward(ctx, ddx: Tensor) -> tuple[Tensor, None]:
        return MaxPool2dGather.apply(ddx, ctx.winner, window=ctx.window), None


class MaxPool2dGather(Function):
    def forward(ctx, x: Array, winner: Array, *, window: PoolWindow) -> Array:
        ctx.winner, ctx.window, ctx.shape = winner, window, x.shape
        return kernels.max_pool2d_gather(x, winner, window)

    def backward(ctx, dout: Tensor) -> tuple[Tensor, None]:
        return MaxPool2dScatter.apply(dout, ctx.winner, window=ctx.window, shape=ctx.shape), None


class AvgPool2d(Function):
    def forward(ctx, x: Array, *, window: PoolWindow) -> Array:
        ctx.window, ctx.shape = window, x.shape
        return kernels.avg_pool2d(x, window)

    def backward(ctx, dout: Tensor) -> Tensor:
        return AvgPool2dSpread.apply(dout, window=ctx.window, shape=ctx.shape)


class AvgPool2dSpread(Function):
    def forward(ctx, dout: Array, *, window: PoolWindow, shape: tuple[int, ...]) -> Array:
        ctx.window = window
        return kernels.avg_pool2d_spread(dout, window, shape)

    def backward(ctx, ddx: Tensor) -> Tensor:
        return AvgPool2d.apply(ddx, window=ctx.window)


class GlobalAvgPool2d(Function):
    def forward(ctx, x: Array) -> Array:
        ctx.shape = x.shape
        return kernels.plane_mean(x)

    def backward(ctx, dout: Tensor) -> Tensor:
        n, c, h, w = ctx.shape
        return broadcast_to((dout * (1.0 / (h * w))).reshape(n, c, 1, 1), ctx.shape)


def max_pool2d(
    x: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False
) -> Tensor:
    """Return the largest value in each window; padding never wins, and the first of equals takes the gradient.

    x: (N, C, H, W); kernel_size, stride (default: kernel_size), padding (at most half the kernel): one number, or
    (height, width); ceil_mode: count a last window that the input only partly fills. Raises ShapeError, DtypeError.
    """
    return MaxPool2d.apply(x, window=_window("max_pool2d", x, kernel_size, stride, padding, ceil_mode))


def avg_pool2d(x: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> Tensor:
    """Return the mean of each window, its padding counted as zeros; arguments as max_pool2d's."""
    return AvgPool2d.apply(x, window=_window("avg_pool2d", x, kernel_size, stride, padding, ceil_mode=False))


def global_avg_pool2d(x: Tensor) -> Tensor:
    """Return the mean of each plane: (N, C, H, W) → (N, C). Raises ShapeError, DtypeError."""
    require_floating("global_avg_pool2d", x=x)
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ShapeError(f"global_avg_pool2d: x {x.shape} must be (N, C, H, W) with H, W of at least 1")
    return GlobalAvgPool2d.apply(x)


def _window(
    operation: str, x: Tensor, kernel_size: Size, stride: Size | None, padding: Size, ceil_mode: bool
) -> PoolWindow:
    require_floating(operation, x=x)
    if x.ndim != 4:
        raise ShapeError(f"{operation}: x {x.shape} must be (N, C, H, W)")
    kernel = pair(operation, "kernel_size", kernel_size, 1)
    step = kernel if stride is None else pair(operation, "stride", stride, 1)
    border = pair(operation, "padding", padding, 0)
    if any(2 * b > k for b, k in zip(border, kernel, strict=True)):
        raise ShapeError(f"{operation}: padding {border} is more than half the kernel {kernel}")
    height, width = (_output_size(x.shape[2 + i], kernel[i], step[i], border[i], ceil_mode) for i in range(2))
    if min(height, width) < 1:
        raise ShapeError(f"{operation}: kernel {kernel} is larger than the input {x.shape[2:]} with padding {border}")
    return PoolWindow(kernel, step, border, (height, width))


def _output_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    free = size + 2 * padding - kernel
    if not ceil_mode:
        return free // stride + 1
    count = -(-free // stride) + 1
    # A window that would start in the padding behind the input sees nothing: PyTorch's and Caffe's rule.
    return count - 1 if (count - 1) * stride >= size + padding else count
