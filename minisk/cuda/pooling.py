"""Max and average pooling by the kernels of pooling.cu: a block, or a row of blocks, for a plane."""

from functools import partial
from typing import Any

import numpy as np

from ..device import Array, array_module
from .launcher import Kernel, launch, with_twin
from .planes import plane_block, plane_grid
from .twins import pooling as twins
from .twins.windows import Window

MAX_POOL, MEAN_POOL = Kernel("pooling.cu", "max_pool"), Kernel("pooling.cu", "mean_pool")
SCATTER, GATHER = Kernel("pooling.cu", "max_pool_scatter"), Kernel("pooling.cu", "max_pool_gather")
SPREAD = Kernel("pooling.cu", "mean_pool_spread")


def _pooled(kernel: Kernel, x: Array, *rest: Any, after: tuple[Array, ...] = ()) -> Array:
    """Run a kernel that makes a number of each window of x.

    rest: further arrays that it reads, then the window; after: those that it takes behind its output.
    """
    *arrays, window = rest
    (n, c), windows = x.shape[:2], window.out[0] * window.out[1]
    out = array_module(x).empty((n, c, *window.out), x.dtype)
    args = (n * c, *_sizes(window, x.shape), x, *arrays, out, *after)
    launch(kernel, plane_grid(n * c, windows), plane_block(windows), args)
    return out


def _spread(kernel: Kernel, dout: Array, *rest: Any) -> Array:
    """Run a kernel that hands the windows' gradients on to an input; a block of it never takes more than one plane.

    rest: further arrays that it reads, then the window, and the input's shape.
    """
    *arrays, window, shape = rest
    (n, c), windows = shape[:2], window.out[0] * window.out[1]
    dx = array_module(dout).empty(shape, dout.dtype)
    args = (*_sizes(window, shape), dout, *arrays, dx)
    launch(kernel, (n * c, plane_grid(n * c, windows)[1]), plane_block(windows), args)
    return dx


def _sizes(window: Window, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[2:], *window.kernel, *window.stride, *window.padding, *window.out)


@with_twin(twins.max_pool2d, least=8192)
def max_pool2d(x: Array, window: Window) -> tuple[Array, Array]:
    winner = array_module(x).empty(x.shape[:2] + window.out, np.int32)
    return _pooled(MAX_POOL, x, window, after=(winner,)), winner


max_pool2d_scatter = with_twin(twins.max_pool2d_scatter, least=8192)(partial(_spread, SCATTER))
max_pool2d_gather = with_twin(twins.max_pool2d_gather, least=8192)(partial(_pooled, GATHER))
avg_pool2d = with_twin(twins.avg_pool2d, least=8192)(partial(_pooled, MEAN_POOL))
avg_pool2d_spread = with_twin(twins.avg_pool2d_spread, least=8192)(partial(_spread, SPREAD))
