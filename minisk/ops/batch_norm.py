"""Batch norm with its affine part fused, the "CuDNNBatchNorm" of the original, and if asked for the ReLU behind it.

    out = weight · (x - mean) / sqrt(var + eps) + bias        per channel; mean and var over images and pixels

Training takes mean and (biased) var from the batch, and they depend on x; evaluation takes the running ones.
Source: Ioffe and Szegedy, 2015; the CuDNNBatchNorm layer of the GENet and SKNet Caffe forks.
"""

import math

from .. import kernels
from ..autograd.function import Function, is_grad_enabled
from ..autograd.tensor import Tensor
from ..backend import Array
from ..errors import ShapeError
from .dtypes import require_floating
from .elementwise import ReluGrad


class BatchNorm(Function):
    def forward(
        ctx,
        x: Array,
        weight: Array,
        bias: Array,
        *,
        running_mean: Tensor,
        running_var: Tensor,
        training: bool,
        momentum: float,
        eps: float,
        relu: bool,
    ) -> Array:
        if training:
            out, statistics = kernels.batch_norm_train(x, weight, bias, eps, relu)
            count = x.size // x.shape[1]
            _move_towards(running_mean, statistics.mean, momentum)
            _move_towards(running_var, statistics.var * (count / (count - 1)), momentum)
        else:
            statistics = kernels.BatchStatistics.fixed(running_mean.data, running_var.data, like=x)
            out = kernels.batch_norm_apply(x, weight, bias, statistics, eps, relu)
        ctx.save_for_backward(x, weight, bias)
        ctx.statistics, ctx.depends, ctx.eps, ctx.relu = statistics, training, eps, relu
        return out

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, bias = ctx.saved_tensors
        given = x.data, weight.data, bias.data, ctx.statistics, ctx.eps, ctx.relu
        if not is_grad_enabled():  # nobody will differentiate this: the fused kernel may run
            dx, dweight, dbias = kernels.batch_norm_backward(dout.data, *given, ctx.depends)
            return Tensor(dx), Tensor(dweight), Tensor(dbias)
        if ctx.relu:
            dout = ReluGrad.apply(dout, Tensor(kernels.batch_norm_apply(*given)))
        return batch_norm_gradients(dout, x, weight, ctx.eps, None if ctx.depends else ctx.statistics)


def batch_norm_gradients(
    dout: Tensor, x: Tensor, weight: Tensor, eps: float, fixed: kernels.BatchStatistics | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients as a composition of operations, which can be differentiated in turn.

    fixed: statistics that are constants; else they depend on x, and dx loses what moves them:

    dbias = Σ dout    dweight = Σ dout·xhat    dx = weight / std · (dout - mean(dout) - xhat · mean(dout·xhat))
    """
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


def _move_towards(running: Tensor, value: Array, momentum: float) -> None:
    running.data *= 1 - momentum
    running.data += (momentum * value).astype(running.dtype)
    running.mark_written()


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
    """Normalise each channel to mean `bias` and deviation `weight`; relu: and return max(that, 0), in the same pass.

    x: (N, C, …); weight, bias, running_mean, running_var: (C,). In training the running statistics are updated in
    place: (1 - momentum) · old + momentum · new, the variance unbiased. In evaluation they are used, and x, weight and
    bias still have gradients. Raises ShapeError (also for a single value per channel in training), DtypeError.
    """
    require_floating("batch_norm", x=x, weight=weight, bias=bias)
    per_channel = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    for name, tensor in per_channel.items():
        if x.ndim < 2 or tensor.shape != x.shape[1:2]:
            raise ShapeError(f"batch_norm: {name} {tensor.shape} must hold one value per channel of x {x.shape}")
    if training and x.shape[0] * math.prod(x.shape[2:]) < 2:
        needed = "a larger batch (or evaluation mode, or BatchNorm2d.freeze())"
        raise ShapeError(f"batch_norm: x {x.shape} has one value per channel, variance 0: training needs {needed}")
    settings = {"training": training, "momentum": momentum, "eps": float(eps), "relu": relu}
    return BatchNorm.apply(x, weight, bias, running_mean=running_mean, running_var=running_var, **settings)
