"""Launch the kernels of batch_norm.cu: batch norm, with an optional fused ReLU.

x, out, dout, dx: (N, C, …); weight, bias and all statistics: (C,). All are C-contiguous. Kernels take weight and bias
in the dtype that they compute in, float32 for a float16 x; gradients are returned in the dtype of weight. A channel of
up to PART elements is one block's work. A larger channel is cut into parts of whole images, whose sums are added in
order.
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
    images, channels, spatial = sizes
    xp, wide = array_module(x), np.promote_types(x.dtype, np.float32)
    weight, bias = weight.astype(wide, copy=False), bias.astype(wide, copy=False)
    center = xp.empty(channels, wide)
    if parts == 1:
        out, statistics = xp.empty_like(x), BatchStatistics(center, xp.empty_like(center), xp.empty_like(center))
        launch(WHOLE, (channels,), block, (*sizes, eps, relu, x, weight, bias, out, *statistics))
        return out, statistics
    sums = xp.empty((2, parts, channels), wide)
    launch(MOMENTS, (channels, parts), block, (*sizes, x, center, *sums))
    rest, squares = sums.sum(axis=1, dtype=np.float64) / (images * spatial)
    statistics = BatchStatistics(center, rest.astype(wide), (squares - rest * rest).astype(wide))
    return launch_batch_norm_apply(x, weight, bias, statistics, eps, relu), statistics


def launch_batch_norm_apply(
    x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> Array:
    """Return out for given statistics."""
    sizes, parts, block = _partition(x)
    wide = statistics.var.dtype
    weight, bias = weight.astype(wide, copy=False), bias.astype(wide, copy=False)
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
    channels, wide = sizes[1], statistics.var.dtype
    xp, scale_and_shift = array_module(x), (weight.astype(wide, copy=False), bias.astype(wide, copy=False))
    given = dout, x, *scale_and_shift, *statistics
    dx = xp.empty_like(x)
    if parts == 1:
        dweight, dbias = xp.empty((2, channels), wide)
        launch(BACKWARD_WHOLE, (channels,), block, (*sizes, eps, relu, depends, *given, dx, dweight, dbias))
        return dx, dweight.astype(weight.dtype, copy=False), dbias.astype(weight.dtype, copy=False)
    sums = xp.empty((2, parts, channels), wide)
    launch(GRADIENT_SUMS, (channels, parts), block, (*sizes, eps, relu, *given, *sums))
    dbias, dweight = sums.sum(axis=1, dtype=np.float64).astype(sums.dtype)
    launch(INPUT_GRAD, (channels, parts), block, (*sizes, eps, relu, depends, *given, dbias, dweight, dx))
    return dx, dweight.astype(weight.dtype, copy=False), dbias.astype(weight.dtype, copy=False)


def _partition(x: Array) -> Partition:
    images, channels, spatial = x.shape[0], x.shape[1], math.prod(x.shape[2:])
    elements = images * spatial
    parts = min(images, MAX_GRID_Y, -(-elements // PART))
    block = (min(BLOCK, -(-elements // 32) * 32),)
    return Partition((images, channels, spatial), parts, block)
