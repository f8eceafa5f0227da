"""How a convolution is laid out for convolution.cu, or left to the reference's matrix products (BLAS or cuBLAS).

`forward_layout`, `input_grad_layout` and `weight_grad_layout` return a Layout, or None for matrix products. `_layout`
holds the rule.

On a CPU nearly every shape has a Layout. The kernels compute 1×1 convolutions at the speed of BLAS, and start no BLAS
threads, which would spin while the kernels' threads work. On a GPU only few channels a group have one: 1×1 and dense
kernels are products large enough for cuBLAS. Matrix products remain for kernels of more than MOST_TAPS taps, for rows
too long to stage, and for so few products that packing the weights would take longer than multiplying them.
"""

import functools
import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..backend import Array
from ..runtime import kernel_mode, launch_threads, vector_bytes
from .convolution_axes import Axis, PlanFields, forward_axes, odd_lines
from .geometry import ConvGeometry

MOST_TAPS = 64  # as in convolution.cu
# Mode auto uses matrix products below this many products. Above it OpenBLAS would use several threads, which keep
# spinning afterwards and take the processors from the kernels' threads.
FEW_PRODUCTS = 1 << 18
WEIGHT_TIME = 2 / 3  # time to read the weights of an input, in that of multiplying one vector of pixels by them
FEWEST_BLOCKS = 4  # of a weight gradient: interleaving more images leaves fewer blocks
POSITIONS = 1024  # of a band of a weight gradient: fewer do not hide what a tile costs besides its products
LONG_ROW = 128  # positions of a plane that a weight gradient sums at once
IMAGES_TOGETHER = (1, 2, 4, 8, 16)


class Target(NamedTuple):
    """Tuning constants per processor."""

    threads: int  # of a block
    lanes: int  # threads of a team
    vector: int  # bytes that a thread multiplies at once; 0: one element
    sums: tuple[int, ...]  # vectors of a tile: the last as in lanes.cuh, others that a layout may choose
    tile_out: int  # channels of a tile
    weight_lanes: int  # threads of a team that sums weight gradients
    most_staged: int  # bytes of staged rows
    most_staged_for_weights: int  # bytes
    most_channels: int  # of a group; more are left to matrix products
    weight_images: int  # that a weight gradient with several taps interleaves
    out_vectors: int  # of a tile of a weight gradient of many outputs
    weights: int  # of one input channel, at least, for which a block of a weight gradient stages the images
    blocks: int  # that keep the processor busy
    weight_blocks: int  # of a weight gradient; its sums must not depend on the number of threads
    packs_all: bool  # whether weights that lie as tiles read them are copied nevertheless
    tiles_packed: int  # together, if neighbouring weights are of neighbouring outputs


CPU = Target(
    threads=1,
    lanes=1,
    vector=64,
    sums=(16, 24),
    tile_out=8,
    weight_lanes=1,
    most_staged=768 << 10,  # staged rows stay in the second-level cache
    most_staged_for_weights=8 << 20,  # fetching rows from further away costs less than summing tiles more often
    most_channels=4096,
    weight_images=4,  # up to a third faster for rows of 17 to 56 pixels: fewer of them end within a vector
    out_vectors=4,
    weights=256,
    blocks=2,  # of one thread; `_cpu` counts those of all
    weight_blocks=8,
    packs_all=False,
    tiles_packed=8,
)
GPU = Target(
    threads=256,
    lanes=8,
    vector=0,
    sums=(32,),
    tile_out=8,
    weight_lanes=32,  # a whole warp
    most_staged=46 << 10,  # a block has 48 KiB, which also hold a table of taps
    most_staged_for_weights=46 << 10,
    most_channels=64,
    weight_images=1,
    out_vectors=1,
    weights=64 * MOST_TAPS,
    blocks=512,
    weight_blocks=512,
    packs_all=True,
    tiles_packed=1,
)

# Processors by the bytes of their vectors.
CPUS = {
    64: CPU,
    32: CPU._replace(
        vector=32, sums=(12,), tile_out=4, out_vectors=2
    ),  # 16 registers: 3 vectors and a weight beside the sums
    16: CPU._replace(vector=16, sums=(16,), out_vectors=2),
}


