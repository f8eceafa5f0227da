"""Launch the kernels of weight_gradient.cu and weight_gradient_outputs.cu: the gradient of a convolution's weight.

x: (N, C, H, W); weight: (O, C / groups, kh, kw); dout: (N, O, Ho, Wo); all C-contiguous.
"""

import math

import numpy as np

from ..backend import Array, array_module, device_of
from ..runtime import launch
from .convolution import kernel_of, launch_conv2d, seen_by, table_of
from .convolution_layout import Layout, weight_grad_layout
from .geometry import ConvGeometry
from .weight_gradient_layout import MOST_PARTIAL, OutputsLayout, outputs_layout

OUTPUTS_AT_ONCE = 8  # as in weight_gradient_outputs.cu
FEW_PIXELS = 640  # of a batch: up to as many, a pointwise weight gradient is computed as a convolution


def launch_conv2d_weight_grad(x: Array, dout: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array | None:
    """Return dweight of this shape, or None if matrix products (BLAS, cuBLAS) are faster."""
    seen, geometry = seen_by(x, shape[2:], geometry)
    layout = weight_grad_layout(seen, geometry, shape)
    if layout is None:
        return None
    x = array_module(x).ascontiguousarray(seen)
    if layout.is_pointwise and layout.groups == 1 and len(x) * math.prod(x.shape[2:]) <= FEW_PIXELS:
        planes, slopes = _weight_grad_as_convolution(x, dout)
        out = launch_conv2d(planes, slopes, geometry)
        return None if out is None else out.reshape(shape)
    by_outputs = outputs_layout(layout, len(x), x.itemsize)
    return _correlate(layout, x, dout, shape) if by_outputs is None else _by_outputs(by_outputs, x, dout, shape)


def _weight_grad_as_convolution(x: Array, dout: Array) -> tuple[Array, Array]:
    """Return the x and weight whose 1×1 convolution, (1, O, C, 1), is the weight gradient of a 1×1 kernel.

    Pixels take the place of channels, and inputs that of pixels. With few pixels this costs less than to add each tile
    to the weights' sums in memory.
    """
    xp = array_module(x)
    planes, slopes = x.transpose(0, 2, 3, 1), dout.transpose(1, 0, 2, 3)
    planes, slopes = planes.reshape(1, -1, x.shape[1], 1), slopes.reshape(dout.shape[1], -1, 1, 1)
    return xp.ascontiguousarray(planes), xp.ascontiguousarray(slopes)


def _by_outputs(layout: OutputsLayout, x: Array, dout: Array, shape: tuple[int, ...]) -> Array:
    """Launch the weight gradient of this shape, of groups with many outputs."""
    xp, target, slices, groups = array_module(x), layout.target, layout.slices, layout.groups
    if layout.is_swapped:
        x, dout = dout, x
    partial = xp.empty((slices, groups, layout.pairs, layout.padded), np.promote_types(x.dtype, np.float32))
    kernel = kernel_of("weight_gradient_outputs.cu", "correlate_outputs", LANES=target.weight_lanes)
    args = (table_of(layout, device_of(x), xp), layout.sets, layout.share, x, dout, partial)
    launch(kernel, (groups, slices, layout.shares), (target.threads,), args, layout.staged * x.itemsize)
    if layout.is_swapped:  # [output, input], as the weight lies
        return _added(partial, x.dtype)[..., : layout.outputs].reshape(shape)
    dweight = xp.empty(shape, x.dtype)
    sizes = (slices, groups, layout.pairs, layout.outputs, layout.padded)
    blocks = groups * -(-layout.outputs // OUTPUTS_AT_ONCE)
    add_slices = kernel_of("weight_gradient_outputs.cu", "add_slices", LANES=target.weight_lanes)
    launch(add_slices, (blocks,), (min(32, target.threads),), (*sizes, partial, dweight))
    return dweight


def _correlate(layout: Layout, x: Array, dout: Array, shape: tuple[int, ...]) -> Array:
    """Launch the weight gradient of this shape, of groups with few outputs."""
    xp, target, sets = array_module(x), layout.target, x.shape[0] // layout.images
    # Enough blocks for all processors: slices cost memory, and shares of a group's outputs stage x several times.
    slices = min(sets, -(-target.weight_blocks // layout.groups), max(1, MOST_PARTIAL // math.prod(shape)))
    shares = min(-(-max(target.blocks, target.weight_blocks) // (layout.groups * slices)), layout.most_shares)
    share = -(-layout.outputs // shares // layout.tile_out) * layout.tile_out
    partial = xp.empty((slices, *shape), np.promote_types(x.dtype, np.float32))
    kernel = kernel_of("weight_gradient.cu", "correlate", TILE_OUT=layout.tile_out, LANES=target.weight_lanes)
    args = (table_of(layout, device_of(x), xp), sets, share, x, dout, partial)
    grid = (layout.groups, slices, -(-layout.outputs // share))
    launch(kernel, grid, (target.threads,), args, layout.staged(for_weights=True) * x.itemsize)
    return _added(partial, x.dtype)


def _added(partial: Array, dtype: np.dtype) -> Array:
    """Return the sum of the slices, in order."""
    return partial[0] if len(partial) == 1 and partial.dtype == dtype else partial.sum(axis=0).astype(dtype)
