"""Convolution: which way a shape goes, and the launches of convolution.cu.

direct     the kernels of convolution.cu. On a CPU nearly every shape: 1×1 convolutions run there at BLAS's speed, and
           without BLAS's threads, which would spin while ours work. On a GPU few channels to a group.
products   the twin's matrix products, by BLAS or cuBLAS: what is left. On a GPU 1×1 and dense kernels, whose products
           are large enough for it; anywhere kernels of many taps, rows too long to stage, and so few products that
           laying out the weights would cost more than to multiply by them.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from ..backend import Array, array_module, device_of
from ..runtime import Kernel, kernel_mode, launch
from ..runtime.launcher import with_twin
from .twins import windows as twins
from .twins.windows import ConvGeometry

MOST_TAPS = 64  # as in convolution.cu
# In mode auto, smaller than this is done by matrix products before the kernels' launches are. Not larger: here OpenBLAS
# begins to use several threads, which spin on afterwards, while ours want the processors.
FEW_PRODUCTS = 1 << 18
HALF_TILE = 0.625  # of a whole tile's time, since a weight that is read meets half as many pixels
POSITIONS = 512  # of a gradient that stay in a CPU's first-level cache, for 8 channels
MOST_PARTIAL = 8 << 20  # numbers of partial weight gradients


class Target(NamedTuple):
    """What is fitted to the processor."""

    threads: int  # of a block
    lanes: int  # of a team
    weight_lanes: int  # of a team that sums up weights: a whole warp
    most_staged: int  # bytes
    most_staged_for_weights: int
    most_channels: int  # of a group that goes the direct way
    blocks: int  # that keep the processor busy


# On a CPU staged rows stay in the second-level cache, but for weights it is better to fetch them from further away than
# to sum up tiles more often. On a GPU a block has 48 KiB, and a table of taps in it.
CPU = Target(1, 1, 1, 768 << 10, 8 << 20, most_channels=4096, blocks=16)
GPU = Target(256, 8, 32, 46 << 10, 46 << 10, most_channels=64, blocks=512)


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
    def parts(self) -> int:
        """Parts of the input, by the remainder by out_step, up to the last that a tap looks at."""
        return 1 + max(tap * abs(self.tap_step) % self.out_step for tap in range(self.taps))

    @property
    def part(self) -> int:
        """Outputs of one remainder by in_step."""
        return -(-self.out // self.in_step)


class Layout(NamedTuple):
    """How blocks take a convolution: `images` and `band` rows at a time, in tiles of `tile_out` channels.

    inputs, outputs: channels of a group; width: what a row's positions are filled up to a multiple of, half a tile;
    missing: pixels that the last row lacks.
    """

    rows: Axis
    columns: Axis
    groups: int
    inputs: int
    outputs: int
    tile_out: int
    width: int
    images: int = 1
    band: int = 1
    missing: int = 0

    @property
    def is_pointwise(self) -> bool:
        """Whether each output sees the one pixel in its own place: a 1×1 kernel without stride or padding."""
        return all((each.taps, each.out_step, each.in_step, each.shift) == (1, 1, 1, 0) for each in self[:2])

    @property
    def pitch(self) -> int:
        """Positions in a staged row."""
        return -(-self.columns.part * self.images // self.width) * self.width + self.columns.reach * self.images

    @property
    def channel_size(self) -> int:
        return _odd_lines(self.rows.parts * self.columns.parts * (self.band + self.rows.reach) * self.pitch)

    @property
    def gradient_size(self) -> int:
        return _odd_lines(self.band * self.pitch)

    def staged(self, for_weights: bool) -> int:
        """Numbers in shared memory."""
        return self.inputs * self.channel_size + for_weights * self.outputs * self.gradient_size

    def table(self) -> tuple[int, ...]:
        """`struct Plan` of convolution.cu."""
        rows, columns = self.rows, self.columns
        axes = (*rows, rows.first, rows.parts, *columns, columns.first, columns.parts)
        staged = (self.band, self.band + self.rows.reach, self.pitch, self.channel_size, self.gradient_size)
        return (*axes, self.groups, self.inputs, self.outputs, *staged, self.missing)

    def work(self) -> float:
        """Time for each column that is asked for, in that of a whole tile's: tiles are filled up, halves at a row's end
        take longer than half, and taps that see padding are left out.
        """
        columns, tile, total = self.columns, 2 * self.width // self.images, 0.0
        step, lefts = columns.out_step, [tap * columns.tap_step + columns.shift for tap in range(columns.taps)]
        for count, length in ((self.rows.part - 1, columns.part), (1, columns.part - self.missing)):
            for start in range(0, length, tile):
                cost = count * tile * (HALF_TILE if length - start <= tile / 2 else 1)
                total += cost * sum(-(start + tile) * step < left < columns.size - start * step for left in lefts)
        return round(total / columns.taps / (self.rows.part * columns.part - self.missing), 2)


def _odd_lines(size: int) -> int:
    """Round up to an odd number of cache lines: channels a power of two apart would share one set of the cache."""
    return (-(-size // 16) | 1) * 16


@functools.lru_cache(maxsize=1024)
def _fit(target: Target, layout: Layout, images: int, itemsize: int, for_weights: bool) -> Layout | None:
    """Choose how many images and rows a block takes; None if not even a row can be staged."""
    most = (target.most_staged_for_weights if for_weights else target.most_staged) // itemsize
    found = [_cut(layout._replace(images=n), for_weights) for n in (1, 2, 4, 8, 16) if images % n == 0]
    found = [layout for layout in found if layout.staged(for_weights) <= most]
    if not found:
        return None
    if for_weights:  # many pixels, since to sum up a tile takes as long as dozens of them
        positions = POSITIONS if layout.rows.taps * layout.columns.taps > 1 else 2 * POSITIONS
        pixels = layout.rows.out * layout.columns.out
        layout = next((each for each in found if each.images * pixels >= positions), found[-1])
        most_rows = max(1, positions // (layout.columns.out * layout.images))
    else:  # little work; but the more images, the longer it takes to shuffle them
        layout = min(found, key=lambda each: each.work() * each.images**0.15)
        most_rows = max(1, layout.rows.part * layout.groups * (images // layout.images) // target.blocks)
    bands = -(-layout.rows.part // most_rows)
    while layout._replace(band=-(-layout.rows.part // bands)).staged(for_weights) > most:
        bands += 1
    return layout._replace(band=-(-layout.rows.part // bands))


def _layout(
    x: Array, axes: list[Axis], outputs: int, inputs: int, groups: int, for_weights: bool = False
) -> Layout | None:
    """Lay a convolution of x out, or return None if it is better left to matrix products."""
    target, (rows, columns) = _target(x), axes
    pixels, taps = len(x) * rows.out * columns.out, rows.taps * columns.taps
    if taps > MOST_TAPS or max(outputs, inputs) > target.most_channels or (target is GPU and groups == 1):
        return None
    if kernel_mode() == "auto" and pixels * groups * outputs * inputs * taps < FEW_PRODUCTS:
        return None
    tile_out = 4 if 0 < outputs % 8 <= 4 else 8
    vector = 64 // x.itemsize if target is CPU else 32 if for_weights else 16
    width = vector if for_weights else vector * 8 // tile_out
    layout = Layout(rows, columns, groups, inputs, outputs, tile_out, width)
    return _fit(target, layout, len(x), x.itemsize, for_weights)


def _target(x: Array) -> Target:
    return CPU if isinstance(x, np.ndarray) and kernel_mode() not in ("threads", "check") else GPU


def _cut(layout: Layout, for_weights: bool) -> Layout:
    """Cut planes that a kernel sees pixel by pixel into rows that fill a tile; the last may be shorter.

    Weights are summed over any number of vectors in a row, and begin each row anew: theirs are longer.
    """
    rows, columns = layout.rows, layout.columns
    if not layout.is_pointwise:
        return layout
    pixels = rows.out * columns.out
    length = min(pixels, max(1, (8 if for_weights else 2) * layout.width // layout.images))
    count = -(-pixels // length)
    rows, columns = rows._replace(size=count, out=count), columns._replace(size=length, out=length)
    return layout._replace(rows=rows, columns=columns, missing=count * length - pixels)


def _forward_axes(geometry: ConvGeometry, size: tuple[int, ...], kernel: tuple[int, ...]) -> list[Axis]:
    out = geometry.output_size(size, kernel)
    each = zip(size, out, kernel, geometry.stride, geometry.dilation, geometry.padding, strict=True)
    return [Axis(n, m, taps, stride, 1, dilation, -padding) for n, m, taps, stride, dilation, padding in each]


@functools.cache
def _kernel(name: str, tile_out: int, lanes: int, images: int) -> Kernel:
    return Kernel("convolution.cu", name, TILE_OUT=tile_out, LANES=lanes, IMAGES=images)


@functools.lru_cache(maxsize=1024)
def _table(layout: Layout, device: str, xp: Any) -> Array:
    return xp.asarray(np.array(layout.table(), np.int32))


@with_twin(twins.conv2d)
def conv2d(x: Array, weight: Array, geometry: ConvGeometry) -> Array:
    axes = _forward_axes(geometry, x.shape[2:], weight.shape[2:])
    layout = _layout(x, axes, len(weight) // geometry.groups, weight.shape[1], geometry.groups)
    if layout is None:
        return twins.conv2d(x, weight, geometry)
    return _convolve(layout, x, weight, (layout.inputs, 1), (len(x), len(weight), axes[0].out, axes[1].out))


@with_twin(twins.conv2d_input_grad)
def conv2d_input_grad(dout: Array, weight: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
    forward = _forward_axes(geometry, shape[2:], weight.shape[2:])
    axes = [Axis(a.out, a.size, a.taps, 1, a.out_step, -a.tap_step, -a.shift) for a in forward]
    layout = _layout(dout, axes, weight.shape[1], len(weight) // geometry.groups, geometry.groups)
    if layout is None:
        return twins.conv2d_input_grad(dout, weight, geometry, shape)
    return _convolve(layout, dout, weight, (1, layout.outputs), shape)


def _convolve(layout: Layout, x: Array, weight: Array, strides: tuple[int, int], shape: tuple[int, ...]) -> Array:
    """Return a convolution of this shape. strides: from one output's kernel to the next, and from one input's."""
    xp, target, taps = array_module(x), _target(x), weight.shape[2] * weight.shape[3]
    out = xp.empty(shape, x.dtype)
    blocks = layout.groups * -(-layout.outputs // layout.tile_out) * taps
    packed = xp.empty((blocks, layout.inputs, layout.tile_out), x.dtype)
    sizes = (layout.outputs, layout.inputs, taps, strides[0] * taps, strides[1] * taps)
    pack = _kernel("pack_weights", layout.tile_out, 1, 1)
    launch(pack, (blocks,), (min(32, target.threads),), (*sizes, weight, packed))
    grid = (len(x) // layout.images * layout.groups * -(-layout.rows.part // layout.band),)
    kernel = _kernel("convolve", layout.tile_out, target.lanes, layout.images)
    args = (_table(layout, device_of(x), xp), x, packed, out)
    launch(kernel, grid, (target.threads,), args, layout.staged(False) * x.itemsize)
    return out


@with_twin(twins.conv2d_weight_grad)
def conv2d_weight_grad(x: Array, dout: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Array:
    axes = _forward_axes(geometry, x.shape[2:], shape[2:])
    layout = _layout(x, axes, shape[0] // geometry.groups, shape[1], geometry.groups, for_weights=True)
    if layout is None:
        return twins.conv2d_weight_grad(x, dout, geometry, shape)
    if layout.is_pointwise and layout.groups == 1 and len(x) * math.prod(x.shape[2:]) <= POSITIONS:
        # Over so few pixels, adding up a vector's lanes takes as long as the products. With pixels for channels and
        # inputs for pixels it is a convolution, whose lanes are weights of their own.
        planes, slopes = x.transpose(0, 2, 3, 1), dout.transpose(1, 0, 2, 3)
        return conv2d(planes.reshape(1, -1, shape[1], 1), slopes.reshape(*shape[:1], -1, 1, 1), geometry).reshape(shape)
    xp, target, sets = array_module(x), _target(x), x.shape[0] // layout.images
    # Work for all processors: slices cost memory, and shares of a group's outputs stage x several times.
    slices = min(sets, -(-target.blocks // layout.groups), max(1, MOST_PARTIAL // math.prod(shape)))
    shares = min(-(-target.blocks // (layout.groups * slices)), max(1, layout.outputs // 256))
    share = -(-layout.outputs // shares // layout.tile_out) * layout.tile_out
    partial = xp.empty((slices, *shape), np.promote_types(x.dtype, np.float32))
    kernel = _kernel("correlate", layout.tile_out, target.weight_lanes, layout.images)
    args = (_table(layout, device_of(x), xp), sets, share, x, dout, partial)
    grid = (layout.groups, slices, -(-layout.outputs // share))
    launch(kernel, grid, (target.threads,), args, layout.staged(True) * x.itemsize)
    return partial[0] if slices == 1 and partial.dtype == x.dtype else partial.sum(axis=0).astype(x.dtype)