@dataclass(frozen=True, eq=False)
class Layout:
    """How blocks share a convolution: each takes `images` images and `band` rows, in tiles of `tile_out` channels.

    `_layout` makes one object for each convolution, so what follows from its fields is computed once.

    inputs, outputs: channels of a group; width: positions that a team reads at once, of which a row has a multiple;
    widths: of a whole tile; missing: pixels that the last row lacks; is_panel: whether the channels of a staged row
    follow each other, and not the rows of a channel; is_packed: whether weights are copied into the order of tiles.
    """

    target: Target
    rows: Axis
    columns: Axis
    groups: int
    inputs: int
    outputs: int
    tile_out: int
    width: int
    widths: int
    images: int = 1
    band: int = 1
    missing: int = 0
    is_panel: bool = False
    is_packed: bool = True

    @functools.cached_property
    def is_pointwise(self) -> bool:
        """Whether each output sees the one pixel in its own place: a 1×1 kernel without stride or padding."""
        pointwise = (1, 1, 1, 0)
        rows = (self.rows.taps, self.rows.out_step, self.rows.in_step, self.rows.shift)
        columns = (self.columns.taps, self.columns.out_step, self.columns.in_step, self.columns.shift)
        return rows == columns == pointwise

    @functools.cached_property
    def pitch(self) -> int:
        """Positions in a staged row."""
        return -(-self.columns.part * self.images // self.width) * self.width + self.columns.reach * self.images

    @functools.cached_property
    def channel_size(self) -> int:
        """Staged elements of a channel of x."""
        if self.is_panel:
            return self.pitch
        return odd_lines(self.rows.parts * self.columns.parts * (self.band + self.rows.reach) * self.pitch)

    @functools.cached_property
    def gradient_size(self) -> int:
        """Staged elements of a channel of dout."""
        return odd_lines(self.band * self.pitch)

    @functools.cached_property
    def keeps_weights(self) -> bool:
        """Whether a CPU takes all of a block's pixels for a tile of outputs first: it has more weights than pixels."""
        weights = self.inputs * self.outputs * self.rows.taps * self.columns.taps
        return self.target is not GPU and weights > self.staged(for_weights=False)

    @functools.cached_property
    def most_shares(self) -> int:
        """Most blocks that may share a group's outputs in a weight gradient; each stages the same x."""
        weights = self.outputs * self.rows.taps * self.columns.taps
        return max(1, weights // self.target.weights)

    def staged(self, for_weights: bool) -> int:
        """Return the elements in shared memory."""
        rows = self.band if self.is_panel else 1
        return rows * self.inputs * self.channel_size + for_weights * self.outputs * self.gradient_size

    def plan(self) -> PlanFields:
        """Return what the kernels read from memory."""
        return PlanFields(
            rows=self.rows.fields(),
            columns=self.columns.fields(),
            groups=self.groups,
            inputs=self.inputs,
            outputs=self.outputs,
            band=self.band,
            staged_rows=self.band + self.rows.reach,
            pitch=self.pitch,
            row_step=self.inputs * self.pitch if self.is_panel else self.pitch,
            channel_size=self.channel_size,
            gradient_size=self.gradient_size,
            missing=self.missing,
            images=self.images,
            vectors=self.widths,
        )

    def work(self) -> float:
        """Return the time per column of output, in that of a column in full vectors, for which no weights are read.

        Vectors are filled up, a part of a tile reads as many weights as a whole one, and taps that see only padding are
        skipped.
        """
        columns, tile, total = self.columns, self.widths * self.width, 0.0
        step, lefts = columns.out_step, [tap * columns.tap_step + columns.shift for tap in range(columns.taps)]
        whole_rows, last_row = (self.rows.part - 1, columns.part), (1, columns.part - self.missing)
        for count, length in (whole_rows, last_row):
            for start in range(0, length * self.images, tile):
                widths = min(self.widths, -(-(length * self.images - start) // self.width))
                first, end = start // self.images, -(-(start + widths * self.width) // self.images)
                seen = sum(-end * step < left < columns.size - first * step for left in lefts)
                total += count * (widths + WEIGHT_TIME) * seen
        whole = self.images / self.width  # a column's
        return round(total / whole / columns.taps / (self.rows.part * columns.part - self.missing), 2)


def forward_layout(x: Array, weight: Array, geometry: ConvGeometry) -> Layout | None:
    """Return how to launch the convolution, or None if matrix products are faster."""
    rows, columns = forward_axes(geometry, x.shape[2:], weight.shape[2:])
    outputs, inputs, fewest = len(weight) // geometry.groups, weight.shape[1], _fewest_products()
    return _layout(
        _target(x), rows, columns, outputs, inputs, geometry.groups, len(x), x.itemsize, fewest, is_forward=True
    )


def input_grad_layout(dout: Array, weight: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Layout | None:
    """Return how to launch the gradient of an input of this shape, or None if matrix products are faster."""
    rows, columns = _reversed_axes(geometry, shape[2:], weight.shape[2:])
    outputs, inputs = weight.shape[1], len(weight) // geometry.groups
    return _layout(
        _target(dout), rows, columns, outputs, inputs, geometry.groups, len(dout), dout.itemsize, _fewest_products()
    )


def weight_grad_layout(x: Array, geometry: ConvGeometry, shape: tuple[int, ...]) -> Layout | None:
    """Return how to launch the gradient of a weight of this shape, or None if matrix products are faster."""
    rows, columns = forward_axes(geometry, x.shape[2:], shape[2:])
    outputs, inputs = shape[0] // geometry.groups, shape[1]
    fewest = _fewest_products()
    return _layout(
        _target(x), rows, columns, outputs, inputs, geometry.groups, len(x), x.itemsize, fewest, for_weights=True
    )


@functools.lru_cache(maxsize=1024)
def _reversed_axes(geometry: ConvGeometry, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[Axis, Axis]:
    rows, columns = forward_axes(geometry, size, kernel)
    return rows.reversed(), columns.reversed()


def _target(x: Array) -> Target:
    is_cpu = isinstance(x, np.ndarray) and kernel_mode() not in ("threads", "check")
    return _cpu(vector_bytes(), launch_threads()) if is_cpu else GPU


@functools.cache
def _cpu(vector: int, threads: int) -> Target:
    return CPUS[vector]._replace(blocks=CPU.blocks * threads)


def _fewest_products() -> int:
    return FEW_PRODUCTS if kernel_mode() == "auto" else 0


@functools.lru_cache(maxsize=4096)
def _layout(
    target: Target,
    rows: Axis,
    columns: Axis,
    outputs: int,
    inputs: int,
    groups: int,
    images: int,
    itemsize: int,
    fewest_products: int,
    for_weights: bool = False,
    is_forward: bool = False,
) -> Layout | None:
    """Choose between the kernels and matrix products (None), and then the tile."""
    pixels, taps = images * rows.out * columns.out, rows.taps * columns.taps
    if taps > MOST_TAPS or max(outputs, inputs) > target.most_channels or (target is GPU and groups == 1):
        return None
    if pixels * groups * outputs * inputs * taps < fewest_products:
        return None
    tile_out = 4 if 0 < outputs % 8 <= 4 else target.tile_out
    # A weight gradient also sums the zeros after a row's end: they fill the longest vectors.
    lanes, vector = (target.weight_lanes, CPU.vector) if for_weights else (target.lanes, target.vector)
    width = lanes * (vector // itemsize if target.vector else 1)
    widths = target.sums[0] // tile_out
    # In the forward of a 1×1 kernel, the weights of an output follow each other: whole tiles read them where they lie.
    is_packed = target.packs_all or not is_forward or taps > 1 or outputs % tile_out > 0
    layout = Layout(target, rows, columns, groups, inputs, outputs, tile_out, width, widths, is_packed=is_packed)
    return fit(layout, images, itemsize, for_weights)


def fit(layout: Layout, images: int, itemsize: int, for_weights: bool) -> Layout | None:
    """Choose the vectors of a tile, and how many of the images and rows a block takes; None if no row can be staged."""
    target = layout.target
    most = (target.most_staged_for_weights if for_weights else target.most_staged) // itemsize
    candidates = []
    for together in IMAGES_TOGETHER:
        for sums in target.sums[:1] if for_weights else target.sums:
            candidate = _cut(replace(layout, images=together, widths=sums // layout.tile_out), for_weights)
            if images % together == 0 and candidate.staged(for_weights) <= most:
                candidates.append(candidate)
    if not candidates:
        return None
    if for_weights:
        fitted, most_rows = _fit_weights(candidates, images, pixels=layout.rows.out * layout.columns.out)
    else:
        fitted, most_rows = _fit_pixels(candidates, images)
    bands = -(-fitted.rows.part // most_rows)
    while replace(fitted, band=-(-fitted.rows.part // bands)).staged(for_weights) > most:
        bands += 1
    return replace(fitted, band=-(-fitted.rows.part // bands))


def _fit_weights(candidates: list[Layout], images: int, pixels: int) -> tuple[Layout, int]:
    """Choose a layout, and the most rows of a block. Many pixels are better: summing a tile costs as much as dozens."""
    first = candidates[0]
    has_taps = first.rows.taps * first.columns.taps > 1
    enough = [candidate for candidate in candidates if candidate.images * pixels >= POSITIONS]
    layout = enough[0] if enough else candidates[-1]
    for wider in enough:
        blocks = wider.groups * (images // wider.images) * wider.most_shares
        if has_taps and wider.images <= wider.target.weight_images and blocks >= FEWEST_BLOCKS:
            layout = wider
    return layout, max(1, POSITIONS // (layout.columns.out * layout.images))


def _fit_pixels(candidates: list[Layout], images: int) -> tuple[Layout, int]:
    """Choose the layout of least work, and the most rows of a block.

    More images together take longer to interleave, and longer tiles longer to write.
    """
    layout = min(candidates, key=lambda candidate: candidate.work() * (candidate.images * candidate.widths) ** 0.15)
    rows = layout.rows.part * layout.groups * (images // layout.images)
    return layout, max(1, rows // layout.target.blocks)


def _cut(layout: Layout, for_weights: bool) -> Layout:
    """Cut the planes of a pointwise kernel into rows that fill whole tiles; the last row may be shorter.

    A weight gradient sums any number of vectors in a row and starts anew at each row: its rows are longer.
    """
    if not layout.is_pointwise:
        return layout
    rows, columns = layout.rows, layout.columns
    pixels = rows.out * columns.out
    tile = layout.widths * layout.width
    positions = max(LONG_ROW, 8 * layout.width) if for_weights else math.lcm(tile, layout.images)
    length = min(pixels, positions // layout.images)
    count = -(-pixels // length)
    rows, columns = rows._replace(size=count, out=count), columns._replace(size=length, out=length)
    return replace(layout, rows=rows, columns=columns, missing=count * length - pixels, is_panel=not for_weights)
