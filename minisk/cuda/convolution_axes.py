"""Rows and columns of a convolution, as in convolution.cuh: `Axis`, and the structures that kernels read."""

import ctypes
import functools
from typing import NamedTuple

from .geometry import ConvGeometry

CACHE_LINE = 16  # elements of float32


class AxisFields(ctypes.Structure):
    """`struct Axis` of convolution.cu."""

    _fields_ = (
        ("size", ctypes.c_int),
        ("out", ctypes.c_int),
        ("taps", ctypes.c_int),
        ("out_step", ctypes.c_int),
        ("in_step", ctypes.c_int),
        ("tap_step", ctypes.c_int),
        ("shift", ctypes.c_int),
        ("first", ctypes.c_int),
        ("parts", ctypes.c_int),
    )


class PlanFields(ctypes.Structure):
    """`struct Plan` of convolution.cuh, which explains the fields."""

    _fields_ = (
        ("rows", AxisFields),
        ("columns", AxisFields),
        ("groups", ctypes.c_int),
        ("inputs", ctypes.c_int),
        ("outputs", ctypes.c_int),
        ("band", ctypes.c_int),
        ("staged_rows", ctypes.c_int),
        ("pitch", ctypes.c_int),
        ("row_step", ctypes.c_int),
        ("channel_size", ctypes.c_int),
        ("gradient_size", ctypes.c_int),
        ("missing", ctypes.c_int),
        ("images", ctypes.c_int),
        ("vectors", ctypes.c_int),
    )


class Axis(NamedTuple):
    """Rows or columns: output pixel o sees input pixel (o · out_step + tap · tap_step + shift) / in_step, if whole."""

    size: int
    out: int
    taps: int
    out_step: int
    in_step: int
    tap_step: int
    shift: int

    def reversed(self) -> "Axis":
        """Return the axis of the input gradient, which reads outputs and writes inputs."""
        return Axis(
            size=self.out,
            out=self.size,
            taps=self.taps,
            out_step=self.in_step,
            in_step=self.out_step,
            tap_step=-self.tap_step,
            shift=-self.shift,
        )

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
        """Parts of the input, by the remainder by out_step, up to the last one that a tap reads."""
        return 1 + max(tap * abs(self.tap_step) % self.out_step for tap in range(self.taps))

    @property
    def part(self) -> int:
        """Outputs that share a remainder by in_step."""
        return -(-self.out // self.in_step)

    def fields(self) -> AxisFields:
        return AxisFields(**self._asdict(), first=self.first, parts=self.parts)


@functools.lru_cache(maxsize=1024)
def forward_axes(geometry: ConvGeometry, size: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[Axis, Axis]:
    """Return rows and columns of the forward convolution of images of a size (H, W)."""
    out = geometry.output_size(size, kernel)
    rows, columns = (
        Axis(
            size=size[a],
            out=out[a],
            taps=kernel[a],
            out_step=geometry.stride[a],
            in_step=1,
            tap_step=geometry.dilation[a],
            shift=-geometry.padding[a],
        )
        for a in range(2)
    )
    return rows, columns


def odd_lines(size: int) -> int:
    """Round up to an odd number of cache lines: channels a power of two apart would share one set of the cache."""
    return (-(-size // CACHE_LINE) | 1) * CACHE_LINE
