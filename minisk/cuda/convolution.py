"""Launch the kernels of convolution.cu, as convolution_layout.py lays the convolution out.

x: (N, C, H, W); weight: (O, C / groups, kh, kw); dout: (N, O, Ho, Wo); all C-contiguous.
"""

import functools
import math
from typing import Any

import numpy as np

from ..backend import Array, array_module, device_of
from ..runtime import Kernel, launch
from .convolution_layout import POSITIONS, Layout, forward_layout, input_grad_layout, weight_grad_layout
from .geometry import ConvGeometry

MOST_PARTIAL = 8 << 20  # elements of partial weight gradients


def launch_conv2d(x: Array, weight: Array, geometry: ConvGeometry) -> Array | None:
    """Return the convolution, (N, O, Ho, Wo), or None if matrix products (BLAS, cuBLAS) are faster."""
    seen, geometry = _seen(x, weight.shape[2:], geometry)
    layout = forward_layout(seen, weight, geometry)
    if layout is None:
        return None
    shape = (len(x), len(weight), *geometry.output_size(seen.shape[2:], weight.shape[2:]))
    return _convolve(layout, array_module(x).ascontiguousarray(seen), weight, layout.inputs, 1, shape)


def launch_conv2d_input_grad(
    dout: Array, weight: Array, geometry: ConvGeometry, shape: tuple[int, ...]
) -> Array | None:
    """Return dx of this shape, or None if matrix products are faster."""
    if geometry.skips_pixels(weight.shape[2:]):
        gradient = launch_conv2d_input_grad(dout, weight, geometry.dense(), (*shape[:2], *dout.shape[2:]))
        if gradient is None:
            return None
        dx = array_module(dout).zeros(shape, dout.dtype)
        geometry.every_stride(dx)[...] = gradient
        return dx
    layout = input_grad_layout(dout, weight, geometry, shape)
    return None if layout is None else _convolve(layout, dout, weight, 1, layout.outputs, shape)


def launch_conv2d_weight_grad(x: Array, dout: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array | None:
    """Return dweight of this shape, or None if matrix products are faster."""
    seen, geometry = _seen(x, shape[2:], geometry)
    layout = weight_grad_layout(seen, geometry, shape)
    if layout is None:
        return None
    x = array_module(x).ascontiguousarray(seen)
    if layout.is_pointwise and layout.groups == 1 and len(x) * math.prod(x.shape[2:]) <= POSITIONS:
        planes, slopes = _weight_grad_as_convolution(x, dout)
        out = launch_conv2d(planes, slopes, geometry)
        return None if out is None else out.reshape(shape)
    return _correlate(layout, x, dout, shape)


def _seen(x: Array, kernel: tuple[int, ...], geometry: ConvGeometry) -> tuple[Array, ConvGeometry]:
    """Return x and the geometry, but of a kernel that skips pixels those that it sees, as a view, without a stride.

    A copy of the view has neighbouring pixels, which fill the tiles.
    """
    if geometry.skips_pixels(kernel):
        return geometry.every_stride(x), geometry.dense()
    return x, geometry


def _weight_grad_as_convolution(x: Array, dout: Array) -> tuple[Array, Array]:
    """Return the x and weight whose 1×1 convolution, (1, O, C, 1), is the weight gradient of a 1×1 kernel.

    Pixels take the place of channels, and inputs that of pixels. Each lane of a vector then holds a weight of its own:
    with few pixels, adding a vector's lanes would take as long as the products.
    """
    xp = array_module(x)
    planes, slopes = x.transpose(0, 2, 3, 1), dout.transpose(1, 0, 2, 3)
    planes, slopes = planes.reshape(1, -1, x.shape[1], 1), slopes.reshape(dout.shape[1], -1, 1, 1)
    return xp.ascontiguousarray(planes), xp.ascontiguousarray(slopes)


def _correlate(layout: Layout, x: Array, dout: Array, shape: tuple[int, ...]) -> Array:
    """Launch the weight gradient of this shape: slices of the batch, which are added in order."""
    xp, target, sets = array_module(x), layout.target, x.shape[0] // layout.images
    # Enough blocks for all processors: slices cost memory, and shares of a group's outputs stage x several times.
    slices = min(sets, -(-target.blocks // layout.groups), max(1, MOST_PARTIAL // math.prod(shape)))
    shares = min(-(-target.blocks // (layout.groups * slices)), layout.most_shares)
    share = -(-layout.outputs // shares // layout.tile_out) * layout.tile_out
    partial = xp.empty((slices, *shape), np.promote_types(x.dtype, np.float32))
    kernel = _kernel("correlate", layout.tile_out, target.weight_lanes, layout.images)
    args = (_table(layout, device_of(x), xp), sets, share, x, dout, partial)
    grid = (layout.groups, slices, -(-layout.outputs // share))
    launch(kernel, grid, (target.threads,), args, layout.staged(for_weights=True) * x.itemsize)
    return partial[0] if slices == 1 and partial.dtype == x.dtype else partial.sum(axis=0).astype(x.dtype)


@functools.cache
def _kernel(name: str, tile_out: int, lanes: int, images: int) -> Kernel:
    return Kernel("convolution.cu", name, TILE_OUT=tile_out, LANES=lanes, IMAGES=images)


@functools.lru_cache(maxsize=1024)
def _table(layout: Layout, device: str, xp: Any) -> Array:
    return xp.asarray(np.frombuffer(bytes(layout.plan()), np.int32))


def _convolve(
    layout: Layout, x: Array, weight: Array, output_stride: int, input_stride: int, shape: tuple[int, ...]
) -> Array:
    """Pack the weights and launch the convolution; return it in this shape.

    output_stride, input_stride: kernels of kh · kw weights, from one output's to the next and from one input's.
    """
    xp, target, taps = array_module(x), layout.target, weight.shape[2] * weight.shape[3]
    out = xp.empty(shape, x.dtype)
    blocks = layout.groups * -(-layout.outputs // layout.tile_out) * taps
    packed = xp.empty((blocks, layout.inputs, layout.tile_out), x.dtype)
    sizes = (layout.outputs, layout.inputs, taps, output_stride * taps, input_stride * taps)
    pack = _kernel("pack_weights", layout.tile_out, 1, 1)
    launch(pack, (blocks,), (min(32, target.threads),), (*sizes, weight, packed))
    grid = (len(x) // layout.images * layout.groups * -(-layout.rows.part // layout.band),)
    kernel = _kernel("convolve", layout.tile_out, target.lanes, layout.images)
    args = (_table(layout, device_of(x), xp), x, packed, out)
    launch(kernel, grid, (target.threads,), args, layout.staged(for_weights=False) * x.itemsize)
    return out
