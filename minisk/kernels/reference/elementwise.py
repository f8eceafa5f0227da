"""Sums, ReLU and its gradient, and the sigmoid, for arrays of any shape."""

from ...backend import Array, array_module
from .precision import masked, narrow, precise_sum, widen


def add(x: Array, y: Array) -> Array:
    """Return x + y."""
    # Without `out`, NumPy returns a scalar, not an array, for two arrays of shape ().
    return array_module(x).add(x, y, out=array_module(x).empty_like(x))


def relu(x: Array) -> Array:
    """Return max(x, 0)."""
    return array_module(x).maximum(x, 0)


def add_relu(x: Array, y: Array) -> Array:
    """Return max(x + y, 0), the end of a residual unit."""
    out = add(x, y)
    return array_module(x).maximum(out, 0, out=out)


def relu_grad(dout: Array, y: Array) -> Array:
    """Return 0 where y ≤ 0, else dout; y may be ReLU's input or its output. Where y is NaN, dout passes."""
    return masked(dout, ~(y <= 0))


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e⁻ˣ)."""
    xp, wide = array_module(x), widen(x)
    shrunk = xp.exp(-xp.abs(wide))  # at most 1, so that no x overflows
    return narrow(xp.where(wide >= 0, 1, shrunk) / (1 + shrunk), like=x)


def total(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Return the sum of x over the sorted axes; float16 is summed in float32. There is no kernel for it."""
    if x.dtype.kind != "f":
        return x.sum(axis=axes, keepdims=keepdims)
    return narrow(precise_sum(widen(x), axes, keepdims), like=x)
