"""Launch the kernels of resize.cu. x, dx: (N, C, H, W); out, dout: (N, C, Ho, Wo); all C-contiguous."""

from ..backend import Array, array_module
from ..runtime import Kernel, launch
from .geometry import Pair
from .grids import plane_block, plane_grid

BILINEAR = Kernel("resize.cu", "bilinear")
BILINEAR_ADJOINT = Kernel("resize.cu", "bilinear_adjoint")
LARGEST_PRODUCT = 2**31 - 1  # of an axis before and after the resize: the kernels compute positions in int


def are_positions_exact(shape: tuple[int, ...], size: Pair) -> bool:
    """Return whether the kernels can compute the positions of a resize from (N, C, H, W) to a height and width."""
    return max(shape[2] * size[0], shape[3] * size[1]) <= LARGEST_PRODUCT


def launch_bilinear(x: Array, size: Pair) -> Array:
    """Return x resized to (Ho, Wo) by interpolation."""
    n, c, h, w = x.shape
    out = array_module(x).empty((n, c, *size), x.dtype)
    spatial = size[0] * size[1]
    launch(BILINEAR, plane_grid(n * c, spatial), plane_block(spatial), (n * c, h, w, *size, x, out))
    return out


def launch_bilinear_adjoint(dout: Array, size: Pair) -> Array:
    """Return dx of height and width `size`: each output's gradient goes to the inputs it read, by their weights."""
    n, c, ho, wo = dout.shape
    dx = array_module(dout).empty((n, c, *size), dout.dtype)
    spatial = size[0] * size[1]
    launch(BILINEAR_ADJOINT, plane_grid(n * c, spatial), plane_block(spatial), (n * c, *size, ho, wo, dout, dx))
    return dx
