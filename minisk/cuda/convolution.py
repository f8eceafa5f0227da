"""Convolution: which way a shape goes, and the launches of convolution.cu.

direct     the kernels of convolution.cu. On a CPU nearly every shape: 1×1 convolutions run there at BLAS's speed, and
           without BLAS's threads, which would spin while ours work. On a GPU few channels to a group.
products   the twin's matrix products, by BLAS or cuBLAS: what is left. On a GPU 1×1 and dense kernels, whose products
           are large enough for it; anywhere kernels of many taps, rows too long to stage, and so few pixels that
           laying out the weights would cost more than to multiply by them.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..device import Array, array_module, device_of
from .launcher import Kernel, kernel_mode, launch, with_twin
from .twins import convolution as twins
from .twins.convolution import Geometry

MOST_TAPS = 64  # as in convolution.cu
FEW_PIXELS = 64  # of all images together
POSITIONS = 512  # of a gradient that stay in a CPU's first-level cache, for 8 channels


class Target(NamedTuple):
    """What is fitted to the processor."""

    threads: int  # of a block
    lanes: int  # of a team; a team that computes weights is a whole warp on a GPU
    weight_lanes: int
    most_staged: int  # bytes
    most_channels: int  # of a group that goes the direct way
    blocks: int  # that keep the processor busy


# On a CPU staged rows stay in the second-level cache; on a GPU a block has 48 KiB, and a table of taps in it.
CPU = Target(threads=1, lanes=1, weight_lanes=1, most_staged=512 << 10, most_channels=4096, blocks=8)
GPU = Target(threads=256, lanes=8, weight_lanes=32, most_staged=46 << 10, most_channels=64, blocks=512)


class Axis(NamedTuple):
    """Rows or columns: output pixel o sees input pixel (o · out_step + tap · tap_step + shift) / in_step, if whole."""

    size: int
    out: int
    taps: int
    out_step: int
    in_step: int
    tap_step: int
    shift: int

    @property
    def first(self) -> int:
        """The first input pixel that the first outputs see."""
        return (min(0, (self.taps - 1) * self.tap_step) + self.shift) // self.in_step

    @property
    def reach(self) -> int:
        """Staged pixels that outputs see beyond their own number."""
        last = (self.in_step - 1) * self.out_step + max(0, (self.taps - 1) * self.tap_step) + self.shift
        return (last // self.in_step - self.first) // self.out_step

    @property
    def part(self) -> int:
        """Outputs of one remainder by in_step."""
        return -(-self.out // self.in_step)


class Layout(NamedTuple):
    """How blocks take a convolution: `together` images and `band` rows at a time, in tiles `width` positions wide."""

    rows: Axis
    columns: Axis
    groups: int
    inputs: int
    outputs: int
    together: int
    band: int
    width: int

    @property
    def pitch(self) -> int:
        positions = -(-self.columns.part * self.together // self.width) * self.width
        return positions + self.columns.reach * self.together

    @property
    def channel_size(self) -> int:
        parts = self.rows.out_step * self.columns.out_step
        return _odd_lines(parts * (self.band + self.rows.reach) * self.pitch)

    @property
    def gradient_size(self) -> int:
        return _odd_lines(self.band * self.pitch)

    def staged(self, for_weights: bool) -> int:
        """Numbers in shared memory."""
        return self.inputs * self.channel_size + for_weights * self.outputs * self.gradient_size

    def table(self) -> tuple[int, ...]:
        """`struct Plan` of convolution.cu."""
        axes = [number for axis in (self.rows, self.columns) for number in (*axis, axis.first)]
        sizes = (self.band, self.band + self.rows.reach, self.pitch, self.channel_size, self.gradient_size)
        return (*axes, self.groups, self.inputs, self.outputs, *sizes)

    def work(self) -> float:
        """Columns multiplied for each that is asked for: tiles are filled up, and leave out taps that see padding."""
        step, columns = self.width / self.together, self.columns
        starts = [i * step for i in range(-(-columns.part * self.together // self.width))]
        seen = 0.0
        for tap in range(columns.taps):
            left = tap * columns.tap_step + columns.shift
            first, end = -left / columns.out_step, (columns.size - left) / columns.out_step
            seen += sum(step for start in starts if start + step > first and start < end)
        return round(seen / (columns.taps * columns.part), 2)


def _odd_lines(size: int) -> int:
    """Round up to an odd number of cache lines: channels a power of two apart would share one set of the cache."""
    return (-(-size // 16) | 1) * 16


@functools.lru_cache(maxsize=1024)
def _fit(
    target: Target, images: int, rows: Axis, columns: Axis, channels: tuple[int, int, int], width: int, itemsize: int,
    for_weights: bool,
) -> Layout | None:  # fmt: skip
    """Choose images and rows to a block, None if not even a row can be staged. channels: groups, inputs, outputs."""
    most = target.most_staged // itemsize
    if for_weights and target is CPU:
        most *= 16  # there it is better to fetch inputs from further away than to sum up tiles more often
    found = [Layout(rows, columns, *channels, n, 1, width) for n in (1, 2, 4, 8, 16) if images % n == 0]
    found = [layout for layout in found if layout.staged(for_weights) <= most]
    if not found:
        return None
    # The more images, the longer it takes to shuffle them.
    layout = min(found, key=lambda layout: layout.work() * layout.together**0.15)
    if for_weights:  # sums over a tile's pixels cost as much as dozens of pixels
        layout = next((longer for longer in found if longer.together * rows.out * columns.out >= POSITIONS), found[-1])
        most_rows = max(1, POSITIONS // (columns.out * layout.together))
    else:
        blocks = images // layout.together * channels[0]
        most_rows = max(1, rows.part * blocks // target.blocks)
    bands = -(-rows.part // most_rows)
    while layout._replace(band=-(-rows.part // bands)).staged(for_weights) > most:
        bands += 1
    return layout._replace(band=-(-rows.part // bands))


@functools.lru_cache(maxsize=1024)
def _table(layout: Layout, device: str, xp: Any) -> Array:
    return xp.asarray(np.array(layout.table(), np.int32))


def _target(x: Array) -> Target:
    return CPU if isinstance(x, np.ndarray) and kernel_mode() != "threads" else GPU


def _tile(target: Target, outputs: int, itemsize: int) -> tuple[int, int]:
    """Output channels of a tile, and a number of positions that is a multiple of its width."""
    outs = 4 if 0 < outputs % 8 <= 4 else 8
    return outs, (128 // itemsize if target is CPU else 32) * 8 // outs


@functools.cache
def _kernel(name: str, outs: int, lanes: int, together: int) -> Kernel:
    return Kernel("convolution.cu", name, TILE_OUT=outs, LANES=lanes, IMAGES=together)


def _is_direct(target: Target, geometry: Geometry, weight: tuple[int, ...], pixels: int) -> bool:
    if weight[2] * weight[3] > MOST_TAPS or max(weight[0] // geometry.groups, weight[1]) > target.most_channels:
        return False
    return pixels >= FEW_PIXELS if target is CPU else geometry.groups > 1


@with_twin(twins.conv2d)
def conv2d(x: Array, weight: Array, geometry: Geometry) -> Array:
    axes = _forward_axes(geometry, x.shape[2:], weight.shape[2:])
    result = _convolve(x, weight, geometry, axes, is_turned=False)
    return twins.conv2d(x, weight, geometry) if result is None else result


@with_twin(twins.conv2d_input_grad)
def conv2d_input_grad(dout: Array, weight: Array, geometry: Geometry, shape: tuple[int, ...]) -> Array:
    forward = _forward_axes(geometry, shape[2:], weight.shape[2:])
    axes = [Axis(a.out, a.size, a.taps, 1, a.out_step, -a.tap_step, -a.shift) for a in forward]
    result = _convolve(dout, weight, geometry, axes, is_turned=True)
    return twins.conv2d_input_grad(dout, weight, geometry, shape) if result is None else result


def _forward_axes(geometry: Geometry, size: tuple[int, ...], kernel: tuple[int, ...]) -> list[Axis]:
    out = geometry.output_size(size, kernel)
    return [
        Axis(size[a], out[a], kernel[a], geometry.stride[a], 1, geometry.dilation[a], -geometry.padding[a])
        for a in range(2)
    ]


def _convolve(x: Array, weight: Array, geometry: Geometry, axes: list[Axis], is_turned: bool) -> Array | None:
    """Run the kernel, or return None if this shape is better left to matrix products. is_turned: the input gradient."""
    (rows, columns), n, target, groups = axes, x.shape[0], _target(x), geometry.groups
    if not _is_direct(target, geometry, weight.shape, n * rows.out * columns.out):
        return None
    outputs, inputs, taps = weight.shape[0] // groups, weight.shape[1], rows.taps * columns.taps
    strides = (inputs * taps, taps)  # from one output to the next, and from one input
    if is_turned:
        outputs, inputs, strides = inputs, outputs, strides[::-1]
    shape = (n, groups * outputs, rows.out, columns.out)
    outs, width = _tile(target, outputs, x.itemsize)
    rows, columns = _one_row(rows, columns, width)
    layout = _fit(target, n, rows, columns, (groups, inputs, outputs), width, x.itemsize, False)
    if layout is None:
        return None
    xp, tiles = array_module(x), -(-outputs // outs)
    packed = xp.empty((groups, tiles, taps, inputs, outs), x.dtype)
    pack = _kernel("pack_weights", outs, 1, 1)
    launch(
        pack, (groups * tiles * taps,), (min(32, target.threads),), (outputs, inputs, taps, *strides, weight, packed)
    )
    out = xp.empty(shape, x.dtype)
    grid = (n // layout.together * groups, -(-rows.part // layout.band))
    table = _table(layout, device_of(x), xp)
    kernel = _kernel("convolve", outs, target.lanes, layout.together)
    launch(kernel, grid, (target.threads,), (table, x, packed, out), layout.staged(False) * x.itemsize)
    return out


def _one_row(rows: Axis, columns: Axis, width: int) -> tuple[Axis, Axis]:
    """Read a plane as fewer and longer rows where a 1×1 kernel lets it, until they fill a tile."""
    if rows[2:] != (1, 1, 1, rows.tap_step, 0) or columns[2:] != (1, 1, 1, columns.tap_step, 0):
        return rows, columns
    height, length = rows.out, columns.out
    while height % 2 == 0 and length % width:
        height, length = height // 2, length * 2
    return rows._replace(size=height, out=height), columns._replace(size=length, out=length)


@with_twin(twins.conv2d_weight_grad)
def conv2d_weight_grad(x: Array, dout: Array, geometry: Geometry, shape: tuple[int, ...]) -> Array:
    target, xp, n, groups = _target(x), array_module(x), x.shape[0], geometry.groups
    outputs, inputs = shape[0] // groups, shape[1]
    rows, columns = _forward_axes(geometry, x.shape[2:], shape[2:])
    layout = None
    if _is_direct(target, geometry, shape, n * rows.out * columns.out):
        outs, width = _tile(target, outputs, x.itemsize)
        rows, columns = _one_row(rows, columns, width)
        layout = _fit(target, n, rows, columns, (groups, inputs, outputs), width, x.itemsize, True)
    if layout is None:
        return twins.conv2d_weight_grad(x, dout, geometry, shape)
    sets = n // layout.together
    slices = min(sets, -(-target.blocks // groups))
    partial = xp.empty((slices, *shape), np.promote_types(x.dtype, np.float32))
    kernel = _kernel("correlate", outs, target.weight_lanes, layout.together)
    args = (_table(layout, device_of(x), xp), sets, x, dout, partial)
    launch(kernel, (groups, slices), (target.threads,), args, layout.staged(True) * x.itemsize)
    return partial[0] if slices == 1 and partial.dtype == x.dtype else partial.sum(axis=0).astype(x.dtype)
