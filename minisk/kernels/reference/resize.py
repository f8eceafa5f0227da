"""Bilinear resize with aligned corners, one axis after the other. x: (N, C, H, W); out: (N, C, Ho, Wo).

Along an axis, output o lies at o·(in - 1) / (out - 1), or at 0 if out = 1: at input `left`, its floor, plus a fraction.
Both are exact here, as the quotient and the remainder of integers.
"""

import numpy as np

from ...backend import Array, array_module
from ...cuda.geometry import Pair
from .precision import narrow, widen


def bilinear(x: Array, size: Pair) -> Array:
    """Return x resized to (Ho, Wo)."""
    return narrow(_interpolate(_interpolate(widen(x), 2, size[0]), 3, size[1]), like=x)


def bilinear_adjoint(dout: Array, size: Pair) -> Array:
    """Give each output's gradient to the inputs that it read, by their weights: dx of height and width `size`."""
    return narrow(_interpolate_adjoint(_interpolate_adjoint(widen(dout), 3, size[1]), 2, size[0]), like=dout)


def _interpolate(x: Array, axis: int, out: int) -> Array:
    xp = array_module(x)
    left, fraction = _places(x.shape[axis], out)
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    weight = xp.asarray(fraction, x.dtype).reshape(shape)
    result = x.take(xp.asarray(left), axis) * (1 - weight)
    between = np.flatnonzero(fraction)  # the other outputs read one input: 0 · infinity would be NaN
    after = x.take(xp.asarray(left[between] + 1), axis)
    between = xp.asarray(between)
    result.swapaxes(0, axis)[between] += (after * weight.take(between, axis)).swapaxes(0, axis)
    return result


def _interpolate_adjoint(dout: Array, axis: int, size: int) -> Array:
    shape = list(dout.shape)
    shape[axis] = size
    dx = array_module(dout).zeros(shape, dout.dtype)
    inputs, outputs = dx.swapaxes(0, axis), dout.swapaxes(0, axis)  # views: the axis first
    for output, left, fraction in zip(outputs, *_places(size, dout.shape[axis]), strict=True):
        weight = fraction.astype(dout.dtype)
        inputs[left] += (1 - weight) * output
        if weight > 0:
            inputs[left + 1] += weight * output
    return dx


def _places(size: int, out: int) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each output along an axis, the input before it, and the weight of the input after it."""
    steps = max(out - 1, 1)
    left, rest = np.divmod(np.arange(out) * (size - 1), steps)
    return left, rest / steps
