"""BatchNorm2d, BatchNorm1d: batch normalisation with a learned scale and bias per channel."""

from collections.abc import Callable

import numpy as np

from .. import ops
from ..autograd import Tensor
from ..backend import DEFAULT_FLOAT
from ..errors import ShapeError, require_integers, require_numbers
from .module import Buffer, Module, Parameter


class _BatchNorm(Module):
    """Batch norm with scale and bias fused.

    Args:
        num_features: C.
        eps: added to the variance, at least 0.
        momentum: weight of the new value in the running statistics, in [0, 1], as PyTorch's (Caffe's is 1 minus this).
        relu: also apply ReLU, fused; saves nothing extra for backward.

    Attributes:
        weight: (C,), the scale, initialised to 1.
        bias: (C,), initialised to 0.
        running_mean, running_var: (C,), initialised to 0 and 1.
        frozen: set by `freeze`.
        normalize: an operation with the arguments of `ops.batch_norm` to use instead; None: that one.
        processes: number of processes whose images it normalises over together, in training.

    Raises:
        ShapeError: the input has other axes, or num_features is not an integer of at least 1.
        ArgumentError: eps or momentum is out of range.
    """

    axes: tuple[str, ...]  # accepted shapes of the input
    normalize: Callable[..., Tensor] | None = None
    processes = 1

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, relu: bool = False) -> None:
        owner = type(self).__name__
        require_integers(owner, num_features=num_features)
        require_numbers(owner, eps=eps)
        require_numbers(owner, at_most=1, momentum=momentum)
        self.eps = eps
        self.momentum = momentum
        self.relu = relu
        self.frozen = False
        self.weight = Parameter(np.ones(num_features, DEFAULT_FLOAT))
        self.bias = Parameter(np.zeros(num_features, DEFAULT_FLOAT))
        self.running_mean = Buffer(np.zeros(num_features, DEFAULT_FLOAT))
        self.running_var = Buffer(np.ones(num_features, DEFAULT_FLOAT))

    def freeze(self) -> "_BatchNorm":
        """Use the running statistics in training mode too, without updating them, and return self.

        Scale and bias are no longer trained. Meant for fine-tuning with small batches.
        Source: the "frozen" mode of the CuDNNBatchNorm layer in the GENet/SKNet Caffe fork.
        """
        self.frozen = True
        for parameter in (self.weight, self.bias):
            parameter.requires_grad = False
            parameter.grad = None
        return self

    def scale_and_bias(self) -> tuple[Tensor, Tensor]:
        """Return what evaluation multiplies each channel by, and what it adds then: (C,) each, without gradients."""
        scale = self.weight.data * (self.running_var.data + self.eps) ** -0.5
        return Tensor(scale), Tensor(self.bias.data - self.running_mean.data * scale)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in [axes.count(",") + 1 for axes in self.axes]:
            raise ShapeError(f"{type(self).__name__}: x {x.shape} must be {' or '.join(self.axes)}")
        training = self.training and not self.frozen
        mean, var = self.running_mean, self.running_var
        normalize = self.normalize or ops.batch_norm
        return normalize(x, self.weight, self.bias, mean, var, training, self.momentum, self.eps, self.relu)


class BatchNorm2d(_BatchNorm):
    """Batch norm of (N, C, H, W), over images and pixels."""

    axes = ("(N, C, H, W)",)


class BatchNorm1d(_BatchNorm):
    """Batch norm of (N, C), over the batch alone, or of (N, C, L)."""

    axes = ("(N, C)", "(N, C, L)")
