"""Pooling layers: maximum or mean of each window, and the mean of each plane."""

from .. import ops
from ..autograd import Tensor
from ..ops.shape import Size, pair
from .module import Module


class _Pool2d(Module):
    """A window that moves over each plane, (N, C, H, W) → (N, C, Ho, Wo).

    Args:
        kernel_size, stride, padding: one integer, or (height, width); see `ops.max_pool2d`.

    Raises:
        ShapeError: a size is not an integer, or too small.
    """

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        owner = type(self).__name__
        self.kernel_size = pair(owner, "kernel_size", kernel_size, 1)
        self.stride = self.kernel_size if stride is None else pair(owner, "stride", stride, 1)
        self.padding = pair(owner, "padding", padding, 0)


class MaxPool2d(_Pool2d):
    """The largest value of each window, (N, C, H, W) → (N, C, Ho, Wo); the arguments of `ops.max_pool2d`."""

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


class AvgPool2d(_Pool2d):
    """The mean of each window, (N, C, H, W) → (N, C, Ho, Wo); the arguments of `ops.avg_pool2d`."""

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, count_include_pad: bool = True
    ) -> None:
        super().__init__(kernel_size, stride, padding)
        self.count_include_pad = count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.count_include_pad)


class GlobalAvgPool2d(Module):
    """The mean of each plane, (N, C, H, W) → (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.global_avg_pool2d(x)
