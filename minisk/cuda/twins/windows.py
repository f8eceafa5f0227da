"""A window that moves over images, as strided views of all of them: one view for each of the window's few taps."""

from collections.abc import Iterator
from typing import NamedTuple

from ...device import Array, array_module

Pair = tuple[int, int]


class Window(NamedTuple):
    """Where a window goes; all pairs are (height, width). Images are of the shape (…, …, H, W).

    They are laid on a *canvas*, with the padding round them and room for the last window, which ceil_mode may push
    past the padding.
    """

    kernel: Pair
    stride: Pair
    padding: Pair
    out: Pair
    dilation: Pair = (1, 1)

    def canvas(self, like: Array, shape: tuple[int, ...], fill: float = 0) -> Array:
        """Return a canvas for images of this shape, in the dtype and on the device of `like`, that is all `fill`."""
        sizes = []
        for a in range(2):
            reach = self.stride[a] * (self.out[a] - 1) + self.dilation[a] * (self.kernel[a] - 1) + 1
            sizes.append(max(reach, shape[2 + a] + 2 * self.padding[a]))
        return array_module(like).full((*shape[:2], *sizes), fill, like.dtype)

    def padded(self, x: Array, fill: float = 0) -> Array:
        """Return a canvas with x on it."""
        canvas = self.canvas(x, x.shape, fill)
        self.inside(canvas, x.shape)[...] = x
        return canvas

    def inside(self, canvas: Array, shape: tuple[int, ...]) -> Array:
        """Return the part of a canvas on which images of this shape lie."""
        (top, left), (height, width) = self.padding, shape[2:]
        return canvas[:, :, top : top + height, left : left + width]

    def taps(self, canvas: Array) -> Iterator[tuple[int, Array]]:
        """For each position inside the window: its number, and a view of what all windows see there."""
        (sh, sw), (ho, wo) = self.stride, self.out
        for tap in range(self.kernel[0] * self.kernel[1]):
            i, j = tap // self.kernel[1] * self.dilation[0], tap % self.kernel[1] * self.dilation[1]
            yield tap, canvas[:, :, i : i + sh * (ho - 1) + 1 : sh, j : j + sw * (wo - 1) + 1 : sw]
