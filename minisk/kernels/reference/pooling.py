"""Max and average pooling, and their gradients. x: (N, C, H, W); out: (N, C, Ho, Wo).

A max pool remembers which tap of each window won (the first of equals). Its gradient scatters to that tap, and the
gradient's gradient gathers from it.
"""

import numpy as np

from ...backend import Array, array_module
from ...cuda.geometry import PoolWindow
from .precision import masked, narrow, widen
from .windows import canvas_for, inside, padded, taps


def max_pool2d(x: Array, window: PoolWindow) -> tuple[Array, Array]:
    """Return the maxima and, as int32, the number of the tap that each came from."""
    xp = array_module(x)
    best = xp.full(x.shape[:2] + window.out, -np.inf, x.dtype)
    # Where all is -inf, no tap is better than -inf: the first one inside the image wins.
    top, left = [
        xp.maximum(padding - stride * xp.arange(count), 0)
        for padding, stride, count in zip(window.padding, window.stride, window.out, strict=True)
    ]
    winner = xp.broadcast_to(top[:, None] * window.kernel[1] + left, best.shape).astype(np.int32)
    for tap, view in taps(window, padded(window, x, fill=-np.inf)):
        # Not (view <= best): NaN must win, and then stay.
        better = ~(view <= best) & (best == best)
        winner = xp.where(better, np.int32(tap), winner)
        best = xp.where(better, view, best)
    return best, winner


def max_pool2d_scatter(dout: Array, winner: Array, window: PoolWindow, shape: tuple[int, ...]) -> Array:
    """Add each window's gradient to the element of x that won it."""
    canvas = canvas_for(window, dout, shape)
    for tap, view in taps(window, canvas):
        view += masked(dout, winner == tap)
    return inside(window, canvas, shape)


def max_pool2d_gather(x: Array, winner: Array, window: PoolWindow) -> Array:
    """Return the element of x that won each window: the adjoint of the scatter."""
    xp = array_module(x)
    out = xp.zeros(winner.shape, x.dtype)
    for tap, view in taps(window, padded(window, x)):
        out += masked(view, winner == tap)
    return out


def avg_pool2d(x: Array, window: PoolWindow) -> Array:
    """Return the mean of each window."""
    wide = widen(x)
    out = array_module(x).zeros(x.shape[:2] + window.out, wide.dtype)
    for _, view in taps(window, padded(window, wide)):
        out += view
    return narrow(out / _counts(window, wide, x.shape), like=x)


def avg_pool2d_spread(dout: Array, window: PoolWindow, shape: tuple[int, ...]) -> Array:
    """Give each element of a window its share of the gradient: the adjoint of the average."""
    wide = widen(dout)
    share = wide / _counts(window, wide, shape)
    canvas = canvas_for(window, share, shape)
    for _, view in taps(window, canvas):
        view += share
    return narrow(inside(window, canvas, shape), like=dout)


def _counts(window: PoolWindow, like: Array, shape: tuple[int, ...]) -> Array:
    """Return how many elements count in each window's mean, in the dtype of `like`: (1, 1, Ho, Wo) or ()."""
    xp = array_module(like)
    if window.count_padding:
        return xp.asarray(window.kernel[0] * window.kernel[1], like.dtype)
    counts = xp.zeros((1, 1, *window.out), like.dtype)
    for _, view in taps(window, padded(window, xp.ones((1, 1, *shape[2:]), like.dtype))):
        counts += view
    return counts
