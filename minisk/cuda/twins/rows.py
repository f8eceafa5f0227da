"""Sums, softmax along an axis, cross entropy of rows, and ReLU.

y = softmax(x):      y_i = e^(x_i - m) / Σ_j e^(x_j - m)         dx = y · (dy - Σ dy·y)     m = max x: nothing overflows
y = log_softmax(x):  y_i = x_i - m - log Σ_j e^(x_j - m)         dx = dy - e^y · Σ dy
loss[n] = -Σ_k q[n,k] · log_softmax(x)[n,k]                      dx = (softmax(x) · Σ q - q) · dloss / N
"""

from ...device import Array, array_module
from .precision import narrow, widen


def total(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Sum over axes; float16 is summed in float32."""
    if x.dtype.kind != "f":
        return x.sum(axis=axes, keepdims=keepdims)
    return narrow(widen(x).sum(axis=axes, keepdims=keepdims), like=x)


def softmax(x: Array, axis: int) -> Array:
    wide = widen(x)
    out = array_module(x).exp(wide - wide.max(axis=axis, keepdims=True))
    out /= out.sum(axis=axis, keepdims=True)
    return narrow(out, like=x)


def log_softmax(x: Array, axis: int) -> Array:
    xp, wide = array_module(x), widen(x)
    shifted = wide - wide.max(axis=axis, keepdims=True)
    return narrow(shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True)), like=x)


def softmax_grad(dy: Array, y: Array, axis: int) -> Array:
    dy_wide, y_wide = widen(dy), widen(y)
    return narrow(y_wide * (dy_wide - (dy_wide * y_wide).sum(axis=axis, keepdims=True)), like=y)


def log_softmax_grad(dy: Array, y: Array, axis: int) -> Array:
    dy_wide = widen(dy)
    return narrow(dy_wide - array_module(y).exp(widen(y)) * dy_wide.sum(axis=axis, keepdims=True), like=y)


def cross_entropy(logits: Array, wanted: Array) -> Array:
    """Return the loss of each row, (N,), of logits and the wanted share of each class, both (N, K)."""
    # Where nothing is wanted, log p may be -inf, and 0 · -inf must count as 0.
    log_p = array_module(logits).where(wanted != 0, log_softmax(widen(logits), 1), 0)
    return narrow(-(widen(wanted) * log_p).sum(axis=1), like=logits)


def cross_entropy_grad(dloss: Array, logits: Array, wanted: Array) -> Array:
    """Return the gradient of the logits, (N, K), from that of the mean loss, ()."""
    q = widen(wanted)
    # A row of q sums to 1 as a rule, but it need not.
    dlogits = softmax(widen(logits), 1) * q.sum(axis=1, keepdims=True) - q
    return narrow(dlogits * (widen(dloss) / len(logits)), like=logits)


def relu(x: Array) -> Array:
    return array_module(x).maximum(x, 0)


def add_relu(x: Array, y: Array) -> Array:
    """max(x + y, 0), the end of a residual unit."""
    out = x + y
    return array_module(x).maximum(out, 0, out=out)


def relu_grad(dout: Array, y: Array) -> Array:
    """dout where y > 0, else 0; y may be ReLU's input or its output."""
    # Six times faster than where(), which branches at every element.
    return dout * (y > 0)
