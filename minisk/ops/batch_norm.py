"""Batch norm with scale and bias (the CuDNNBatchNorm layer of the original), optionally with the ReLU after it.

    out = weight · xhat + bias     xhat = (x - mean) / √(var + eps)     per channel; mean, var over images and pixels

    dbias = Σ dout    dweight = Σ dout·xhat    dx = weight / √(var + eps) · (dout - mean(dout) - xhat · mean(dout·xhat))

Training takes mean and biased variance from the batch: they depend on x, which adds the two last terms to dx.
Evaluation takes the running statistics, which are constants: dx = weight / √(var + eps) · dout.

Saved for backward are x, weight and bias; mean and variance are attributes of ctx, which count as constants. So if a
graph is recorded, backward computes them from x again, and the second derivative follows them.
Source: Ioffe and Szegedy, 2015; the CuDNNBatchNorm layer of the GENet and SKNet Caffe forks.
"""

import math
from typing import NamedTuple

import numpy as np

from .. import kernels
from ..autograd import Context, Function, Tensor, is_grad_enabled
from ..backend import Array
from ..errors import ShapeError
from .activation import ReluGrad
from .dtypes import cast, floating_operands


class Running(NamedTuple):
    """The running statistics of each channel, (C,); momentum is the weight of a new value."""

    mean: Tensor
    var: Tensor
    momentum: float

    def update(self, statistics: kernels.BatchStatistics, count: int | Array) -> None:
        """Set each to (1 - momentum) · old + momentum · new, in place; count: the number of values per channel."""
        unbiased = count / (count - 1)
        for running, value, factor in ((self.mean, statistics.mean, 1), (self.var, statistics.var, unbiased)):
            old, share = running.data, self.momentum * factor
            if old.dtype.itemsize < value.dtype.itemsize:  # float16 is rounded once
                old[...] = (1 - self.momentum) * old.astype(value.dtype) + share * value
            else:
                old *= 1 - self.momentum
                old += share * value
            running.mark_written()


class BatchNorm(Function):
    @staticmethod
    def forward(
        ctx: Context, x: Array, weight: Array, bias: Array, *, running: Running, training: bool, eps: float, relu: bool
    ) -> Array:
        if training:
            out, statistics = kernels.batch_norm_train(x, weight, bias, eps, relu)
            running.update(statistics, x.size // x.shape[1])
        else:
            statistics = kernels.BatchStatistics.fixed(running.mean.data, running.var.data, like=x)
            out = kernels.batch_norm_apply(x, weight, bias, statistics, eps, relu)
        ctx.save_for_backward(x, weight, bias)
        ctx.statistics, ctx.training, ctx.eps, ctx.relu = statistics, training, eps, relu
        return out

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, ...]:
        x, weight, bias = ctx.saved_tensors
        arrays, statistics = (x.data, weight.data, bias.data), ctx.statistics
        if not is_grad_enabled():  # no graph is recorded, so the fused kernel can be used
            gradients = kernels.batch_norm_backward(dout.data, *arrays, statistics, ctx.eps, ctx.relu, ctx.training)
            return tuple([Tensor(gradient) for gradient in gradients])
        if ctx.relu:  # whose mask needs the output: it is computed again, because it is not saved
            dout = ReluGrad.apply(dout, Tensor(kernels.batch_norm_apply(*arrays, statistics, ctx.eps, ctx.relu)))
        return batch_norm_gradients(dout, x, weight, ctx.eps, None if ctx.training else ctx.statistics)


def batch_norm_gradients(
    dout: Tensor, x: Tensor, weight: Tensor, eps: float, fixed: kernels.BatchStatistics | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return dx, dweight and dbias as a composition of operations, which can be differentiated in turn.

    float16 is computed in float32; each gradient is rounded once, to the dtype of what it belongs to.

    Args:
        dout, x: (N, C, …).
        weight: (C,).
        eps: added to the variance.
        fixed: the statistics, if they are constants; None: they are computed from x.
    """
    dtype, wide = x.dtype, np.promote_types(x.dtype, np.float32)
    dx, dweight, dbias = _gradients(cast(dout, wide), cast(x, wide), cast(weight, wide), eps, fixed)
    return cast(dx, dtype), cast(dweight, weight.dtype), cast(dbias, weight.dtype)


def _gradients(
    dout: Tensor, x: Tensor, weight: Tensor, eps: float, fixed: kernels.BatchStatistics | None
) -> tuple[Tensor, Tensor, Tensor]:
    axes = (0, *range(2, x.ndim))
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    if fixed is None:
        centred = x - x.mean(axes, keepdims=True)
        inv_std = ((centred * centred).mean(axes, keepdims=True) + eps) ** -0.5
    else:
        centred = x - fixed.mean.reshape(per_channel)
        inv_std = Tensor(((fixed.var + eps) ** -0.5).reshape(per_channel).astype(x.dtype))
    xhat = centred * inv_std
    dweight, dbias = (dout * xhat).sum(axes), dout.sum(axes)
    if fixed is None:
        dout = dout - dout.mean(axes, keepdims=True) - xhat * (dout * xhat).mean(axes, keepdims=True)
    return weight.reshape(per_channel) * inv_std * dout, dweight, dbias


def batch_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
    relu: bool = False,
) -> Tensor:
    """Return x with each channel normalised to mean `bias` and standard deviation `weight`.

    In training the running statistics are updated in place: (1 - momentum) · old + momentum · new. In evaluation they
    are used instead of the batch's; x, weight and bias have gradients in both.

    Args:
        x: (N, C, …), floating.
        weight, bias: (C,), both of the dtype of x; both float32 for a float16 x, as mixed precision has them.
        running_mean, running_var: (C,); running_var holds the unbiased variance.
        training: whether to use the batch's statistics.
        momentum: the weight of the new value.
        eps: added to the variance.
        relu: also apply ReLU, fused; saves nothing extra for backward.

    Returns:
        A Tensor in the shape of x.

    Raises:
        ShapeError: also for a single value per channel in training, whose variance is 0.
        DtypeError.
    """
    weight, bias = floating_operands("batch_norm", weight=weight, bias=bias)
    if not (isinstance(x, Tensor) and x.dtype == np.float16 and weight.dtype == np.float32):
        x, weight = floating_operands("batch_norm", x=x, weight=weight)
    per_channel = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    for name, tensor in per_channel.items():
        if x.ndim < 2 or tensor.shape != x.shape[1:2]:
            raise ShapeError(f"batch_norm: {name} {tensor.shape} must hold one value per channel of x {x.shape}")
    if training and x.shape[0] * math.prod(x.shape[2:]) < 2:
        needed = "a larger batch (or evaluation mode, or the layer's freeze())"
        raise ShapeError(f"batch_norm: x {x.shape} has one value per channel, variance 0: training needs {needed}")
    running = Running(running_mean, running_var, momentum)
    return BatchNorm.apply(x, weight, bias, running=running, training=training, eps=float(eps), relu=relu)
