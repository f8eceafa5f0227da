"""Planes, rows and single numbers: axpy and the select step, pooling, softmax and cross entropy, ReLU, the optimizer.

A plane (or a row) has a block, large planes a row of blocks; of single numbers each thread takes several.
"""

import math
from functools import cache, partial
from typing import Any

import numpy as np

from ..backend import Array, array_module
from ..runtime.launcher import Kernel, launch, with_twin
from .twins import planes as twins
from .twins import windows
from .twins.windows import PoolWindow

AXPY_FORWARD, CHANNEL_DOT = Kernel("axpy.cu", "axpy_forward"), Kernel("axpy.cu", "channel_dot_shuffle")
CHANNEL_SCALE, CHANNEL_ADD, PLANE_MEAN = (Kernel("axpy.cu", f) for f in ("channel_scale", "channel_add", "plane_mean"))
MAX_POOL, MEAN_POOL = Kernel("pooling.cu", "max_pool"), Kernel("pooling.cu", "mean_pool")
SCATTER, GATHER = Kernel("pooling.cu", "max_pool_scatter"), Kernel("pooling.cu", "max_pool_gather")
SPREAD = Kernel("pooling.cu", "mean_pool_spread")

ROWS, ROWS_GRAD = Kernel("softmax.cu", "softmax_rows"), Kernel("softmax.cu", "softmax_rows_grad")
COLUMNS, COLUMNS_GRAD = Kernel("softmax.cu", "softmax_columns"), Kernel("softmax.cu", "softmax_columns_grad")
CROSS_ENTROPY = Kernel("softmax.cu", "cross_entropy_rows")
CROSS_ENTROPY_GRAD = Kernel("softmax.cu", "cross_entropy_rows_grad")

ADD, RELU, ADD_RELU, RELU_GRAD = (Kernel("elementwise.cu", name) for name in ("add", "relu", "add_relu", "relu_grad"))
SGD_MOMENTUM = Kernel("sgd.cu", "sgd_momentum")

BLOCK = 256
PER_BLOCK = 4 * BLOCK  # values that keep a block busy: a large plane is shared by several, small ones share one
PER_THREAD = 8  # values for each thread, before a further block helps
MOST_BRANCHES = 4  # as many pointers as the select kernels take; beyond, the formula does it


