"""Launch the kernels of batch_norm.cu: batch norm, with an optional fused ReLU.

x, out, dout, dx: (N, C, …); weight, bias and all statistics: (C,). All are C-contiguous. A channel of up to PART
elements is one block's work. A larger channel is cut into parts of whole images, whose sums are added in order.
"""

import math
from typing import NamedTuple

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
    center = xp.empty(channels, np.promote_types(x.dtype, np.float32))
    if parts == 1:
        out, statistics = xp.empty_like(x), BatchStatistics(center, xp.empty_like(center), xp.empty_like(center))
        launch(WHOLE, (channels,), block, (*sizes, eps, relu, x, weight, bias, out, *statistics))
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
    out = array_module(x).empty_like(x)
    launch(APPLY, (sizes[1], parts), block, (*sizes, eps, relu, x, weight, bias, *statistics, out))
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
    xp, given = array_module(x), (dout, x, weight, bias, *statistics)
    if parts == 1:
        dx, dweight, dbias = xp.empty_like(x), xp.empty_like(weight), xp.empty_like(weight)
        launch(BACKWARD_WHOLE, (sizes[1],), block, (*sizes, eps, relu, depends, *given, dx, dweight, dbias))
        return dx, dweight, dbias
    sums = launch_batch_norm_gradient_sums(dout, x, weight, bias, statistics, eps, relu)
    dx = xp.empty_like(x)
    launch(INPUT_GRAD, (sizes[1], parts), block, (*sizes, eps, relu, depends, *given, *sums, dx))
    dbias, dweight = (total.astype(weight.dtype, copy=False) for total in sums)
    return dx, dweight, dbias


def launch_batch_norm_gradient_sums(
    dout: Array, x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> Array:
    """Return dbias and dweight, (2, C), in the statistics' dtype."""
    sizes, parts, block = _partition(x)
    sums = array_module(x).empty((2, parts, sizes[1]), statistics.var.dtype)
    launch(GRADIENT_SUMS, (sizes[1], parts), block, (*sizes, eps, relu, dout, x, weight, bias, *statistics, *sums))
    return sums.sum(axis=1, dtype=np.float64).astype(sums.dtype)


def launch_batch_norm_input_grad(
    dout: Array, x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool, means: Array
) -> Array:
    """Return dx for given means of g and of g · xhat, (2, C), over all that the statistics are of."""
    sizes, parts, block = _partition(x)
    dx = array_module(x).empty_like(x)
    sums = means * (sizes[0] * sizes[2])  # the kernel divides by the number of elements of this x
    given = (dout, x, weight, bias, *statistics, *sums.astype(statistics.var.dtype, copy=False))
    launch(INPUT_GRAD, (sizes[1], parts), block, (*sizes, eps, relu, True, *given, dx))
    return dx


def _partition(x: Array) -> Partition:
    images, channels, spatial = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    elements = images * spatial
    parts = min(images, MAX_GRID_Y, -(-elements // PART))
    block = (min(BLOCK, -(-elements // 32) * 32),)
    return Partition((images, channels, spatial), parts, block)
