"""A window that moves over images, as strided views: the part that convolution and pooling share.

Images of shape (…, …, H, W) are laid on a *canvas*. The canvas adds the padding, and room for the last window, which
ceil_mode may push beyond the padding. A *tap* is one position inside the window; what all windows see at one tap is a
strided view of the canvas.
"""

from collections.abc import Iterator

from ...backend import Array, array_module
from ...cuda.geometry import PoolWindow


def canvas_for(window: PoolWindow, like: Array, shape: tuple[int, ...], fill: float = 0) -> Array:
    """Return a canvas for images of this shape, filled with `fill`, in the dtype and on the device of `like`."""
    sizes = []
    for a in range(2):
        reach = window.stride[a] * (window.out[a] - 1) + window.dilation[a] * (window.kernel[a] - 1) + 1
        sizes.append(max(reach, shape[2 + a] + 2 * window.padding[a]))
    return array_module(like).full((*shape[:2], *sizes), fill, like.dtype)


def padded(window: PoolWindow, x: Array, fill: float = 0) -> Array:
    """Return a canvas with x on it."""
    canvas = canvas_for(window, x, x.shape, fill)
    inside(window, canvas, x.shape)[...] = x
    return canvas


def inside(window: PoolWindow, canvas: Array, shape: tuple[int, ...]) -> Array:
    """Return the part of a canvas on which images of this shape lie."""
    (top, left), (height, width) = window.padding, shape[2:]
    return canvas[:, :, top : top + height, left : left + width]


def taps(window: PoolWindow, canvas: Array) -> Iterator[tuple[int, Array]]:
    """Yield, for each tap, its number and a view of what all windows see there, (…, …, Ho, Wo)."""
    (sh, sw), (ho, wo) = window.stride, window.out
    for tap in range(window.kernel[0] * window.kernel[1]):
        i, j = tap // window.kernel[1] * window.dilation[0], tap % window.kernel[1] * window.dilation[1]
        yield tap, canvas[:, :, i : i + sh * (ho - 1) + 1 : sh, j : j + sw * (wo - 1) + 1 : sw]
