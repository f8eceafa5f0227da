"""A window that moves over images: convolution as matrix products, max and average pooling.

The window's few taps are strided views of all images, a view each.

    out[n,o,i,j] = Σ_c,p,q  weight[o,c,p,q] · x[n, c, i·stride + p·dilation - padding, j·stride + q·dilation - padding]

x: (N, C, H, W), weight: (O, C / groups, kh, kw), out: (N, O, Ho, Wo); a group's outputs see only the group's inputs.
With the *columns* of x (im2col), the inputs that each output pixel sees, these are products of matrices, one a group:

    out = weight · columns        dx = weightᵀ · dout, added up where the inputs are        dweight = dout · columnsᵀ

Columns take kh·kw times the input's memory, so they are laid out for a slice of the batch at a time.

Pooling: x: (N, C, H, W) → out: (N, C, Ho, Wo). A max pool remembers which tap won (the first of equals); its gradient
scatters to that tap, and the gradient's gradient gathers from it.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ...backend import Array, array_module
from .planes import narrow, widen

Pair = tuple[int, int]
COLUMN_BYTES = 1 << 20  # columns that stay in the second-level cache are read back from there
GPU_COLUMN_BYTES = 1 << 28  # each slice costs a GPU launches, and its caches hold no columns anyway


class PoolWindow(NamedTuple):
    """Where a window goes; all pairs are (height, width). Images are of the shape (…, …, H, W).

    They are laid on a *canvas*, with the padding round them and room for the last window, which ceil_mode may push
    past the padding.
    """

    kernel: Pair
    stride: Pair
    padding: Pair
    out: Pair
    dilation: Pair = (1, 1)

    def canvas(self, like: Array, shape: tuple[int, ...], fill: float = 0) -> Array:
        """Return a canvas for images of this shape, in the dtype and on the device of `like`, that is all `fill`."""
        sizes = []
        for a in range(2):
            reach = self.stride[a] * (self.out[a] - 1) + self.dilation[a] * (self.kernel[a] - 1) + 1
            sizes.append(max(reach, shape[2 + a] + 2 * self.padding[a]))
        return array_module(like).full((*shape[:2], *sizes), fill, like.dtype)

    def padded(self, x: Array, fill: float = 0) -> Array:
        """Return a canvas with x on it."""
        canvas = self.canvas(x, x.shape, fill)
        self.inside(canvas, x.shape)[...] = x
        return canvas

    def inside(self, canvas: Array, shape: tuple[int, ...]) -> Array:
        """Return the part of a canvas on which images of this shape lie."""
        (top, left), (height, width) = self.padding, shape[2:]
        return canvas[:, :, top : top + height, left : left + width]

    def taps(self, canvas: Array) -> Iterator[tuple[int, Array]]:
        """For each position inside the window: its number, and a view of what all windows see there."""
        (sh, sw), (ho, wo) = self.stride, self.out
        for tap in range(self.kernel[0] * self.kernel[1]):
            i, j = tap // self.kernel[1] * self.dilation[0], tap % self.kernel[1] * self.dilation[1]
            yield tap, canvas[:, :, i : i + sh * (ho - 1) + 1 : sh, j : j + sw * (wo - 1) + 1 : sw]


class ConvGeometry(NamedTuple):
    """How the kernel moves over the image; all pairs are (height, width)."""

    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    def output_size(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> Pair:
        """Height and width of the output; not positive if the kernel does not fit."""
        free = [size[a] + 2 * self.padding[a] - self.dilation[a] * (kernel[a] - 1) - 1 for a in range(2)]
        return free[0] // self.stride[0] + 1, free[1] // self.stride[1] + 1

    def window(self, size: tuple[int, ...], kernel: tuple[int, ...]) -> PoolWindow:
        """The kernel as a window on images of a size."""
        return PoolWindow(
            (kernel[0], kernel[1]), self.stride, self.padding, self.output_size(size, kernel), self.dilation
        )


def conv2d(x: Array, weight: Array, geometry: ConvGeometry) -> Array:
    """Return the convolution of x with weight."""
    window, matrices = geometry.window(x.shape[2:], weight.shape[2:]), _matrices(weight, geometry)
    if window.kernel == window.stride == (1, 1) and geometry.groups == 1 and not any(geometry.padding):
        # A 1×1 kernel is a product as it stands: what an output pixel sees is a column of x.
        product = matrices @ widen(x).reshape(len(x), x.shape[1], -1)
        return narrow(product, like=x).reshape(len(x), len(weight), *window.out)
    out = array_module(x).empty((len(x), len(weight), *window.out), x.dtype)
    for images, columns in _columns(x, window, geometry):
        out[images] = (matrices @ columns).reshape(len(weight), -1, *window.out).swapaxes(0, 1)
    return out


def conv2d_input_grad(dout: Array, weight: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
    """Return dx for an input of this shape: each output's gradient, spread over the inputs it saw."""
    window, matrices = geometry.window(shape[2:], weight.shape[2:]), _matrices(weight, geometry).swapaxes(1, 2)
    if window.kernel == window.stride == (1, 1) and geometry.groups == 1 and not any(geometry.padding):
        return conv2d(dout, weight.swapaxes(0, 1), geometry)
    dx = array_module(dout).empty(shape, dout.dtype)
    for images in _slices(dx, window):
        columns = matrices @ _by_group(dout[images], geometry)
        columns = columns.reshape(shape[1], math.prod(window.kernel), -1, *window.out)
        canvas = window.canvas(columns, (shape[1], columns.shape[2], *shape[2:]))
        for tap, view in window.taps(canvas):
            view += columns[:, tap]
        dx[images] = window.inside(canvas, shape).swapaxes(0, 1)
    return dx


