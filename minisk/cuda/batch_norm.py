"""Batch norm with the ReLU behind it, by the kernels of batch_norm.cu: a block for a channel, or a part of one."""

import math

import numpy as np

from ..backend import Array, array_module
from ..runtime.launcher import Kernel, launch, with_twin
from .twins import batch_norm as twins
from .twins.batch_norm import BatchStatistics
from .twins.planes import narrow

WHOLE, MOMENTS, APPLY, BACKWARD_WHOLE, GRADIENT_SUMS, INPUT_GRAD = (
    Kernel("batch_norm.cu", f"batch_norm_{name}")
    for name in ("whole", "moments", "apply", "backward_whole", "gradient_sums", "input_grad")
)

BLOCK = 512
PART = 32768  # values of a channel for one block: so many of x and dout stay in a processor's own cache


@with_twin(twins.batch_norm_train, least=8192)
def batch_norm_train(x: Array, weight: Array, bias: Array, eps: float, relu: bool) -> tuple[Array, BatchStatistics]:
    sizes, parts, block = _layout(x)
    xp, wide = array_module(x), np.promote_types(x.dtype, np.float32)
    center = xp.empty(sizes[1], wide)
    if parts == 1:
        out, statistics = xp.empty_like(x), BatchStatistics(center, xp.empty_like(center), xp.empty_like(center))
        launch(WHOLE, (sizes[1],), block, (*sizes, eps, relu, x, weight, bias, out, *statistics))
        return out, statistics
    sums = xp.empty((2, parts, sizes[1]), wide)
    launch(MOMENTS, (sizes[1], parts), block, (*sizes, x, center, *sums))
    rest, squares = sums.sum(axis=1) / (sizes[0] * sizes[2])
    statistics = BatchStatistics(center, rest, squares - rest * rest)
    return batch_norm_apply(x, weight, bias, statistics, eps, relu), statistics


@with_twin(twins.batch_norm_apply, least=8192)
def batch_norm_apply(
    x: Array, weight: Array, bias: Array, statistics: BatchStatistics, eps: float, relu: bool
) -> Array:
    sizes, parts, block = _layout(x)
    out = array_module(x).empty_like(x)
    launch(APPLY, (sizes[1], parts), block, (*sizes, eps, relu, x, weight, bias, *statistics, out))
    return out


@with_twin(twins.batch_norm_backward, least=8192)
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
    sizes, parts, block = _layout(x)
    xp, given = array_module(x), (dout, x, weight, bias, *statistics)
    dx, dweight, dbias = xp.empty_like(x), xp.empty_like(weight), xp.empty_like(weight)
    if parts == 1:
        launch(BACKWARD_WHOLE, (sizes[1],), block, (*sizes, eps, relu, depends, *given, dx, dweight, dbias))
        return dx, dweight, dbias
    sums = xp.empty((2, parts, sizes[1]), statistics.var.dtype)
    launch(GRADIENT_SUMS, (sizes[1], parts), block, (*sizes, eps, relu, *given, *sums))
    dbias, dweight = sums.sum(axis=1)
    launch(INPUT_GRAD, (sizes[1], parts), block, (*sizes, eps, relu, depends, *given, dbias, dweight, dx))
    return dx, narrow(dweight, like=weight), narrow(dbias, like=weight)


def _layout(x: Array) -> tuple[tuple[int, int, int], int, tuple[int]]:
    """(images, channels, spatial), parts that a channel is cut into (whole images each), and threads of a block."""
    (images, channels), spatial = x.shape[:2], math.prod(x.shape[2:])
    values = images * spatial
    parts = min(images, 65535, -(-values // PART))
    return (images, channels, spatial), parts, (min(BLOCK, -(-values // 32) * 32),)
