"""Max and average pooling as a loop over the few taps of a window, each tap a strided view of the whole batch.

x: (N, C, H, W) → out: (N, C, Ho, Wo). A max pool remembers which tap won (the first of equals); its gradient scatters
to that tap, and the gradient's gradient gathers from it. `window` is (kernel, stride, padding, output size), in pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...device import Array, array_module
from .precision import narrow, widen

Pair = tuple[int, int]


class Window(NamedTuple):
    """Where a pooling window goes; all pairs are (height, width)."""

    kernel: Pair
    stride: Pair
    padding: Pair
    out: Pair


def max_pool2d(x: Array, window: Window) -> tuple[Array, Array]:
    """Return the maxima and, as int32, the number of the tap each came from."""
    xp = array_module(x)
    padded = _padded(x, window, fill=-np.inf)
    best = xp.full(x.shape[:2] + window.out, -np.inf, x.dtype)
    winner = xp.zeros(best.shape, np.int32)
    for tap, view in _taps(padded, window):
        # Not (view <= best): NaN must win, and then stay.
        better = ~(view <= best) & (best == best)
        winner = xp.where(better, np.int32(tap), winner)
        best = xp.where(better, view, best)
    return best, winner


def max_pool2d_scatter(dout: Array, winner: Array, window: Window, shape: tuple[int, ...]) -> Array:
    """Add every gradient to the element of x that won its window."""
    padded = _padded_zeros(dout, window, shape)
    for tap, view in _taps(padded, window):
        view += dout * (winner == tap)
    return _unpadded(padded, window, shape)


def max_pool2d_gather(x: Array, winner: Array, window: Window) -> Array:
    """Read from every window the element that won it: the adjoint of the scatter."""
    xp = array_module(x)
    out = xp.zeros(winner.shape, x.dtype)
    for tap, view in _taps(_padded(x, window, fill=0), window):
        out += view * (winner == tap)
    return out


def avg_pool2d(x: Array, window: Window) -> Array:
    """Return the mean of every window, padding included."""
    wide = widen(x)
    out = array_module(x).zeros(x.shape[:2] + window.out, wide.dtype)
    for _, view in _taps(_padded(wide, window, fill=0), window):
        out += view
    return narrow(out / (window.kernel[0] * window.kernel[1]), like=x)


def avg_pool2d_spread(dout: Array, window: Window, shape: tuple[int, ...]) -> Array:
    """Give every element of a window its share of the gradient: the adjoint of the average."""
    share = widen(dout) / (window.kernel[0] * window.kernel[1])
    padded = _padded_zeros(share, window, shape)
    for _, view in _taps(padded, window):
        view += share
    return narrow(_unpadded(padded, window, shape), like=dout)


def _taps(padded: Array, window: Window) -> Iterator[tuple[int, Array]]:
    """For each position inside the window: its number, and a view of what all windows see there."""
    (kh, kw), (sh, sw), (ho, wo) = window.kernel, window.stride, window.out
    for i in range(kh):
        for j in range(kw):
            yield i * kw + j, padded[:, :, i : i + sh * (ho - 1) + 1 : sh, j : j + sw * (wo - 1) + 1 : sw]


def _padded_size(window: Window, shape: tuple[int, ...]) -> Pair:
    """Height and width that hold the padding and the last window, which ceil_mode may push past the padding."""
    sizes = []
    for axis in range(2):
        reach = window.stride[axis] * (window.out[axis] - 1) + window.kernel[axis]
        sizes.append(max(reach, shape[2 + axis] + 2 * window.padding[axis]))
    return sizes[0], sizes[1]


def _padded(x: Array, window: Window, fill: float) -> Array:
    size = _padded_size(window, x.shape)
    if size == x.shape[2:]:
        return x
    padded = array_module(x).full(x.shape[:2] + size, fill, x.dtype)
    _unpadded(padded, window, x.shape)[...] = x
    return padded


def _padded_zeros(like: Array, window: Window, shape: tuple[int, ...]) -> Array:
    zeros = array_module(like).zeros(shape[:2] + _padded_size(window, shape), like.dtype)
    return zeros


def _unpadded(padded: Array, window: Window, shape: tuple[int, ...]) -> Array:
    (top, left), (h, w) = window.padding, shape[2:]
    return padded[:, :, top : top + h, left : left + w]
