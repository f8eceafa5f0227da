"""Axpy and its parts, by the kernels of axpy.cu: one block, or a row of blocks, for a plane."""

from functools import partial

from ..device import Array, array_module
from .launcher import Kernel, launch, with_twin
from .twins import planes as twins

AXPY_FORWARD, CHANNEL_SCALE = Kernel("axpy.cu", "axpy_forward"), Kernel("axpy.cu", "channel_scale")
CHANNEL_DOT, PLANE_MEAN = Kernel("axpy.cu", "channel_dot_shuffle"), Kernel("axpy.cu", "plane_mean")

BLOCK = 256
PER_BLOCK = 4 * BLOCK  # values that keep a block busy: a large plane is shared by several, small ones share one


def plane_block(spatial: int) -> tuple[int]:
    """Whole warps, as many as a plane of `spatial` values has use for."""
    return (min(BLOCK, -(-spatial // 32) * 32),)


def plane_grid(planes: int, spatial: int) -> tuple[int, int]:
    """Blocks for planes of `spatial` values: (planes, tiles), or fewer than planes if they are small."""
    return -(-planes // max(1, PER_BLOCK // spatial)), min(65535, -(-spatial // PER_BLOCK))


def _planes(kernel: Kernel, *arrays: Array) -> Array:
    """Run a kernel that makes planes of numbers and planes; the last array has the shape of the result."""
    n, c, h, w = arrays[-1].shape
    out = array_module(arrays[-1]).empty_like(arrays[-1])
    launch(kernel, plane_grid(n * c, h * w), plane_block(h * w), (n * c, h * w, *arrays, out))
    return out


def _numbers(kernel: Kernel, *arrays: Array) -> Array:
    """Run a kernel that makes a number, (N, C), of every plane of the arrays."""
    n, c, h, w = arrays[0].shape
    out = array_module(arrays[0]).empty((n, c), arrays[0].dtype)
    launch(kernel, plane_grid(n * c, h * w)[:1], plane_block(h * w), (n * c, h * w, *arrays, out))
    return out


axpy = with_twin(twins.axpy, least=8192)(partial(_planes, AXPY_FORWARD))
channel_scale = with_twin(twins.channel_scale, least=8192)(partial(_planes, CHANNEL_SCALE))
channel_dot = with_twin(twins.channel_dot, least=8192)(partial(_numbers, CHANNEL_DOT))
plane_mean = with_twin(twins.plane_mean, least=8192)(partial(_numbers, PLANE_MEAN))
