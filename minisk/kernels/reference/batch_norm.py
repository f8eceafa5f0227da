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
    centred, statistics = _centred(x)
    return _affine(centred, weight, bias, statistics, eps, relu, like=x), statistics


def batch_norm_moments(x: Array) -> Array:
    """Return mean and biased variance of each channel, float64 (2, C)."""
    return _centred(x)[1].in_float64()


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
    sums = batch_norm_gradient_sums(dout, x, weight, bias, statistics, eps, relu)
    dbias, dweight = (narrow(total, like=weight) for total in sums)
    if depends:
        means = sums / _per_channel(x)[1]
        return batch_norm_input_grad(dout, x, weight, bias, statistics, eps, relu, means), dweight, dbias
    # Without the two terms: times 0 they would be NaN for one infinite element of the channel.
    g, _ = _masked_gradient(dout, x, weight, bias, statistics, eps, relu)
    dx = _coefficients(weight, bias, statistics, eps)[1][:, None] * g
    return narrow(dx, like=x).reshape(x.shape), dweight, dbias


def batch_norm_gradient_sums(
    dout: Array, x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> Array:
    """Return dbias and dweight, (2, C)."""
    g, centred = _masked_gradient(dout, x, weight, bias, statistics, eps, relu)
    inv_std = _coefficients(weight, bias, statistics, eps)[0]
    dbias = precise_sum(g, (0, 2))
    dweight = _less_rest(precise_sum(g * centred, (0, 2)), statistics, dbias) * inv_std
    return array_module(x).stack([dbias, dweight])


def batch_norm_input_grad(
    dout: Array, x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool, means: Array
) -> Array:
    """Return dx; means: dbias / m and dweight / m, (2, C), over all m elements that the statistics are of."""
    g, dx = _masked_gradient(dout, x, weight, bias, statistics, eps, relu)
    inv_std, scale, _ = _coefficients(weight, bias, statistics, eps)
    mean_dbias, mean_dweight = means.astype(dx.dtype, copy=False)
    slope = -inv_std * mean_dweight
    dx *= slope[:, None]
    dx += g
    dx -= (mean_dbias + slope * statistics.rest)[:, None]
    dx *= scale[:, None]
    return narrow(dx, like=x).reshape(x.shape)


def _centred(x: Array) -> tuple[Array, BatchStatistics]:
    """Return x - center, (N, C, S), and the statistics of x."""
    x3, count = _per_channel(x)
    center = precise_sum(x3, (0, 2)) / count
    centred = x3 - center[:, None]
    # A second pass corrects the rounding error of the first mean: float32 is then enough for data such as 1e4 ± 1.
    rest = precise_sum(centred, (0, 2)) / count
    return centred, BatchStatistics(center, rest, precise_sum(centred * centred, (0, 2)) / count - rest * rest)


def _masked_gradient(
    dout: Array, x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> tuple[Array, Array]:
    """Return g and x - center, (N, C, S) each; g is dout itself without relu."""
    g, centred = _per_channel(dout)[0], _per_channel(x)[0] - statistics.center[:, None]
    if relu:
        _, scale, shift = _coefficients(weight, bias, statistics, eps)
        g = masked(g, ~(centred * scale[:, None] + shift[:, None] <= 0))
    return g, centred


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
