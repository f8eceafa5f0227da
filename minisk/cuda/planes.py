"""Axpy and its parts, by the kernels of axpy.cu: one block, or a row of blocks, for a plane."""

from __future__ import annotations

from ..device import Array, array_module
from .launcher import Kernel, launch, with_twin
from .twins import planes as twins

AXPY_FORWARD = Kernel("axpy.cu", "axpy_forward")
CHANNEL_SCALE = Kernel("axpy.cu", "channel_scale")
CHANNEL_DOT = Kernel("axpy.cu", "channel_dot_shuffle")
PLANE_MEAN = Kernel("axpy.cu", "plane_mean")

BLOCK = 256
PER_BLOCK = 4 * BLOCK  # values that keep a block busy: a large plane is shared by several, small ones share one


def plane_block(spatial: int) -> tuple[int]:
    """Whole warps, as many as a plane of `spatial` values has use for."""
    return (min(BLOCK, -(-spatial // 32) * 32),)


def plane_grid(planes: int, spatial: int) -> tuple[int, int]:
    """Blocks for planes of `spatial` values: (planes, tiles), or fewer than planes if they are small."""
    return -(-planes // max(1, PER_BLOCK // spatial)), min(65535, -(-spatial // PER_BLOCK))


@with_twin(twins.axpy, least=8192)
def axpy(a: Array, x: Array, y: Array) -> Array:
    n, c, h, w = x.shape
    out = array_module(x).empty_like(x)
    launch(AXPY_FORWARD, plane_grid(n * c, h * w), plane_block(h * w), (n * c, h * w, a, x, y, out))
    return out


@with_twin(twins.channel_scale, least=8192)
def channel_scale(a: Array, x: Array) -> Array:
    n, c, h, w = x.shape
    out = array_module(x).empty_like(x)
    launch(CHANNEL_SCALE, plane_grid(n * c, h * w), plane_block(h * w), (n * c, h * w, a, x, out))
    return out


@with_twin(twins.channel_dot, least=8192)
def channel_dot(g: Array, x: Array) -> Array:
    n, c, h, w = x.shape
    out = array_module(x).empty((n, c), x.dtype)
    launch(CHANNEL_DOT, plane_grid(n * c, h * w)[:1], plane_block(h * w), (n * c, h * w, g, x, out))
    return out


@with_twin(twins.plane_mean, least=8192)
def plane_mean(x: Array) -> Array:
    n, c, h, w = x.shape
    out = array_module(x).empty((n, c), x.dtype)
    launch(PLANE_MEAN, plane_grid(n * c, h * w)[:1], plane_block(h * w), (n * c, h * w, x, out))
    return out