def conv2d_weight_grad(x: Array, dout: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
    """Return dweight for a weight of this shape: what each output's gradient finds at each tap."""
    parts = _columns(x, geometry.window(x.shape[2:], shape[2:]), geometry)
    dweight: Any = sum(_by_group(dout[images], geometry) @ columns.swapaxes(1, 2) for images, columns in parts)
    return narrow(dweight, like=x).reshape(shape)


def _matrices(weight: Array, geometry: ConvGeometry) -> Array:
    """The weights of each group: (groups, O / groups, C / groups · kh · kw)."""
    return widen(weight).reshape(geometry.groups, len(weight) // geometry.groups, -1)


def _by_group(x: Array, geometry: ConvGeometry) -> Array:
    """The pixels of all images, for the channels of each group: (groups, C / groups, images · H · W)."""
    return widen(x).swapaxes(0, 1).reshape(geometry.groups, x.shape[1] // geometry.groups, -1)


def _columns(x: Array, window: PoolWindow, geometry: ConvGeometry) -> Iterator[tuple[slice, Array]]:
    """For slices of the batch: what each output pixel sees, (groups, C / groups · kh · kw, images · Ho · Wo)."""
    for images in _slices(x, window):
        canvas = window.padded(widen(x[images]).swapaxes(0, 1))
        shape = (x.shape[1], math.prod(window.kernel), canvas.shape[1], *window.out)
        columns = array_module(x).empty(shape, canvas.dtype)
        for tap, view in window.taps(canvas):
            columns[:, tap] = view
        yield images, columns.reshape(geometry.groups, -1, math.prod(shape[2:]))


def _slices(x: Array, window: PoolWindow) -> Iterator[slice]:
    """Cut the batch so that the columns of each slice are of a good size."""
    for_one_image = 4 * x.shape[1] * math.prod(window.kernel) * math.prod(window.out)
    step = max(1, (COLUMN_BYTES if isinstance(x, np.ndarray) else GPU_COLUMN_BYTES) // for_one_image)
    return (slice(start, start + step) for start in range(0, len(x), step))


def max_pool2d(x: Array, window: PoolWindow) -> tuple[Array, Array]:
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


def max_pool2d_scatter(dout: Array, winner: Array, window: PoolWindow, shape: tuple[int, ...]) -> Array:
    """Add every gradient to the element of x that won its window."""
    canvas = window.canvas(dout, shape)
    for tap, view in window.taps(canvas):
        view += dout * (winner == tap)
    return window.inside(canvas, shape)


def max_pool2d_gather(x: Array, winner: Array, window: PoolWindow) -> Array:
    """Read from every window the element that won it: the adjoint of the scatter."""
    xp = array_module(x)
    out = xp.zeros(winner.shape, x.dtype)
    for tap, view in window.taps(window.padded(x)):
        out += view * (winner == tap)
    return out


def avg_pool2d(x: Array, window: PoolWindow) -> Array:
    """Return the mean of every window, padding included."""
    wide = widen(x)
    out = array_module(x).zeros(x.shape[:2] + window.out, wide.dtype)
    for _, view in window.taps(window.padded(wide)):
        out += view
    return narrow(out / (window.kernel[0] * window.kernel[1]), like=x)


def avg_pool2d_spread(dout: Array, window: PoolWindow, shape: tuple[int, ...]) -> Array:
    """Give every element of a window its share of the gradient: the adjoint of the average."""
    share = widen(dout) / (window.kernel[0] * window.kernel[1])
    canvas = window.canvas(share, shape)
    for _, view in window.taps(canvas):
        view += share
    return narrow(window.inside(canvas, shape), like=dout)
