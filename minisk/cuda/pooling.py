"""Max and average pooling by the kernels of pooling.cu: a block, or a row of blocks, for a plane."""

from __future__ import annotations

import numpy as np

from ..device import Array, array_module
from .launcher import Kernel, launch, with_twin
from .planes import plane_block, plane_grid
from .twins import pooling as twins
from .twins.pooling import Window

MAX_POOL, MEAN_POOL = Kernel("pooling.cu", "max_pool"), Kernel("pooling.cu", "mean_pool")
SCATTER, GATHER = Kernel("pooling.cu", "max_pool_scatter"), Kernel("pooling.cu", "max_pool_gather")
SPREAD = Kernel("pooling.cu", "mean_pool_spread")


@with_twin(twins.max_pool2d, least=8192)
def max_pool2d(x: Array, window: Window) -> tuple[Array, Array]:
    xp, shape = array_module(x), x.shape[:2] + window.out
    out, winner = xp.empty(shape, x.dtype), xp.empty(shape, np.int32)
    _launch(MAX_POOL, window, x.shape, x, out, winner)
    return out, winner


@with_twin(twins.max_pool2d_scatter, least=8192)
def max_pool2d_scatter(dout: Array, winner: Array, window: Window, shape: tuple[int, ...]) -> Array:
    dx = array_module(dout).empty(shape, dout.dtype)
    _launch(SCATTER, window, shape, dout, winner, dx)
    return dx


@with_twin(twins.max_pool2d_gather, least=8192)
def max_pool2d_gather(x: Array, winner: Array, window: Window) -> Array:
    out = array_module(x).empty(winner.shape, x.dtype)
    _launch(GATHER, window, x.shape, x, winner, out)
    return out


@with_twin(twins.avg_pool2d, least=8192)
def avg_pool2d(x: Array, window: Window) -> Array:
    out = array_module(x).empty(x.shape[:2] + window.out, x.dtype)
    _launch(MEAN_POOL, window, x.shape, x, out)
    return out


@with_twin(twins.avg_pool2d_spread, least=8192)
def avg_pool2d_spread(dout: Array, window: Window, shape: tuple[int, ...]) -> Array:
    dx = array_module(dout).empty(shape, dout.dtype)
    _launch(SPREAD, window, shape, dout, dx)
    return dx


def _launch(kernel: Kernel, window: Window, shape: tuple[int, ...], *arrays: Array) -> None:
    """Run a kernel for every window of an input of this shape."""
    n, c, h, w = shape
    windows = window.out[0] * window.out[1]
    grid = plane_grid(n * c, windows)
    sizes = (h, w, *window.kernel, *window.stride, *window.padding, *window.out)
    if kernel in (SCATTER, SPREAD):  # a block never takes more than one plane
        launch(kernel, (n * c, grid[1]), plane_block(windows), (*sizes, *arrays))
    else:
        launch(kernel, grid, plane_block(windows), (n * c, *sizes, *arrays))
