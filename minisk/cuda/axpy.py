"""Launch the kernels of axpy.cu: one scalar per plane. a: (N, C); g, x, y: (N, C, H, W), all C-contiguous."""

from ..backend import Array, array_module
from ..runtime import Kernel, launch
from .grids import plane_block, plane_grid

AXPY_FORWARD = Kernel("axpy.cu", "axpy_forward")
CHANNEL_SCALE = Kernel("axpy.cu", "channel_scale")
CHANNEL_ADD = Kernel("axpy.cu", "channel_add")
CHANNEL_DOT = Kernel("axpy.cu", "channel_dot_shuffle")
PLANE_MEAN = Kernel("axpy.cu", "plane_mean")


def launch_axpy(a: Array, x: Array, y: Array) -> Array:
    """Return a · x + y, (N, C, H, W)."""
    return _write_planes(AXPY_FORWARD, x.shape, (a, x, y))


def launch_channel_scale(a: Array, x: Array) -> Array:
    """Return a · x, (N, C, H, W)."""
    return _write_planes(CHANNEL_SCALE, x.shape, (a, x))


def launch_channel_add(a: Array, x: Array) -> Array:
    """Return a + x, (N, C, H, W)."""
    return _write_planes(CHANNEL_ADD, x.shape, (a, x))


def launch_channel_dot(g: Array, x: Array) -> Array:
    """Return the sum of g · x over each plane, (N, C)."""
    return _reduce_planes(CHANNEL_DOT, x.shape, (g, x))


def launch_plane_mean(x: Array) -> Array:
    """Return the mean of each plane, (N, C)."""
    return _reduce_planes(PLANE_MEAN, x.shape, (x,))


def _write_planes(kernel: Kernel, shape: tuple[int, ...], inputs: tuple[Array, ...]) -> Array:
    """Launch a kernel whose output has the shape of its planes, (N, C, H, W)."""
    n, c, h, w = shape
    out = array_module(inputs[0]).empty(shape, inputs[0].dtype)
    launch(kernel, plane_grid(n * c, h * w), plane_block(h * w), (n * c, h * w, *inputs, out))
    return out


def _reduce_planes(kernel: Kernel, shape: tuple[int, ...], inputs: tuple[Array, ...]) -> Array:
    """Launch a kernel that reduces each plane to one scalar; the output is (N, C)."""
    n, c, h, w = shape
    out = array_module(inputs[0]).empty((n, c), inputs[0].dtype)
    launch(kernel, plane_grid(n * c, h * w)[:1], plane_block(h * w), (n * c, h * w, *inputs, out))
    return out
