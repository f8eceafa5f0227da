"""Batch norm over a channel axis, with the ReLU behind it: statistics of a batch, normalise + affine, fused backward.

x: (N, C, …), seen as (N, C, S); weight, bias and all statistics: (C,). With m = N·S and xhat = (x - mean) · inv_std:

    y       = weight · xhat + bias                  out = y, or max(y, 0) with relu
    g       = dout, or dout where y > 0
    dbias   = Σ g            dweight = Σ g · xhat
    dx      = weight · inv_std · (g - dbias / m - xhat · dweight / m)       if the statistics are those of x
    dx      = weight · inv_std · g                                          if they are constants

ReLU's mask is computed from x again, so neither y nor out is needed in backward.
Source: Ioffe and Szegedy, *Batch Normalization*, 2015; affine fused as in Caffe's CuDNNBatchNorm layer.
"""

from typing import NamedTuple

from ...backend import Array, array_module
from .planes import narrow, widen


class BatchStatistics(NamedTuple):
    """Mean and biased variance of each channel, (C,) each; float32 for a float16 x.

    The mean is center + rest: in one float32, the mean of 1e4 ± 1 would be off by a thousandth of the deviation.
    """

    center: Array
    rest: Array
    var: Array

    @property
    def mean(self) -> Array:
        return self.center + self.rest

    @classmethod
    def fixed(cls, mean: Array, var: Array, like: Array) -> "BatchStatistics":
        """BatchStatistics from a given mean and variance, copied, to normalise x `like` this one with."""
        center, var = (widen(array.astype(like.dtype)) for array in (mean, var))
        return cls(center, array_module(mean).zeros_like(center), var)


def batch_norm_train(x: Array, weight: Array, bias: Array, eps: float, relu: bool) -> tuple[Array, BatchStatistics]:
    """Return out, and the batch's statistics."""
    x3, count = _per_channel(x)
    center = _channel_sum(x3) / count
    centred = x3 - center[:, None]
    # A second look corrects what rounding did to the first mean: 1e4 ± 1 survives float32.
    rest = _channel_sum(centred) / count
    statistics = BatchStatistics(center, rest, _channel_dot(centred, centred) / count - rest * rest)
    return _affine(centred, weight, bias, statistics, eps, relu, like=x), statistics


def batch_norm_apply(
    x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> Array:
    """Return out for given statistics: evaluation, and what training computed once more."""
    return _affine(_per_channel(x)[0] - statistics.center[:, None], weight, bias, statistics, eps, relu, like=x)


def batch_norm_backward(
    dout: Array,
    x: Array,
    weight: Array,
    bias: Array,
    statistics: BatchStatistics,
    eps: float,
    relu: bool,
    depends: bool,
) -> tuple[Array, Array, Array]:
    """Return dx, dweight, dbias; depends: whether the statistics are those of x, or constants."""
    (x3, count), (g, _) = _per_channel(x), _per_channel(dout)
    dx = x3 - statistics.center[:, None]
    inv_std, scale, shift = _coefficients(weight, bias, statistics, eps)
    if relu:
        g = g * (dx * scale[:, None] > -shift[:, None])
    dbias = _channel_sum(g)
    dweight = (_channel_dot(g, dx) - statistics.rest * dbias) * inv_std
    share = depends / count
    slope = -inv_std * dweight * share
    dx *= slope[:, None]
    dx += g
    dx -= (dbias * share + slope * statistics.rest)[:, None]
    dx *= scale[:, None]
    return narrow(dx, like=x).reshape(x.shape), narrow(dweight, like=weight), narrow(dbias, like=weight)


def _coefficients(weight: Array, bias: Array, statistics: BatchStatistics, eps: float) -> tuple[Array, Array, Array]:
    """Inverse deviation, and scale and shift of y = (x - center) · scale + shift."""
    inv_std = 1 / array_module(weight).sqrt(statistics.var + eps)
    scale = widen(weight) * inv_std
    return inv_std, scale, widen(bias) - statistics.rest * scale


def _affine(
    centred: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool, like: Array
) -> Array:
    """Turn x - center, in place, into an output like x."""
    _, scale, shift = _coefficients(weight, bias, statistics, eps)
    centred *= scale[:, None]
    centred += shift[:, None]
    out = array_module(centred).maximum(centred, 0, out=centred) if relu else centred
    return narrow(out, like).reshape(like.shape)


def _per_channel(x: Array) -> tuple[Array, int]:
    """View x as (N, C, S), wide enough to compute in, and count the values of a channel."""
    x3 = widen(x).reshape(x.shape[0], x.shape[1], -1)
    return x3, x3.shape[0] * x3.shape[2]


def _channel_sum(x: Array) -> Array:
    # Over images first: whole rows are added at once, five times faster than summing both axes when planes are small.
    return x.sum(axis=0).sum(axis=1)


def _channel_dot(x: Array, y: Array) -> Array:
    return array_module(x).einsum("ncs,ncs->c", x, y)
