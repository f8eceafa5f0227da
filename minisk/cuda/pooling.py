"""Launch the kernels of pooling.cu. x, dx: (N, C, H, W); out, dout, winner: (N, C, Ho, Wo); all C-contiguous."""

from typing import Any

import numpy as np

from ..backend import Array, array_module
from ..runtime import Kernel, launch
from .geometry import PoolWindow
from .grids import plane_block, plane_grid

MAX_POOL = Kernel("pooling.cu", "max_pool")
MAX_POOL_SCATTER = Kernel("pooling.cu", "max_pool_scatter")
MAX_POOL_GATHER = Kernel("pooling.cu", "max_pool_gather")
MEAN_POOL = Kernel("pooling.cu", "mean_pool")
MEAN_POOL_SPREAD = Kernel("pooling.cu", "mean_pool_spread")


def launch_max_pool2d(x: Array, window: PoolWindow) -> tuple[Array, Array]:
    """Return the maxima, and the number of the tap that each came from (int32)."""
    out = _empty_outputs(x, window)
    winner = array_module(x).empty(out.shape, np.int32)
    _launch_windows(MAX_POOL, x.shape, window, (x, out, winner))
    return out, winner


def launch_max_pool2d_gather(x: Array, winner: Array, window: PoolWindow) -> Array:
    """Return the element of x at the winning tap of each window."""
    out = _empty_outputs(x, window)
    _launch_windows(MAX_POOL_GATHER, x.shape, window, (x, winner, out))
    return out


def launch_avg_pool2d(x: Array, window: PoolWindow) -> Array:
    """Return the mean of each window."""
    out = _empty_outputs(x, window)
    _launch_windows(MEAN_POOL, x.shape, window, (int(window.count_padding), x, out))
    return out


def launch_max_pool2d_scatter(dout: Array, winner: Array, window: PoolWindow, shape: tuple[int, ...]) -> Array:
    """Return dx of this shape: each window's gradient goes to the element that won it."""
    dx = array_module(dout).empty(shape, dout.dtype)
    _launch_gradient(MAX_POOL_SCATTER, shape, window, (dout, winner, dx))
    return dx


def launch_avg_pool2d_spread(dout: Array, window: PoolWindow, shape: tuple[int, ...]) -> Array:
    """Return dx of this shape: each element of a window gets an equal share of the window's gradient."""
    dx = array_module(dout).empty(shape, dout.dtype)
    _launch_gradient(MEAN_POOL_SPREAD, shape, window, (int(window.count_padding), dout, dx))
    return dx


def _empty_outputs(x: Array, window: PoolWindow) -> Array:
    return array_module(x).empty((*x.shape[:2], *window.out), x.dtype)


def _launch_windows(kernel: Kernel, shape: tuple[int, ...], window: PoolWindow, rest: tuple[Any, ...]) -> None:
    """Launch a kernel that reduces each window of an input of this shape to one element."""
    planes, windows = shape[0] * shape[1], window.out[0] * window.out[1]
    args = (planes, *_sizes(window, shape), *rest)
    launch(kernel, plane_grid(planes, windows), plane_block(windows), args)


def _launch_gradient(kernel: Kernel, shape: tuple[int, ...], window: PoolWindow, rest: tuple[Any, ...]) -> None:
    """Launch a kernel that computes the gradient of an input of this shape; each block takes one plane."""
    planes, windows = shape[0] * shape[1], window.out[0] * window.out[1]
    tiles = plane_grid(planes, windows)[1]
    launch(kernel, (planes, tiles), plane_block(windows), (*_sizes(window, shape), *rest))


def _sizes(window: PoolWindow, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return `struct Window` of pooling.cu, as the kernels take it: h, w, kh, kw, sh, sw, ph, pw, ho, wo."""
    return (*shape[2:], *window.kernel, *window.stride, *window.padding, *window.out)
