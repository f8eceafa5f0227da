"""Convolution as matrix products: forward, input gradient, weight gradient; any stride, padding, dilation, groups.

    out[n,o,i,j] = Σ_c,p,q  weight[o,c,p,q] · x[n, c, i·stride + p·dilation - padding, j·stride + q·dilation - padding]

x: (N, C, H, W), weight: (O, C / groups, kh, kw), out: (N, O, Ho, Wo); a group's outputs see only the group's inputs.
A 1×1 kernel is a matrix product as it stands. Any other is one of the *columns* (im2col): for each output pixel, the
inputs it sees. They take kh·kw times the input's memory, so they are laid out for a slice of the batch at a time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...device import Array, array_module
from .precision import narrow, widen

Pair = tuple[int, int]
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
        height, width = (
            (size[a] + 2 * self.padding[a] - self.dilation[a] * (kernel[a] - 1) - 1) // self.stride[a] + 1
            for a in range(2)
        )
        return height, width


def conv2d(x: Array, weight: Array, geometry: Geometry) -> Array:
    """Return the convolution of x with weight."""
    x_wide, w = widen(x), widen(weight)
    if _is_pointwise(w, geometry):
        return narrow(_pointwise(_strided(x_wide, geometry), w[:, :, 0, 0]), like=x)
    xp, out_channels, kernel = array_module(x), w.shape[0], w.shape[2:]
    ho, wo = geometry.output_size(x.shape[2:], kernel)
    rows = w.reshape(geometry.groups, out_channels // geometry.groups, -1)
    out = xp.empty((x.shape[0], out_channels, ho, wo), w.dtype)
    for images, columns, width in _columns(x_wide, kernel, geometry):
        product = xp.matmul(rows, columns).reshape(out_channels, -1, ho, width)
        out[images] = product[:, :, :, :wo].swapaxes(0, 1)
    return narrow(out, like=x)


def conv2d_input_grad(dout: Array, weight: Array, geometry: Geometry, shape: tuple[int, ...]) -> Array:
    """Return dx for an input of this shape: each output's gradient, spread over the inputs it saw.

    That is a convolution too: of dout, its pixels moved apart by the stride, with the kernel turned around and its
    inputs and outputs exchanged.
    """
    g, w = widen(dout), widen(weight)
    xp, groups = array_module(g), geometry.groups
    if _is_pointwise(w, geometry):
        dx = _pointwise(g, w[:, :, 0, 0].T)
        if geometry.stride != (1, 1):
            visited, dx = dx, xp.zeros(shape, g.dtype)
            _strided(dx, geometry)[...] = visited
        return narrow(dx, like=dout)
    out_channels, group_inputs, kh, kw = w.shape
    turned = w[:, :, ::-1, ::-1].reshape(groups, out_channels // groups, group_inputs, kh, kw).swapaxes(1, 2)
    turned = turned.reshape(shape[1], out_channels // groups, kh, kw)
    moved = Geometry(stride=(1, 1), padding=(0, 0), dilation=geometry.dilation, groups=groups)
    return narrow(conv2d(_moved_apart(g, (kh, kw), geometry, shape), turned, moved), like=dout)


def _moved_apart(dout: Array, kernel: Pair, geometry: Geometry, shape: tuple[int, ...]) -> Array:
    """Lay dout's pixels a stride apart on zeros, so large that the turned kernel makes dx of it."""
    reach = [geometry.dilation[a] * (kernel[a] - 1) for a in range(2)]
    size = [shape[2 + a] + reach[a] for a in range(2)]
    canvas = array_module(dout).zeros((*dout.shape[:2], *size), dout.dtype)
    places, kept = [], []
    for a, step in enumerate(geometry.stride):
        first = reach[a] - geometry.padding[a]
        # With much padding, outermost outputs saw nothing but padding: they fall off the canvas.
        start = max(0, -(first // step))
        stop = min(dout.shape[2 + a], (size[a] - 1 - first) // step + 1)
        kept.append(slice(start, stop))
        places.append(slice(first + start * step, first + (stop - 1) * step + 1, step))
    canvas[:, :, places[0], places[1]] = dout[:, :, kept[0], kept[1]]
    return canvas


def conv2d_weight_grad(x: Array, dout: Array, geometry: Geometry, shape: tuple[int, ...]) -> Array:
    """Return dweight for a weight of this shape: what each output's gradient finds at each tap."""
    x_wide, g = widen(x), widen(dout)
    xp, groups = array_module(g), geometry.groups
    kernel = (shape[2], shape[3])
    if kernel == (1, 1) and geometry.padding == (0, 0) and groups == 1:
        return narrow(xp.tensordot(g, _strided(x_wide, geometry), axes=((0, 2, 3), (0, 2, 3))), like=x).reshape(shape)
    _, out_channels, ho, wo = dout.shape
    dweight = xp.zeros((groups, out_channels // groups, shape[1] * kernel[0] * kernel[1]), g.dtype)
    for images, columns, width in _columns(x_wide, kernel, geometry):
        rows = xp.zeros((out_channels, images.stop - images.start, ho, width), g.dtype)
        rows[:, :, :, :wo] = g[images].swapaxes(0, 1)
        dweight += xp.matmul(rows.reshape(groups, out_channels // groups, -1), columns.swapaxes(1, 2))
    return narrow(dweight, like=x).reshape(shape)


def _is_pointwise(weight: Array, geometry: Geometry) -> bool:
    return weight.shape[2:] == (1, 1) and geometry.padding == (0, 0) and geometry.groups == 1


def _strided(x: Array, geometry: Geometry) -> Array:
    """The pixels a 1×1 kernel visits."""
    return x[:, :, :: geometry.stride[0], :: geometry.stride[1]]


def _pointwise(x: Array, matrix: Array) -> Array:
    """Multiply the channels of every pixel: (O, C) times (N, C, H, W)."""
    n, c, h, w = x.shape
    xp = array_module(x)
    if h * w < 64:  # small planes make small products: one large product over the whole batch repays the transposes
        together = xp.ascontiguousarray(x.transpose(1, 0, 2, 3)).reshape(c, n * h * w)
        out = (matrix @ together).reshape(-1, n, h, w).transpose(1, 0, 2, 3)
        return xp.ascontiguousarray(out)
    return xp.matmul(matrix, x.reshape(n, c, h * w)).reshape(n, -1, h, w)


def _columns(x: Array, kernel: tuple[int, ...], geometry: Geometry) -> Iterator[tuple[slice, Array, int]]:
    """For slices of the batch: what each output pixel sees, and how many pixels wide its rows are laid out.

    columns: (groups, C / groups · kh · kw, images · Ho · width). At stride 1 the width is that of the padded input:
    what a tap sees is then one run of memory, copied at full speed, and the last pixels of each row are to be ignored.
    """
    xp = array_module(x)
    n, c, h, w = x.shape
    (ho, wo), (top, left), (sh, sw) = geometry.output_size((h, w), kernel), geometry.padding, geometry.stride
    is_dense = (sh, sw) == (1, 1)
    width = w + 2 * left if is_dense else wo
    most = COLUMN_BYTES if xp is np else GPU_COLUMN_BYTES
    step = max(1, most // (c * kernel[0] * kernel[1] * ho * width * x.dtype.itemsize))
    for start in range(0, n, step):
        images = slice(start, min(start + step, n))
        count = images.stop - start
        # A spare row, since the run of the last tap ends beyond the last pixel.
        padded = xp.zeros((c, count, h + 2 * top + 1, w + 2 * left), x.dtype)
        padded[:, :, top : top + h, left : left + w] = x[images].swapaxes(0, 1)
        flat = padded.reshape(c, count, -1)
        columns = xp.empty((c, kernel[0], kernel[1], count, ho * width), x.dtype)
        for p, q in itertools.product(range(kernel[0]), range(kernel[1])):
            down, right = p * geometry.dilation[0], q * geometry.dilation[1]
            if is_dense:
                first = down * width + right
                columns[:, p, q] = flat[:, :, first : first + ho * width]
            else:
                seen = padded[:, :, down : down + sh * (ho - 1) + 1 : sh, right : right + sw * (wo - 1) + 1 : sw]
                columns[:, p, q].reshape(c, count, ho, wo)[...] = seen
        yield images, columns.reshape(geometry.groups, -1, count * ho * width), width
