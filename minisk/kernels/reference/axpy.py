"""Axpy and its gradients: one scalar per plane. A *plane* is one channel of one image.

a: (N, C); g, x, y: (N, C, H, W):

    axpy          out[n,c,h,w] = a[n,c] · x[n,c,h,w] + y[n,c,h,w]
    channel_scale out[n,c,h,w] = a[n,c] · x[n,c,h,w]
    channel_add   out[n,c,h,w] = a[n,c] + x[n,c,h,w]
    channel_dot   out[n,c]     = Σ_hw g[n,c,h,w] · x[n,c,h,w]
    plane_mean    out[n,c]     = Σ_hw x[n,c,h,w] / (H·W)
"""

from ...backend import Array
from .precision import narrow, precise_sum, widen


def axpy(a: Array, x: Array, y: Array) -> Array:
    """Return a · x + y."""
    out = channel_scale(widen(a), widen(x))
    out += y
    return narrow(out, like=x)


def channel_scale(a: Array, x: Array) -> Array:
    """Return a · x."""
    return a[:, :, None, None] * x


def channel_add(a: Array, x: Array) -> Array:
    """Return a + x."""
    return a[:, :, None, None] + x


def channel_dot(g: Array, x: Array) -> Array:
    """Return the sum of g · x over each plane, (N, C)."""
    return narrow(precise_sum(widen(g) * widen(x), (2, 3)), like=x)


def plane_mean(x: Array) -> Array:
    """Return the mean of each plane, (N, C)."""
    h, w = x.shape[2:]
    return narrow(precise_sum(widen(x), (2, 3)) / (h * w), like=x)
