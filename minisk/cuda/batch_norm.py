"""Launch the kernels of batch_norm.cu: batch norm, with an optional fused ReLU.

x, out, dout, dx: (N, C, …); weight, bias and all statistics: (C,). All are C-contiguous. Kernels take weight and bias
in the dtype that they compute in, float32 for a float16 x; gradients are returned in the dtype of weight. A channel of
up to PART elements is one block's work. A larger channel is cut into parts of whole images, whose sums are added in
order.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array, array_module
from ..runtime import Kernel, launch
from .geometry import BatchStatistics
from .grids import MAX_GRID_Y

WHOLE = Kernel("batch_norm.cu", "batch_norm_whole")
MOMENTS = Kernel("batch_norm.cu", "batch_norm_moments")
APPLY = Kernel("batch_norm.cu", "batch_norm_apply")
BACKWARD_WHOLE = Kernel("batch_norm.cu", "batch_norm_backward_whole")
GRADIENT_SUMS = Kernel("batch_norm.cu", "batch_norm_gradient_sums")
INPUT_GRAD = Kernel("batch_norm.cu", "batch_norm_input_grad")

BLOCK = 512
PART = 32768  # elements of a channel per block: x and dout of a part fit into a processor's own cache


class Partition(NamedTuple):
    """Sizes of x as the kernels see it, the parts of a channel, and the block."""

    sizes: tuple[int, int, int]  # images, channels, spatial
    parts: int
    block: tuple[int]


def launch_batch_norm_train(
    x: Array, weight: Array, bias: Array, eps: float, relu: bool
) -> tuple[Array, BatchStatistics]:
    """Return out, and the statistics of the batch."""
    sizes, parts, block = _partition(x)
    xp, channels = array_module(x), sizes[1]
    if parts == 1:
        center = xp.empty(channels, np.promote_types(x.dtype, np.float32))
        out, statistics = xp.empty_like(x), BatchStatistics(center, xp.empty_like(center), xp.empty_like(center))
        given = x, *_in(center.dtype, weight, bias)
        launch(WHOLE, (channels,), block, (*sizes, eps, relu, *given, out, *statistics))
        return out, statistics
    statistics = launch_batch_norm_moments(x)
    return launch_batch_norm_apply(x, weight, bias, statistics, eps, relu), statistics


def launch_batch_norm_moments(x: Array) -> BatchStatistics:
    """Return the statistics of x."""
    (images, channels, spatial), parts, block = _partition(x)
    xp, wide = array_module(x), np.promote_types(x.dtype, np.float32)
    center, sums = xp.empty(channels, wide), xp.empty((2, parts, channels), wide)
    launch(MOMENTS, (channels, parts), block, (images, channels, spatial, x, center, *sums))
    rest, squares = sums.sum(axis=1, dtype=np.float64) / (images * spatial)
    return BatchStatistics(center, rest.astype(wide), (squares - rest * rest).astype(wide))


def launch_batch_norm_apply(
    x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> Array:
    """Return out for given statistics."""
    sizes, parts, block = _partition(x)
    out, given = array_module(x).empty_like(x), (x, *_in(statistics.var.dtype, weight, bias), *statistics)
    launch(APPLY, (sizes[1], parts), block, (*sizes, eps, relu, *given, out))
    return out


def launch_batch_norm_backward(
    dout: Array,
    x: Array,
    weight: Array,
    bias: Array,
    statistics: BatchStatistics,
    eps: float,
    relu: bool,
    depends: bool,
) -> tuple[Array, Array, Array]:
    """Return dx, dweight and dbias; depends: whether the statistics are those of x, or constants."""
    sizes, parts, block = _partition(x)
    xp, channels, wide = array_module(x), sizes[1], statistics.var.dtype
    if parts == 1:
        given = dout, x, *_in(wide, weight, bias), *statistics
        dx, (dweight, dbias) = xp.empty_like(x), xp.empty((2, channels), wide)
        launch(BACKWARD_WHOLE, (channels,), block, (*sizes, eps, relu, depends, *given, dx, dweight, dbias))
        return dx, *_in(weight.dtype, dweight, dbias)
    sums = launch_batch_norm_gradient_sums(dout, x, weight, bias, statistics, eps, relu)
    dx = _input_grad(dout, x, weight, bias, statistics, eps, relu, depends, sums)
    dbias, dweight = _in(weight.dtype, *sums)
    return dx, dweight, dbias


def launch_batch_norm_gradient_sums(
    dout: Array, x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> Array:
    """Return dbias and dweight, (2, C), in the statistics' dtype."""
    sizes, parts, block = _partition(x)
    wide = statistics.var.dtype
    sums = array_module(x).empty((2, parts, sizes[1]), wide)
    given = dout, x, *_in(wide, weight, bias), *statistics
    launch(GRADIENT_SUMS, (sizes[1], parts), block, (*sizes, eps, relu, *given, *sums))
    return sums.sum(axis=1, dtype=np.float64).astype(wide)


def launch_batch_norm_input_grad(
    dout: Array, x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool, means: Array
) -> Array:
    """Return dx for given means of g and of g · xhat, (2, C), over all that the statistics are of."""
    sums = means * (x.size // x.shape[1])  # the kernel divides by the number of elements of this x
    return _input_grad(dout, x, weight, bias, statistics, eps, relu, True, sums)


def _input_grad(
    dout: Array,
    x: Array,
    weight: Array,
    bias: Array,
    statistics: BatchStatistics,
    eps: float,
    relu: bool,
    depends: bool,
    sums: Array,
) -> Array:
    """Return dx for given sums of g and of g · xhat, (2, C)."""
    sizes, parts, block = _partition(x)
    dx = array_module(x).empty_like(x)
    given = (dout, x, *_in(statistics.var.dtype, weight, bias, *statistics, *sums))
    launch(INPUT_GRAD, (sizes[1], parts), block, (*sizes, eps, relu, depends, *given, dx))
    return dx


def _in(dtype: np.dtype[Any], *arrays: Array) -> tuple[Array, ...]:
    """Return the arrays in a dtype, without a copy where they have it."""
    return tuple([array.astype(dtype, copy=False) for array in arrays])


def _partition(x: Array) -> Partition:
    images, channels, spatial = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    elements = images * spatial
    parts = min(images, MAX_GRID_Y, -(-elements // PART))
    block = (min(BLOCK, -(-elements // 32) * 32),)
    return Partition((images, channels, spatial), parts, block)
