"""Launch the kernels of convolution.cu, as convolution_layout.py lays the convolution out.

x: (N, C, H, W); weight: (O, C / groups, kh, kw); dout: (N, O, Ho, Wo); all C-contiguous.
"""

import functools
from typing import Any

import numpy as np

from ..backend import Array, array_module, device_of
from ..runtime import Kernel, launch
from .convolution_layout import Layout, forward_layout, input_grad_layout
from .geometry import ConvGeometry, Finish
from .weight_gradient_layout import OutputsLayout

AS_THEY_ARE = Finish()


def launch_conv2d(x: Array, weight: Array, geometry: ConvGeometry, finish: Finish = AS_THEY_ARE) -> Array | None:
    """Return the convolution, (N, O, Ho, Wo), or None if matrix products (BLAS, cuBLAS) are faster."""
    seen, geometry = seen_by(x, weight.shape[2:], geometry)
    layout = forward_layout(seen, weight, geometry)
    if layout is None:
        return None
    shape = (len(x), len(weight), *geometry.output_size(seen.shape[2:], weight.shape[2:]))
    return _convolve(layout, array_module(x).ascontiguousarray(seen), weight, finish, layout.inputs, 1, shape)


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
    return None if layout is None else _convolve(layout, dout, weight, AS_THEY_ARE, 1, layout.outputs, shape)


def seen_by(x: Array, kernel: tuple[int, ...], geometry: ConvGeometry) -> tuple[Array, ConvGeometry]:
    """Return x and the geometry, but of a kernel that skips pixels those that it sees, as a view, without a stride.

    A copy of the view has neighbouring pixels, which fill the tiles.
    """
    if geometry.skips_pixels(kernel):
        return geometry.every_stride(x), geometry.dense()
    return x, geometry


@functools.cache
def kernel_of(file: str, name: str, **constants: int) -> Kernel:
    """Return a kernel of minisk's own with its constants. Kernels of a file with the same ones share a library."""
    return Kernel(file, name, **constants)


@functools.lru_cache(maxsize=1024)
def table_of(layout: Layout | OutputsLayout, device: str, xp: Any) -> Array:
    """Return the plan of a layout as the kernels read it, on a device."""
    return xp.asarray(np.frombuffer(bytearray(layout.plan()), np.int32))  # of writable bytes: launches are quicker


def _convolve(
    layout: Layout,
    x: Array,
    weight: Array,
    finish: Finish,
    output_stride: int,
    input_stride: int,
    shape: tuple[int, ...],
) -> Array:
    """Launch the convolution, and pack the weights first if its layout says so; return it in this shape.

    output_stride, input_stride: kernels of kh · kw weights, from one output's to the next and from one input's.
    """
    xp, target = array_module(x), layout.target
    constants = {"TILE_OUT": layout.tile_out, "LANES": target.lanes, "PACKED": int(layout.is_packed)}
    if layout.is_packed:
        weight = _packed(layout, constants, weight, output_stride, input_stride)
    out = xp.empty(shape, x.dtype)
    grid = (len(x) // layout.images * layout.groups * -(-layout.rows.part // layout.band),)
    kernel = kernel_of("convolution.cu", "convolve", **constants)
    has_scale, has_bias = finish.scale is not None, finish.bias is not None
    # CuPy has no null pointer: any array stands for one that is not read.
    scale, bias = finish.scale if has_scale else weight, finish.bias if has_bias else weight
    table = table_of(layout, device_of(x), xp)
    args = (table, layout.keeps_weights, has_scale, has_bias, finish.relu, x, weight, scale, bias, out)
    launch(kernel, grid, (target.threads,), args, layout.staged(for_weights=False) * x.itemsize)
    return out


def _packed(layout: Layout, constants: dict[str, int], weight: Array, output_stride: int, input_stride: int) -> Array:
    """Return the weights in the order in which tiles read them."""
    taps, tiles = weight.shape[2] * weight.shape[3], -(-layout.outputs // layout.tile_out)
    packed = array_module(weight).empty((layout.groups * tiles * taps, layout.inputs, layout.tile_out), weight.dtype)
    together = layout.target.tiles_packed if output_stride * taps == 1 else 1
    sizes = (layout.outputs, layout.inputs, taps, output_stride * taps, input_stride * taps, together)
    blocks = layout.groups * -(-tiles // together) * taps
    pack = kernel_of("convolution.cu", "pack_weights", **constants)
    launch(pack, (blocks,), (min(32, layout.target.threads),), (*sizes, weight, packed))
    return packed
