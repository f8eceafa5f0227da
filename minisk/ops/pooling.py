"""Max pool, average pool, and the mean of each plane (global average pool).

The gradient of a max goes to the tap that won; for an average every tap gets its share. Both are linear in dout, so
the gradient's gradient is the adjoint: gather what was scattered, average what was spread.
"""

from ..cuda import kernels
from ..cuda.kernels import Window
from ..device import Array
from ..errors import ShapeError
from ..function import Function
from ..tensor import Tensor
from .convolution import Size, pair
from .operands import require_floating
from .shapes import broadcast_to


class MaxPool2d(Function):
    def forward(ctx, x: Array, *, window: Window) -> Array:
        out, ctx.winner = kernels.max_pool2d(x, window)
        ctx.window, ctx.shape = window, x.shape
        return out

    def backward(ctx, dout: Tensor) -> Tensor:
        return MaxPool2dScatter.apply(dout, ctx.winner, window=ctx.window, shape=ctx.shape)


class MaxPool2dScatter(Function):
    def forward(ctx, dout: Array, winner: Array, *, window: Window, shape: tuple[int, ...]) -> Array:
        ctx.winner, ctx.window = winner, window
        return kernels.max_pool2d_scatter(dout, winner, window, shape)

    def backward(ctx, ddx: Tensor) -> tuple[Tensor, None]:
        return MaxPool2dGather.apply(ddx, ctx.winner, window=ctx.window), None


class MaxPool2dGather(Function):
    def forward(ctx, x: Array, winner: Array, *, window: Window) -> Array:
        ctx.winner, ctx.window, ctx.shape = winner, window, x.shape
        return kernels.max_pool2d_gather(x, winner, window)

    def backward(ctx, dout: Tensor) -> tuple[Tensor, None]:
        return MaxPool2dScatter.apply(dout, ctx.winner, window=ctx.window, shape=ctx.shape), None


class AvgPool2d(Function):
    def forward(ctx, x: Array, *, window: Window) -> Array:
        ctx.window, ctx.shape = window, x.shape
        return kernels.avg_pool2d(x, window)

    def backward(ctx, dout: Tensor) -> Tensor:
        return AvgPool2dSpread.apply(dout, window=ctx.window, shape=ctx.shape)


class AvgPool2dSpread(Function):
    def forward(ctx, dout: Array, *, window: Window, shape: tuple[int, ...]) -> Array:
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
) -> Window:
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
    return Window(kernel, step, border, (height, width))


def _output_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    free = size + 2 * padding - kernel
    if not ceil_mode:
        return free // stride + 1
    count = -(-free // stride) + 1
    # A window that would start in the padding behind the input sees nothing: PyTorch's and Caffe's rule.
    return count - 1 if (count - 1) * stride >= size + padding else count