def plane_block(spatial: int) -> tuple[int]:
    """Whole warps, as many as a plane of `spatial` values has use for."""
    return (min(BLOCK, -(-spatial // 32) * 32),)


def plane_grid(planes: int, spatial: int) -> tuple[int, int]:
    """Blocks for planes of `spatial` values: (planes, tiles), or fewer than planes if they are small."""
    return -(-planes // max(1, PER_BLOCK // spatial)), min(65535, -(-spatial // PER_BLOCK))


def _planes(kernel: Kernel, *arrays: Array) -> Array:
    """Run a kernel that makes planes of numbers and planes; the last array has the shape of the result."""
    n, c, h, w = arrays[-1].shape
    out = array_module(arrays[-1]).empty_like(arrays[-1])
    launch(kernel, plane_grid(n * c, h * w), plane_block(h * w), (n * c, h * w, *arrays, out))
    return out


def _numbers(kernel: Kernel, *arrays: Array) -> Array:
    """Run a kernel that makes a number, (N, C), of every plane of the arrays."""
    n, c, h, w = arrays[0].shape
    out = array_module(arrays[0]).empty((n, c), arrays[0].dtype)
    launch(kernel, plane_grid(n * c, h * w)[:1], plane_block(h * w), (n * c, h * w, *arrays, out))
    return out


axpy = with_twin(twins.axpy, least=8192)(partial(_planes, AXPY_FORWARD))
channel_scale = with_twin(twins.channel_scale, least=8192)(partial(_planes, CHANNEL_SCALE))
channel_add = with_twin(twins.channel_add, least=65536)(partial(_planes, CHANNEL_ADD))
channel_dot = with_twin(twins.channel_dot, least=8192)(partial(_numbers, CHANNEL_DOT))
plane_mean = with_twin(twins.plane_mean, least=8192)(partial(_numbers, PLANE_MEAN))


@cache
def _kernel(name: str, branches: int) -> Kernel:
    return Kernel("select.cu", name, BRANCHES=branches)


@with_twin(twins.select, least=8192)
def select(logits: Array, *branches: Array) -> tuple[Array, Array]:
    xp, (n, c, h, w) = array_module(logits), branches[0].shape
    if len(branches) > MOST_BRANCHES:
        return twins.select(logits, *branches)
    weights, out = xp.empty_like(logits), xp.empty_like(branches[0])
    unused = [xp.empty(1, logits.dtype)] * (MOST_BRANCHES - len(branches))
    args = (n * c, c, h * w, logits, *branches, *unused, weights, out)
    launch(_kernel("select_forward", len(branches)), plane_grid(n * c, h * w), plane_block(h * w), args)
    return out, weights


@with_twin(twins.select_grad, least=8192)
def select_grad(dout: Array, dweights: Array, weights: Array, *branches: Array) -> tuple[Array, ...]:
    xp, (n, c, h, w) = array_module(dout), dout.shape
    if len(branches) > MOST_BRANCHES:
        return twins.select_grad(dout, dweights, weights, *branches)
    dlogits, dbranches = xp.empty_like(weights), [xp.empty_like(branch) for branch in branches]
    unused = [xp.empty(1, dout.dtype)] * (MOST_BRANCHES - len(branches))
    args = (n * c, c, h * w, dout, dweights, weights, *branches, *unused, dlogits, *dbranches, *unused)
    launch(_kernel("select_backward", len(branches)), plane_grid(n * c, h * w)[:1], plane_block(h * w), args)
    return dlogits, *dbranches


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


def _sizes(window: PoolWindow, shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[2:], *window.kernel, *window.stride, *window.padding, *window.out)


@with_twin(windows.max_pool2d, least=8192)
def max_pool2d(x: Array, window: PoolWindow) -> tuple[Array, Array]:
    winner = array_module(x).empty(x.shape[:2] + window.out, np.int32)
    return _pooled(MAX_POOL, x, window, after=(winner,)), winner


max_pool2d_scatter = with_twin(windows.max_pool2d_scatter, least=8192)(partial(_spread, SCATTER))
max_pool2d_gather = with_twin(windows.max_pool2d_gather, least=8192)(partial(_pooled, GATHER))
avg_pool2d = with_twin(windows.avg_pool2d, least=8192)(partial(_pooled, MEAN_POOL))
avg_pool2d_spread = with_twin(windows.avg_pool2d_spread, least=8192)(partial(_spread, SPREAD))


def _along(rows: Kernel, columns: Kernel, is_log: bool, *arguments: Any) -> Array:
    """Run one of two kernels: one for a last axis, one for an axis with others behind it.

    arguments: arrays of one shape, then the axis.
    """
    *arrays, axis = arguments
    shape, out = arrays[0].shape, array_module(arrays[0]).empty_like(arrays[0])
    outer, n, inner = math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])
    if inner == 1:
        launch(rows, plane_grid(outer, n)[:1], plane_block(n), (outer, n, is_log, *arrays, out))
    else:
        block = plane_block(inner)
        launch(columns, (outer, min(65535, -(-inner // block[0]))), block, (n, inner, is_log, *arrays, out))
    return out


softmax = with_twin(twins.softmax, least=8192)(partial(_along, ROWS, COLUMNS, False))
log_softmax = with_twin(twins.log_softmax, least=8192)(partial(_along, ROWS, COLUMNS, True))
softmax_grad = with_twin(twins.softmax_grad, least=8192)(partial(_along, ROWS_GRAD, COLUMNS_GRAD, False))
log_softmax_grad = with_twin(twins.log_softmax_grad, least=8192)(partial(_along, ROWS_GRAD, COLUMNS_GRAD, True))


@with_twin(twins.cross_entropy, least=8192)
def cross_entropy(logits: Array, wanted: Array) -> Array:
    rows, n = logits.shape
    losses = array_module(logits).empty(rows, logits.dtype)
    launch(CROSS_ENTROPY, plane_grid(rows, n)[:1], plane_block(n), (rows, n, logits, wanted, losses))
    return losses


@with_twin(twins.cross_entropy_grad, least=8192)
def cross_entropy_grad(dloss: Array, logits: Array, wanted: Array) -> Array:
    (rows, n), out = logits.shape, array_module(logits).empty_like(logits)
    launch(CROSS_ENTROPY_GRAD, plane_grid(rows, n)[:1], plane_block(n), (rows, n, dloss, logits, wanted, out))
    return out


def flat_grid(count: int) -> tuple[int]:
    """Blocks for an array of `count` values; a kernel's loop covers what is beyond the limit."""
    return (min(65535, -(-count // (BLOCK * PER_THREAD))),)


def _each(kernel: Kernel, *arrays: Array) -> Array:
    out, count = array_module(arrays[0]).empty_like(arrays[0]), arrays[0].size
    launch(kernel, flat_grid(count), (BLOCK,), (count, *arrays, out))
    return out


_add = with_twin(twins.add, least=65536, copies=False)(partial(_each, ADD))


def add(x: Array, y: Array) -> Array:
    """x + y; a number that is spread over its plane, as the gradient of a mean is, is read once a plane."""
    for plane, number in ((x, y), (y, x)):
        if number.size and number.ndim == 4 and number.strides[2:] == (0, 0) and plane.flags.c_contiguous:
            return channel_add(number[:, :, 0, 0], plane)
    return _add(x, y)


relu = with_twin(twins.relu, least=65536)(partial(_each, RELU))
add_relu = with_twin(twins.add_relu, least=65536)(partial(_each, ADD_RELU))
relu_grad = with_twin(twins.relu_grad, least=65536)(partial(_each, RELU_GRAD))


@with_twin(twins.sgd_momentum, least=32768, copies=False)
def sgd_momentum(
    weight: Array, grad: Array, velocity: Array, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> None:
    arrays = grad, weight, velocity  # the latter two are written to: so no copies
    launch(SGD_MOMENTUM, flat_grid(weight.size), (BLOCK,), (weight.size, lr, momentum, weight_decay, nesterov, *arrays))
