"""Batch norm over a channel axis with an optional fused ReLU: batch statistics, normalisation and affine, backward.

x: (N, C, …), seen as (N, C, S); weight, bias and all statistics: (C,). With m = N·S and xhat = (x - mean) · inv_std:

    y       = weight · xhat + bias                  out = y, or max(y, 0) with relu
    g       = dout, or 0 where y ≤ 0
    dbias   = Σ g            dweight = Σ g · xhat
    dx      = weight · inv_std · (g - dbias / m - xhat · dweight / m)       if the statistics are those of x
    dx      = weight · inv_std · g                                          if they are constants

Backward computes ReLU's mask from x again, so it needs neither y nor out.
Source: Ioffe and Szegedy, *Batch Normalization*, 2015; affine fused as in Caffe's CuDNNBatchNorm layer.
"""

import math

from ...backend import Array, array_module
from ...cuda.geometry import BatchStatistics
from .precision import masked, narrow, precise_sum, widen


def batch_norm_train(x: Array, weight: Array, bias: Array, eps: float, relu: bool) -> tuple[Array, BatchStatistics]:
    """Return out, and the statistics of the batch."""
    x3, count = _per_channel(x)
    center = precise_sum(x3, (0, 2)) / count
    centred = x3 - center[:, None]
    # A second pass corrects the rounding error of the first mean: float32 is then enough for data such as 1e4 ± 1.
    rest = precise_sum(centred, (0, 2)) / count
    statistics = BatchStatistics(center, rest, precise_sum(centred * centred, (0, 2)) / count - rest * rest)
    return _affine(centred, weight, bias, statistics, eps, relu, like=x), statistics


def batch_norm_apply(
    x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> Array:
    """Return out for given statistics: in evaluation, or when backward computes it again."""
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
        g = masked(g, ~(dx * scale[:, None] + shift[:, None] <= 0))
    dbias = precise_sum(g, (0, 2))
    dweight = _less_rest(precise_sum(g * dx, (0, 2)), statistics, dbias) * inv_std
    if depends:
        slope = -inv_std * dweight / count
        dx *= slope[:, None]
        dx += g
        dx -= (dbias / count + slope * statistics.rest)[:, None]
        dx *= scale[:, None]
    else:  # without these terms: times 0 they would be NaN for one infinite element of the channel
        dx = scale[:, None] * g
    return narrow(dx, like=x).reshape(x.shape), narrow(dweight, like=weight), narrow(dbias, like=weight)


def _coefficients(weight: Array, bias: Array, statistics: BatchStatistics, eps: float) -> tuple[Array, Array, Array]:
    """Return the inverse deviation, and scale and shift of y = (x - center) · scale + shift."""
    inv_std = 1 / array_module(weight).sqrt(statistics.var + eps)
    scale = widen(weight) * inv_std
    return inv_std, scale, _less_rest(widen(bias), statistics, scale)


def _less_rest(value: Array, statistics: BatchStatistics, factor: Array) -> Array:
    """Return value - rest · factor; value where rest is 0, because 0 times an infinite factor would be NaN."""
    rest = statistics.rest
    return value - rest * masked(factor, rest != 0)


def _affine(
    centred: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool, like: Array
) -> Array:
    """Turn x - center into the output, in place; return it with shape and dtype of `like`."""
    _, scale, shift = _coefficients(weight, bias, statistics, eps)
    centred *= scale[:, None]
    centred += shift[:, None]
    out = array_module(centred).maximum(centred, 0, out=centred) if relu else centred
    return narrow(out, like).reshape(like.shape)


def _per_channel(x: Array) -> tuple[Array, int]:
    """Return x as (N, C, S), in the dtype to compute in, and the number of elements of a channel."""
    x3 = widen(x).reshape(*x.shape[:2], math.prod(x.shape[2:]))
    return x3, x3.shape[0] * x3.shape[2]
