"""Max and average pooling as a loop over the few taps of a window, each tap a strided view of the whole batch.

x: (N, C, H, W) → out: (N, C, Ho, Wo). A max pool remembers which tap won (the first of equals); its gradient scatters
to that tap, and the gradient's gradient gathers from it.
"""

import numpy as np

from ...device import Array, array_module
from .precision import narrow, widen
from .windows import Window


def max_pool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """Return the maxima and, as int32, the number of the tap each came from."""
    xp = array_module(x)
    best = xp.full(x.shape[:2] + window.out, -np.inf, x.dtype)
    winner = xp.zeros(best.shape, np.int32)
    for tap, view in window.taps(window.padded(x, fill=-np.inf)):
        # Not (view <= best): NaN must win, and then stay.
        better = ~(view <= best) & (best == best)
        winner = xp.where(better, np.int32(tap), winner)
        best = xp.where(better, view, best)
    return best, winner


def max_pool2d_scatter(dout: Array, winner: Array, window: Window, shape: tuple[int, ...]) -> Array:
    """Add every gradient to the element of x that won its window."""
    canvas = window.canvas(dout, shape)
    for tap, view in window.taps(canvas):
        view += dout * (winner == tap)
    return window.inside(canvas, shape)


def max_pool2d_gather(x: Array, winner: Array, window: Window) -> Array:
    """Read from every window the element that won it: the adjoint of the scatter."""
    xp = array_module(x)
    out = xp.zeros(winner.shape, x.dtype)
    for tap, view in window.taps(window.padded(x)):
        out += view * (winner == tap)
    return out


def avg_pool2d(x: Array, window: Window) -> Array:
    """Return the mean of every window, padding included."""
    wide = widen(x)
    out = array_module(x).zeros(x.shape[:2] + window.out, wide.dtype)
    for _, view in window.taps(window.padded(wide)):
        out += view
    return narrow(out / (window.kernel[0] * window.kernel[1]), like=x)


def avg_pool2d_spread(dout: Array, window: Window, shape: tuple[int, ...]) -> Array:
    """Give every element of a window its share of the gradient: the adjoint of the average."""
    share = widen(dout) / (window.kernel[0] * window.kernel[1])
    canvas = window.canvas(share, shape)
    for _, view in window.taps(canvas):
        view += share
    return narrow(window.inside(canvas, shape), like=dout)
