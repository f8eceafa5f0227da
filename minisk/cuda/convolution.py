"""Convolution: which of three ways a shape goes, and the launches of convolution.cu."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from ..device import Array, array_module, device_of
from .launcher import Kernel, kernel_mode, launch, with_twin
from .twins import convolution as twins
from .twins.convolution import Geometry

MOST_TAPS = 128


class Target(NamedTuple):
    lanes: int
    vector_bytes: int
    threads: int
    shared: int


CPU = Target(1, 64, 1, 256 << 10)
GPU = Target(8, 0, 256, 48 << 10)


@functools.cache
def _kernel(name: str, **constants: int) -> Kernel:
    return Kernel("convolution.cu", name, **constants)


def _axis(size, out, taps, out_step, in_step, tap_step, shift):
    first = min(0, (taps - 1) * tap_step) + shift
    first = first // in_step
    return (size, out, taps, out_step, in_step, tap_step, shift, first)


def _reach(axis):
    size, out, taps, out_step, in_step, tap_step, shift, first = axis
    last = (in_step - 1) * out_step + max(0, (taps - 1) * tap_step) + shift
    return (last // in_step - first) // out_step


def _forward_axes(geometry, size, out, kernel):
    return [_axis(size[a], out[a], kernel[a], geometry.stride[a], 1, geometry.dilation[a], -geometry.padding[a]) for a in range(2)]


def _backward_axes(geometry, size, out, kernel):
    return [_axis(out[a], size[a], kernel[a], 1, geometry.stride[a], -geometry.dilation[a], geometry.padding[a]) for a in range(2)]


def _images(n, positions, span, most=8):
    best = min((-(-positions * b // span) * span / (positions * b), b) for b in (1, 2, 4, 8, 16) if n % b == 0 and b <= most)
    return best[1]


def _layout(axes, images, span, channels, itemsize, band):
    rows, columns = axes
    staged_rows = band + _reach(rows)
    pitch = -(-(-(-columns[1] // columns[4])) * images // span) * span + _reach(columns) * images
    size = rows[3] * columns[3] * staged_rows * pitch
    size = (-(-size // 16) | 1) * 16
    return staged_rows, pitch, size


def _table(xp_name, *numbers):
    return np.array(numbers, np.int32)


def _run(x, weight, axes, groups, outputs, inputs, strides, shape):
    target = CPU
    itemsize = x.dtype.itemsize
    tile_out = 4 if 0 < outputs % 8 <= 4 else 8
    vector = target.vector_bytes // itemsize
    tile_vectors = 16 // tile_out
    span = target.lanes * vector * tile_vectors
    rows, columns = axes
    images = _images(x.shape[0], -(-columns[1] // columns[4]), span)
    lines = -(-rows[1] // rows[4])
    band = lines
    while True:
        staged_rows, pitch, size = _layout(axes, images, span, inputs, itemsize, band)
        if size * inputs * itemsize <= target.shared or band == 1:
            break
        band = -(-band // 2)
    taps = rows[2] * columns[2]
    tiles = -(-outputs // tile_out)
    constants = dict(TILE_OUT=tile_out, TILE_VECTORS=tile_vectors, LANES=target.lanes, IMAGES=images, VECTOR_BYTES=target.vector_bytes)
    packed = np.empty(groups * tiles * taps * inputs * tile_out, x.dtype)
    launch(_kernel("pack_weights", **constants), (groups * tiles * taps,), (1,), (outputs, inputs, taps, *strides, weight, packed))
    plan = np.array([*rows, *columns, groups, inputs, outputs, band, staged_rows, pitch, size], np.int32)
    out = np.empty(shape, x.dtype)
    launch(_kernel("convolve", **constants), (groups * (x.shape[0] // images), -(-lines // band)), (1,), (plan, x, packed, out), size * inputs * itemsize + 64)
    return out


@with_twin(twins.conv2d)
def conv2d(x: Array, weight: Array, geometry: Geometry) -> Array:
    outputs, inputs = weight.shape[0] // geometry.groups, weight.shape[1]
    kernel = weight.shape[2:]
    out = geometry.output_size(x.shape[2:], kernel)
    axes = _forward_axes(geometry, x.shape[2:], out, kernel)
    taps = kernel[0] * kernel[1]
    return _run(x, weight, axes, geometry.groups, outputs, inputs, (inputs * taps, taps), (x.shape[0], weight.shape[0], *out))


@with_twin(twins.conv2d_input_grad)
def conv2d_input_grad(dout: Array, weight: Array, geometry: Geometry, shape: tuple[int, ...]) -> Array:
    outputs, inputs = weight.shape[0] // geometry.groups, weight.shape[1]
    kernel = weight.shape[2:]
    axes = _backward_axes(geometry, shape[2:], dout.shape[2:], kernel)
    taps = kernel[0] * kernel[1]
    return _run(dout, weight, axes, geometry.groups, inputs, outputs, (taps, inputs * taps), shape)


@with_twin(twins.conv2d_weight_grad)
def conv2d_weight_grad(x: Array, dout: Array, geometry: Geometry, shape: tuple[int, ...]) -> Array:
    target = CPU
    groups = geometry.groups
    outputs, inputs = shape[0] // groups, shape[1]
    kernel = shape[2:]
    rows, columns = axes = _forward_axes(geometry, x.shape[2:], dout.shape[2:], kernel)
    itemsize = x.dtype.itemsize
    tile_out = 4 if 0 < outputs % 8 <= 4 else 8
    vector = target.vector_bytes // itemsize
    span = target.lanes * vector
    images = _images(x.shape[0], columns[1], span, 16)
    while rows[1] * columns[1] * images < 512 and x.shape[0] % (2 * images) == 0 and images < 16:
        images *= 2
    width = -(-columns[1] * images // span) * span
    band = min(rows[1], max(1, 512 // width))
    band = -(-rows[1] // (-(-rows[1] // band)))
    staged_rows, pitch, size = _layout(axes, images, span, inputs, itemsize, band)
    constants = dict(TILE_OUT=tile_out, TILE_VECTORS=16 // tile_out, LANES=target.lanes, IMAGES=images, VECTOR_BYTES=target.vector_bytes)
    plan = np.array([*rows, *columns, groups, inputs, outputs, band, staged_rows, pitch, size], np.int32)
    sets = x.shape[0] // images
    slices = min(sets, max(1, -(-8 // groups)))
    partial = np.empty((slices, *shape), x.dtype)
    launch(_kernel("correlate", **constants), (groups, slices), (1,), (plan, sets, x, dout, partial), (size * inputs + outputs * (band * width+32)) * itemsize + 64)
    return partial.sum(axis=0) if slices > 1 else partial[0]
