"""Synchronised batch norm: batch norm whose statistics are those of all ranks' images.

With m_r values of a channel on rank r, of mean μ_r and variance v_r, and M = Σ_r m_r:

    mean = Σ_r m_r μ_r / M        var = Σ_r m_r (v_r + (μ_r - mean)²) / M
    dx   = weight · inv_std · (g - Σ_r dbias_r / M - xhat · Σ_r dweight_r / M)

So a step is two exchanges a layer: (m, μ, v) in forward, (dbias, dweight) in backward. dweight and dbias stay each
rank's own, because all gradients are summed after backward. All sums are taken in float64.
Source: Ioffe and Szegedy, 2015, for the formulas; ChainerMN's MultiNodeBatchNormalization for the exchange.
"""

import numpy as np

from .. import kernels, ops
from ..autograd import Context, Function, Tensor, is_grad_enabled
from ..backend import Array, array_module
from ..errors import GraphError
from ..nn import BatchNorm1d, BatchNorm2d, Module
from ..ops.batch_norm import Running
from .group import Group


class SyncBatchNorm(Function):
    """Batch norm in training over all ranks' images. It has first derivatives only."""

    @staticmethod
    def forward(
        ctx: Context, x: Array, weight: Array, bias: Array, *, group: Group, running: Running, eps: float, relu: bool
    ) -> Array:
        xp, channels = array_module(x), x.shape[1]
        own = xp.concatenate([xp.full((1, channels), x.size // channels, np.float64), kernels.batch_norm_moments(x)])
        counts, means, variances = group.gather(own).transpose(1, 0, 2)
        total = counts.sum(axis=0)
        mean = (counts * means).sum(axis=0) / total
        var = (counts * (variances + (means - mean) ** 2)).sum(axis=0) / total
        wide = np.promote_types(x.dtype, np.float32)
        center = mean.astype(wide)
        statistics = kernels.BatchStatistics(center, (mean - center).astype(wide), var.astype(wide))
        running.update(statistics, total)
        ctx.save_for_backward(x, weight, bias)
        ctx.group, ctx.statistics, ctx.total, ctx.eps, ctx.relu = group, statistics, total, eps, relu
        return kernels.batch_norm_apply(x, weight, bias, statistics, eps, relu)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, ...]:
        if is_grad_enabled():
            raise GraphError("sync_batch_norm: has no second derivative; train on one process, or without --sync-bn")
        x, weight, bias = ctx.saved_tensors
        given = (dout.data, x.data, weight.data, bias.data, ctx.statistics, ctx.eps, ctx.relu)
        sums = kernels.batch_norm_gradient_sums(*given)
        means = ctx.group.gather(sums.astype(np.float64)).sum(axis=0) / ctx.total
        dx = kernels.batch_norm_input_grad(*given, means)
        dbias, dweight = sums.astype(weight.dtype, copy=False)
        return Tensor(dx), Tensor(dweight), Tensor(dbias)


def synchronize_batch_norms(model: Module, group: Group) -> None:
    """Let every batch norm of the model that is not frozen use the statistics of all ranks' images in training."""

    def normalize(
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        training: bool,
        momentum: float,
        eps: float,
        relu: bool,
    ) -> Tensor:
        if not training:
            return ops.batch_norm(x, weight, bias, running_mean, running_var, False, momentum, eps, relu)
        running = Running(running_mean, running_var, momentum)
        return SyncBatchNorm.apply(x, weight, bias, group=group, running=running, eps=eps, relu=relu)

    for module in model.modules():
        if isinstance(module, BatchNorm1d | BatchNorm2d):
            module.normalize = normalize
            module.processes = group.size
