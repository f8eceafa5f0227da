"""Convolution as matrix products: forward, input gradient, weight gradient; any stride, padding, dilation, groups.

    out[n,o,i,j] = Σ_c,p,q  weight[o,c,p,q] · x[n, c, i·stride + p·dilation - padding, j·stride + q·dilation - padding]

x: (N, C, H, W), weight: (O, C / groups, kh, kw), out: (N, O, Ho, Wo); a group's outputs see only the group's inputs.
With the *columns* of x (im2col), the inputs that each output pixel sees, these are products of matrices, one a group:

    out = weight · columns        dx = weightᵀ · dout, added up where the inputs are        dweight = dout · columnsᵀ

Columns take kh·kw times the input's memory, so they are laid out for a slice of the batch at a time.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ...device import Array, array_module
from .precision import narrow, widen
from .windows import Pair, Window

COLUMN_BYTES = 1 << 20  # columns that stay in the second-level cache are read back from there
GPU_COLUMN_BYTES = 1 << 28  # each slice costs a GPU launches, and its caches hold no columns anyway


class Geometry(NamedTuple):
    """How the kernel moves over the image; all pairs are (height, width)."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def output_size(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> Pair:
        """Height and width of the output; not positive if the kernel does not fit."""
        free = [size[a] + 2 * self.padding[a] - self.dilation[a] * (kernel[a] - 1) - 1 for a in range(2)]
        return free[0] // self.stride[0] + 1, free[1] // self.stride[1] + 1

    def window(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
        """The kernel as a window on images of a size."""
        return Window((kernel[0], kernel[1]), self.stride, self.padding, self.output_size(size, kernel), self.dilation)


def conv2d(x: Array, weight: Array, geometry: Geometry) -> Array:
    """Return the convolution of x with weight."""
    window, matrices = geometry.window(x.shape[2:], weight.shape[2:]), _matrices(weight, geometry)
    out = array_module(x).empty((len(x), len(weight), *window.out), x.dtype)
    for images, columns in _columns(x, window, geometry):
        out[images] = (matrices @ columns).reshape(len(weight), -1, *window.out).swapaxes(0, 1)
    return out


def conv2d_input_grad(dout: Array, weight: Array, geometry: Geometry, shape: tuple[int, ...]) -> Array:
    """Return dx for an input of this shape: each output's gradient, spread over the inputs it saw."""
    window, matrices = geometry.window(shape[2:], weight.shape[2:]), _matrices(weight, geometry).swapaxes(1, 2)
    dx = array_module(dout).empty(shape, dout.dtype)
    for images in _slices(dx, window):
        columns = matrices @ _by_group(dout[images], geometry)
        columns = columns.reshape(shape[1], math.prod(window.kernel), -1, *window.out)
        canvas = window.canvas(columns, (shape[1], columns.shape[2], *shape[2:]))
        for tap, view in window.taps(canvas):
            view += columns[:, tap]
        dx[images] = window.inside(canvas, shape).swapaxes(0, 1)
    return dx


def conv2d_weight_grad(x: Array, dout: Array, geometry: Geometry, shape: tuple[int, ...]) -> Array:
    """Return dweight for a weight of this shape: what each output's gradient finds at each tap."""
    parts = _columns(x, geometry.window(x.shape[2:], shape[2:]), geometry)
    dweight: Any = sum(_by_group(dout[images], geometry) @ columns.swapaxes(1, 2) for images, columns in parts)
    return narrow(dweight, like=x).reshape(shape)


def _matrices(weight: Array, geometry: Geometry) -> Array:
    """The weights of each group: (groups, O / groups, C / groups · kh · kw)."""
    return widen(weight).reshape(geometry.groups, len(weight) // geometry.groups, -1)


def _by_group(x: Array, geometry: Geometry) -> Array:
    """The pixels of all images, for the channels of each group: (groups, C / groups, images · H · W)."""
    return widen(x).swapaxes(0, 1).reshape(geometry.groups, x.shape[1] // geometry.groups, -1)


def _columns(x: Array, window: Window, geometry: Geometry) -> Iterator[tuple[slice, Array]]:
    """For slices of the batch: what each output pixel sees, (groups, C / groups · kh · kw, images · Ho · Wo)."""
    for images in _slices(x, window):
        canvas = window.padded(widen(x[images]).swapaxes(0, 1))
        shape = (x.shape[1], math.prod(window.kernel), canvas.shape[1], *window.out)
        columns = array_module(x).empty(shape, canvas.dtype)
        for tap, view in window.taps(canvas):
            columns[:, tap] = view
        yield images, columns.reshape(geometry.groups, -1, math.prod(shape[2:]))


def _slices(x: Array, window: Window) -> Iterator[slice]:
    """Cut the batch so that the columns of each slice are of a good size."""
    for_one_image = 4 * x.shape[1] * math.prod(window.kernel) * math.prod(window.out)
    step = max(1, (COLUMN_BYTES if isinstance(x, np.ndarray) else GPU_COLUMN_BYTES) // for_one_image)
    return (slice(start, start + step) for start in range(0, len(x), step))
