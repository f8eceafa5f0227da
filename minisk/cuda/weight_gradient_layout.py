"""How the weight gradient of groups with many outputs is laid out for weight_gradient_outputs.cu.

Lanes are outputs there, so dout is copied to make outputs neighbours, and the result has outputs as its last axis. A
pointwise kernel treats inputs and outputs alike: with the roles of x and dout swapped, lanes are inputs, and the result
lies as the weight does.
"""

import functools
from dataclasses import dataclass, replace

from .convolution_axes import Axis, PlanFields, odd_lines
from .convolution_layout import FEWEST_BLOCKS, IMAGES_TOGETHER, POSITIONS, Layout, Target

IN_PLACE = 128  # pixels of a plane from which on a pointwise kernel reads x where it lies
ROW = 64  # pixels of a row then
LONGEST_ROW = 1024  # pixels of a row of a plane that is staged
SETS = 512  # bytes: planes of a multiple of this many compete for few sets of a first-level cache
ENOUGH = 250  # positions: with fewer, adding a tile's sums to memory takes too long; interleaving images takes long too
MOST_PARTIAL = 8 << 20  # elements of partial weight gradients


@dataclass(frozen=True, eq=False)
class OutputsLayout:
    """How blocks share a weight gradient: each takes a share of a group's outputs, and a slice of the batch.

    inputs, outputs: channels of a group, swapped if is_swapped; step: outputs of a vector; vectors: of a tile;
    images: interleaved; sets: of so many images; band: rows staged at once; missing: pixels that the last row lacks;
    is_in_place: whether x is read where it lies.
    """

    target: Target
    rows: Axis
    columns: Axis
    groups: int
    inputs: int
    outputs: int
    step: int
    vectors: int
    images: int
    sets: int
    is_swapped: bool
    is_in_place: bool
    band: int = 1
    missing: int = 0

    @functools.cached_property
    def span(self) -> int:
        """Outputs of a tile."""
        return self.step * self.vectors

    @functools.cached_property
    def padded(self) -> int:
        """Outputs of a row of the result: whole vectors."""
        return -(-self.outputs // self.step) * self.step

    @functools.cached_property
    def pairs(self) -> int:
        """Inputs × taps."""
        return self.inputs * self.rows.taps * self.columns.taps

    @functools.cached_property
    def pitch(self) -> int:
        """Positions in a staged row."""
        return (self.columns.out + self.columns.reach) * self.images

    @functools.cached_property
    def channel_size(self) -> int:
        """Elements from a channel of x to the next, as the kernel reads it."""
        if self.is_in_place:
            return self.rows.size * self.columns.size - self.missing
        return odd_lines(self.rows.parts * self.columns.parts * (self.band + self.rows.reach) * self.pitch)

    @functools.cached_property
    def most_shares(self) -> int:
        """Most blocks that may share a group's outputs: each stages the same x, if x is staged."""
        if self.is_in_place:
            return -(-self.outputs // self.span)
        return max(1, self.outputs * self.rows.taps * self.columns.taps // self.target.weights)

    @functools.cached_property
    def share(self) -> int:
        """Outputs of a block."""
        return self._share_of(max(self.target.blocks, self.target.weight_blocks))

    def _share_of(self, blocks: int) -> int:
        shares = min(self.most_shares, -(-blocks // self.groups))
        return -(-self.outputs // shares // self.span) * self.span

    @functools.cached_property
    def shares(self) -> int:
        return -(-self.outputs // self.share)

    @functools.cached_property
    def slices(self) -> int:
        """Slices of the batch, which the caller adds: the same for any number of threads, fewer if memory is short."""
        elements, blocks = self.groups * self.pairs * self.padded, self.target.weight_blocks
        per_slice = self.groups * -(-self.outputs // self._share_of(blocks))
        fewer = blocks // per_slice  # each slice costs memory: three quarters of the blocks will do
        wanted = fewer if 4 * fewer * per_slice >= 3 * blocks else fewer + 1
        return min(self.sets, wanted, max(1, MOST_PARTIAL // elements))

    @functools.cached_property
    def staged(self) -> int:
        """Elements in shared memory."""
        outputs = -(-min(self.share, self.outputs) // self.span) * self.span
        x = 0 if self.is_in_place else self.inputs * self.channel_size
        return x + outputs * self.band * self.columns.out * self.images

    def plan(self) -> PlanFields:
        """Return what the kernel reads from memory."""
        axes_and_channels = (self.rows.fields(), self.columns.fields(), self.groups, self.inputs, self.outputs)
        return PlanFields(
            *axes_and_channels,
            band=self.band,
            staged_rows=self.band + self.rows.reach,
            pitch=self.pitch,
            row_step=0 if self.is_in_place else self.pitch,
            channel_size=self.channel_size,
            missing=self.missing,
            images=self.images,
            vectors=self.vectors,
        )


@functools.lru_cache(maxsize=4096)
def outputs_layout(layout: Layout, images: int, itemsize: int) -> OutputsLayout | None:
    """Return how to launch a weight gradient; None if a group has too few outputs, or not one row can be staged.

    layout: as `weight_grad_layout` returns it.
    """
    target, rows, columns = layout.target, layout.rows, layout.columns
    inputs, outputs, pixels = layout.inputs, layout.outputs, rows.out * columns.out - layout.missing
    step = target.weight_lanes * max(1, target.vector // itemsize)
    least = step * min(2, target.out_vectors)  # with fewer, the sums of a tile wait for each other
    is_swapped = layout.is_pointwise and _is_swapped(inputs, outputs, images * pixels, least)
    if is_swapped:
        inputs, outputs = outputs, inputs
    if outputs < least:
        return None
    vectors = _vectors(target, outputs, step)
    is_in_place = layout.is_pointwise and pixels >= IN_PLACE and pixels * itemsize % SETS != 0
    if layout.is_pointwise:
        length = ROW if is_in_place else min(pixels, LONGEST_ROW)
        count = -(-pixels // length)
        rows, columns = rows._replace(size=count, out=count), columns._replace(size=length, out=length)
    found = OutputsLayout(
        target, rows, columns, layout.groups, inputs, outputs, step, vectors, 1, images, is_swapped, is_in_place
    )
    found = replace(found, missing=rows.out * columns.out - pixels)
    if not is_in_place:
        found = _interleave(found, images)
    bands = -(-rows.out // max(1, POSITIONS // (columns.out * found.images)))
    while (fitted := replace(found, band=-(-rows.out // bands))).staged * itemsize > target.most_staged_for_weights:
        if fitted.band == 1:
            return None
        bands += 1
    return fitted


def _vectors(target: Target, outputs: int, step: int) -> int:
    """Return the vectors of a tile: one fewer than the processor's most, if more of the last tile is filled then."""
    most = min(target.out_vectors, -(-outputs // step))
    return most - 1 if most > 3 and -outputs % (step * (most - 1)) < -outputs % (step * most) else most


def _is_swapped(inputs: int, outputs: int, pixels: int, least: int) -> bool:
    """Return whether to copy x, not dout, to make its channels neighbours: else the result is copied in turn."""
    costs_more = pixels * (inputs - outputs) > 2 * inputs * outputs
    return inputs >= least and not (costs_more and outputs >= least)


def _interleave(layout: OutputsLayout, images: int) -> OutputsLayout:
    """Interleave images until there are enough positions, while enough blocks remain."""
    for together in IMAGES_TOGETHER:
        if images % together == 0:
            wider = replace(layout, images=together, sets=images // together)
            if wider.groups * wider.sets * wider.most_shares >= FEWEST_BLOCKS or together == 1:
                layout = wider
            if layout.images * layout.rows.out * layout.columns.out >= ENOUGH:
                break
    return layout
