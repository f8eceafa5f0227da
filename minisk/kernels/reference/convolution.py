"""Convolution as matrix products, and its two gradients.

    out[n,o,i,j] = Σ_c,p,q  weight[o,c,p,q] · x[n, c, i·stride + p·dilation - padding, j·stride + q·dilation - padding]
                   + bias[o]

x: (N, C, H, W), weight: (O, C / groups, kh, kw), out: (N, O, Ho, Wo); a group's outputs see only the group's inputs.
With the *columns* of x (im2col), the inputs that each output pixel sees, these are products of matrices, one a group:

    out = weight · columns        dx = weightᵀ · dout, added up where the inputs are        dweight = dout · columnsᵀ

Columns take kh·kw times the input's memory, so they are laid out for a slice of the batch at a time.
"""

import math
from collections.abc import Iterator

import numpy as np

from ...backend import Array, array_module
from ...cuda.geometry import ConvGeometry, PoolWindow
from .precision import for_product, narrow, widen
from .windows import canvas_for, inside, padded, taps

COLUMN_BYTES = 1 << 20  # of columns, which a CPU then reads back from its second-level cache
GPU_COLUMN_BYTES = 1 << 28  # a GPU's caches hold no columns anyway, and each slice costs launches


def conv2d(x: Array, weight: Array, geometry: ConvGeometry, bias: Array | None = None) -> Array:
    """Return the convolution of x with weight, plus a bias."""
    out = _products(x, weight, geometry)
    return out if bias is None else out + bias.reshape(-1, 1, 1)


def conv2d_affine(x: Array, weight: Array, scale: Array, bias: Array, relu: bool, geometry: ConvGeometry) -> Array:
    """Return scale · conv2d(x, weight) + bias, channel by channel, and with relu 0 where that is negative."""
    out = _products(x, weight, geometry) * scale.reshape(-1, 1, 1) + bias.reshape(-1, 1, 1)
    return array_module(x).maximum(out, 0, dtype=out.dtype) if relu else out


def _products(x: Array, weight: Array, geometry: ConvGeometry) -> Array:
    window, matrices = _window(geometry, x.shape[2:], weight.shape[2:]), _matrices(weight, geometry)
    if _is_pointwise(window, geometry):
        # A 1×1 kernel needs no columns: what an output pixel sees is a column of x.
        pixels = for_product(x).reshape(*x.shape[:2], math.prod(x.shape[2:]))
        if pixels.dtype == np.float16:  # CuPy has the tensor cores compute products of two axes only
            product = _product(matrices, _by_group(x, geometry)).reshape(len(weight), len(x), -1).swapaxes(0, 1)
        else:
            product = matrices @ pixels
        return narrow(product, like=x).reshape(len(x), len(weight), *window.out)
    out = array_module(x).empty((len(x), len(weight), *window.out), x.dtype)
    for images, columns in _columns(x, window, geometry):
        out[images] = _product(matrices, columns).reshape(len(weight), -1, *window.out).swapaxes(0, 1)
    return out


def conv2d_input_grad(dout: Array, weight: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
    """Return dx of this shape: each output's gradient, spread over the inputs it saw."""
    window, matrices = _window(geometry, shape[2:], weight.shape[2:]), _matrices(weight, geometry).swapaxes(1, 2)
    if _is_pointwise(window, geometry):
        return conv2d(dout, weight.swapaxes(0, 1), geometry)
    dx = array_module(dout).empty(shape, dout.dtype)
    for images in _slices(dx, window):
        columns = widen(_product(matrices, _by_group(dout[images], geometry)))
        columns = columns.reshape(shape[1], math.prod(window.kernel), -1, *window.out)
        canvas = canvas_for(window, columns, (shape[1], columns.shape[2], *shape[2:]))
        for tap, view in taps(window, canvas):
            view += columns[:, tap]
        dx[images] = inside(window, canvas, shape).swapaxes(0, 1)
    return dx


def conv2d_weight_grad(x: Array, dout: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
    """Return dweight of this shape: the sum of dout · x at each tap."""
    parts = _columns(x, _window(geometry, x.shape[2:], shape[2:]), geometry)
    by_group = geometry.groups, shape[0] // geometry.groups, math.prod(shape[1:])
    dweight = array_module(x).zeros(by_group, widen(x[:0]).dtype)
    for images, columns in parts:
        dweight += _product(_by_group(dout[images], geometry), columns.swapaxes(1, 2))
    return narrow(dweight, like=x).reshape(shape)


def _window(geometry: ConvGeometry, size: tuple[int, ...], kernel: tuple[int, ...]) -> PoolWindow:
    """Return the kernel as a window on images of a size (H, W)."""
    out = geometry.output_size(size, kernel)
    return PoolWindow((kernel[0], kernel[1]), geometry.stride, geometry.padding, out, geometry.dilation)


def _is_pointwise(window: PoolWindow, geometry: ConvGeometry) -> bool:
    """Return whether this is one product of the image's channels, pixel by pixel."""
    return window.kernel == window.stride == (1, 1) and geometry.groups == 1 and not any(geometry.padding)


def _matrices(weight: Array, geometry: ConvGeometry) -> Array:
    """Return the weights of each group: (groups, O / groups, C / groups · kh · kw)."""
    return for_product(weight).reshape(geometry.groups, len(weight) // geometry.groups, -1)


def _by_group(x: Array, geometry: ConvGeometry) -> Array:
    """Return the pixels of all images, for the channels of each group: (groups, C / groups, images · H · W)."""
    pixels = len(x) * math.prod(x.shape[2:])
    return for_product(x).swapaxes(0, 1).reshape(geometry.groups, x.shape[1] // geometry.groups, pixels)


def _columns(x: Array, window: PoolWindow, geometry: ConvGeometry) -> Iterator[tuple[slice, Array]]:
    """Yield slices of the batch, and what each output pixel sees: (groups, C / groups · kh · kw, images · Ho · Wo)."""
    for images in _slices(x, window):
        canvas = padded(window, for_product(x[images]).swapaxes(0, 1))
        shape = (x.shape[1], math.prod(window.kernel), canvas.shape[1], *window.out)
        columns = array_module(x).empty(shape, canvas.dtype)
        for tap, view in taps(window, canvas):
            columns[:, tap] = view
        yield images, columns.reshape(geometry.groups, -1, math.prod(shape[2:]))


def _product(a: Array, b: Array) -> Array:
    """Return a @ b, of matrices one a group. CuPy computes float16 on the tensor cores for matrices, not for stacks."""
    if a.dtype == np.float16 and len(a) == 1:
        return (a[0] @ b[0])[np.newaxis]
    return widen(a) @ widen(b)


def _slices(x: Array, window: PoolWindow) -> Iterator[slice]:
    """Cut the batch into slices whose columns fit into the bytes that the device allows."""
    for_one_image = 4 * x.shape[1] * math.prod(window.kernel) * math.prod(window.out)
    step = max(1, (COLUMN_BYTES if isinstance(x, np.ndarray) else GPU_COLUMN_BYTES) // for_one_image)
    return (slice(start, start + step) for start in range(0, len(x), step))
