"""Softmax and log-softmax along an axis, and their gradients.

y = softmax(x):      y_i = e^(x_i - m) / Σ_j e^(x_j - m)     dx = y · (dy - Σ dy·y)     m = max x: nothing overflows
y = log_softmax(x):  y_i = x_i - m - log Σ_j e^(x_j - m)     dx = dy - e^y · Σ dy
"""

from ...backend import Array, array_module
from .precision import narrow, precise_sum, widen


def softmax(x: Array, axis: int) -> Array:
    """Return softmax(x)."""
    wide = widen(x)
    out = array_module(x).exp(wide - wide.max(axis=axis, keepdims=True))
    out /= precise_sum(out, (axis,), keepdims=True)
    return narrow(out, like=x)


def log_softmax(x: Array, axis: int) -> Array:
    """Return log(softmax(x))."""
    xp, wide = array_module(x), widen(x)
    shifted = wide - wide.max(axis=axis, keepdims=True)
    return narrow(shifted - xp.log(precise_sum(xp.exp(shifted), (axis,), keepdims=True)), like=x)


def softmax_grad(dy: Array, y: Array, axis: int) -> Array:
    """Return the gradient of x, from the gradient of y = softmax(x) and y itself."""
    dy_wide, y_wide = widen(dy), widen(y)
    return narrow(y_wide * (dy_wide - precise_sum(dy_wide * y_wide, (axis,), keepdims=True)), like=y)


def log_softmax_grad(dy: Array, y: Array, axis: int) -> Array:
    """Return the gradient of x, from the gradient of y = log_softmax(x) and y itself."""
    dy_wide = widen(dy)
    total = precise_sum(dy_wide, (axis,), keepdims=True)
    return narrow(dy_wide - array_module(y).exp(widen(y)) * total, like=y)
