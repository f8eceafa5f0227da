"""The layers: each holds the parameters of an operation of `minisk.ops` and calls it."""

import numpy as np

from .. import ops
from ..autograd.tensor import Tensor
from ..backend import DEFAULT_FLOAT
from ..errors import ShapeError
from ..ops.shape import Size, pair
from . import init
from .module import Buffer, Module, Parameter


class Conv2d(Module):
    """2-D convolution, (N, in_channels, H, W) → (N, out_channels, Ho, Wo); arguments as PyTorch's.

    weight: (out_channels, in_channels / groups, kh, kw), He normal; bias: (out_channels,), zero. Raises ShapeError.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ShapeError(f"Conv2d: {in_channels} inputs, {out_channels} outputs must divide into groups={groups}")
        self.kernel_size = pair("Conv2d", "kernel_size", kernel_size, 1)
        self.stride = pair("Conv2d", "stride", stride, 1)
        self.padding = pair("Conv2d", "padding", padding, 0)
        self.dilation = pair("Conv2d", "dilation", dilation, 1)
        self.groups = groups
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(np.empty(shape, DEFAULT_FLOAT))
        self.bias = Parameter(np.zeros(out_channels, DEFAULT_FLOAT)) if bias else None
        init.kaiming_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return ops.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class BatchNorm2d(Module):
    """Batch norm of (N, C, H, W), scale and bias fused; momentum is the weight of the new value, as PyTorch's.

    relu: max(that, 0) instead, in the same pass and with nothing more kept for backward than batch norm keeps.
    weight (scale, 1) and bias (0): (C,); running_mean (0) and running_var (1): (C,). Raises ShapeError.
    """

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, relu: bool = False) -> None:
        self.eps, self.momentum, self.relu, self.frozen = eps, momentum, relu, False
        self.weight = Parameter(np.ones(num_features, DEFAULT_FLOAT))
        self.bias = Parameter(np.zeros(num_features, DEFAULT_FLOAT))
        self.running_mean = Buffer(np.zeros(num_features, DEFAULT_FLOAT))
        self.running_var = Buffer(np.ones(num_features, DEFAULT_FLOAT))

    def freeze(self) -> "BatchNorm2d":
        """Use the running statistics in training too, update them no more, and train scale and bias no more.

        Returns self. For fine-tuning with small batches; the "frozen" mode of Caffe's CuDNNBatchNorm.
        """
        self.frozen = True
        for parameter in (self.weight, self.bias):
            parameter.requires_grad, parameter.grad = False, None
        return self

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ShapeError(f"BatchNorm2d: x {x.shape} must be (N, C, H, W)")
        training = self.training and not self.frozen
        running = self.running_mean, self.running_var
        return ops.batch_norm(x, self.weight, self.bias, *running, training, self.momentum, self.eps, self.relu)


class Linear(Module):
    """x·weightᵀ + bias on the last axis; weight: (out_features, in_features), He normal; bias: zeros, or none."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        self.weight = Parameter(np.empty((out_features, in_features), DEFAULT_FLOAT))
        self.bias = Parameter(np.zeros(out_features, DEFAULT_FLOAT)) if bias else None
        init.kaiming_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x, self.weight, self.bias)


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class MaxPool2d(Module):
    """The largest value in each window; arguments as `ops.max_pool2d`."""

    def __init__(
        self, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False
    ) -> None:
        self.kernel_size, self.stride, self.padding, self.ceil_mode = kernel_size, stride, padding, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return ops.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode)


class AvgPool2d(Module):
    """The mean of each window; arguments as `ops.avg_pool2d`."""

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class GlobalAvgPool2d(Module):
    """The mean of each plane, (N, C, H, W) → (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.global_avg_pool2d(x)


class Dropout(Module):
    """Zero values with probability p in training; nothing in evaluation."""

    def __init__(self, p: float = 0.5) -> None:
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.p, self.training)
