"""Pooling: max pool, average pool, and the mean of each plane (global average pool).

    max       dx = dout at the element of the window that was largest (the first of equals)
    average   dx = dout / count, for each element of the window; count: the window's size, or its elements inside x

Both gradients are linear in dout. So the gradient's gradient is the adjoint: it gathers what was scattered, and
averages what was spread.
"""

from .. import kernels
from ..autograd import Context, Function, Tensor
from ..backend import Array
from ..errors import ShapeError
from ..kernels import PoolWindow
from .dtypes import floating_operands
from .shape import Size, broadcast_to, pair


class MaxPool2d(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, window: PoolWindow) -> Array:
        out, ctx.winner = kernels.max_pool2d(x, window)
        ctx.window, ctx.shape = window, x.shape
        return out

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return MaxPool2dScatter.apply(dout, ctx.winner, window=ctx.window, shape=ctx.shape)


class MaxPool2dScatter(Function):
    @staticmethod
    def forward(ctx: Context, dout: Array, winner: Array, *, window: PoolWindow, shape: tuple[int, ...]) -> Array:
        ctx.winner, ctx.window = winner, window
        return kernels.max_pool2d_scatter(dout, winner, window, shape)

    @staticmethod
    def backward(ctx: Context, ddx: Tensor) -> tuple[Tensor, None]:
        return MaxPool2dGather.apply(ddx, ctx.winner, window=ctx.window), None


class MaxPool2dGather(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, winner: Array, *, window: PoolWindow) -> Array:
        ctx.winner, ctx.window, ctx.shape = winner, window, x.shape
        return kernels.max_pool2d_gather(x, winner, window)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, None]:
        return MaxPool2dScatter.apply(dout, ctx.winner, window=ctx.window, shape=ctx.shape), None


class AvgPool2d(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, window: PoolWindow) -> Array:
        ctx.window, ctx.shape = window, x.shape
        return kernels.avg_pool2d(x, window)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return AvgPool2dSpread.apply(dout, window=ctx.window, shape=ctx.shape)


class AvgPool2dSpread(Function):
    @staticmethod
    def forward(ctx: Context, dout: Array, *, window: PoolWindow, shape: tuple[int, ...]) -> Array:
        ctx.window = window
        return kernels.avg_pool2d_spread(dout, window, shape)

    @staticmethod
    def backward(ctx: Context, ddx: Tensor) -> Tensor:
        return AvgPool2d.apply(ddx, window=ctx.window)


class GlobalAvgPool2d(Function):
    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.shape = x.shape
        return kernels.plane_mean(x)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        n, c, h, w = ctx.shape
        return broadcast_to((dout / (h * w)).reshape(n, c, 1, 1), ctx.shape)


def max_pool2d(
    x: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False
) -> Tensor:
    """Return the largest element of each window. Padding never wins; the first of equals gets the gradient.

    Args:
        x: (N, C, H, W), floating.
        kernel_size: one number, or (height, width).
        stride: the same; default: kernel_size.
        padding: the same; at most half of kernel_size.
        ceil_mode: also count a last window that lies only partly inside the input.

    Returns:
        (N, C, Ho, Wo) with Ho = (H + 2·padding - kernel_size) / stride + 1, rounded down (ceil_mode: up).

    Raises:
        ShapeError, DtypeError.
    """
    return MaxPool2d.apply(x, window=_window("max_pool2d", x, kernel_size, stride, padding, ceil_mode))


def avg_pool2d(
    x: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size = 0, count_include_pad: bool = True
) -> Tensor:
    """Return the mean of each window.

    Args:
        x, kernel_size, stride, padding: as in max_pool2d.
        count_include_pad: padding counts as zeros. If False, the mean is over the elements of x alone, as TensorFlow's
            "SAME" padding has it.

    Returns:
        (N, C, Ho, Wo), as max_pool2d without ceil_mode.

    Raises:
        ShapeError, DtypeError.
    """
    window = _window("avg_pool2d", x, kernel_size, stride, padding, ceil_mode=False)
    return AvgPool2d.apply(x, window=window._replace(count_padding=bool(count_include_pad)))


def global_avg_pool2d(x: Tensor) -> Tensor:
    """Return the mean of each plane: (N, C, H, W) → (N, C), floating. Raises ShapeError, DtypeError."""
    (x,) = floating_operands("global_avg_pool2d", x=x)
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ShapeError(f"global_avg_pool2d: x {x.shape} must be (N, C, H, W) with H, W of at least 1")
    return GlobalAvgPool2d.apply(x)


def _window(
    operation: str, x: Tensor, kernel_size: Size, stride: Size | None, padding: Size, ceil_mode: bool
) -> PoolWindow:
    """Return the window geometry for x. Raises ShapeError, DtypeError naming the operation."""
    (x,) = floating_operands(operation, x=x)
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ShapeError(f"{operation}: x {x.shape} must be (N, C, H, W) with H, W of at least 1")
    kernel = pair(operation, "kernel_size", kernel_size, least=1)
    step = kernel if stride is None else pair(operation, "stride", stride, least=1)
    border = pair(operation, "padding", padding, least=0)
    if 2 * border[0] > kernel[0] or 2 * border[1] > kernel[1]:
        raise ShapeError(f"{operation}: padding {border} is more than half the kernel {kernel}")
    height = _output_size(x.shape[2], kernel[0], step[0], border[0], ceil_mode)
    width = _output_size(x.shape[3], kernel[1], step[1], border[1], ceil_mode)
    if min(height, width) < 1:
        raise ShapeError(f"{operation}: kernel {kernel} is larger than the input {x.shape[2:]} with padding {border}")
    return PoolWindow(kernel, step, border, (height, width))


def _output_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    free = size + 2 * padding - kernel
    if not ceil_mode:
        return free // stride + 1
    count = -(-free // stride) + 1
    # A window that starts in the padding after the input is not counted: the rule of PyTorch and Caffe.
    return count - 1 if (count - 1) * stride >= size + padding else count
