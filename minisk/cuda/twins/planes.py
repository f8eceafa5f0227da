"""The short formulas: for planes, for rows, for each number alone. A *plane* is one channel of one image.

float16 is for storage: twins widen it to float32, compute, and narrow the result.

Planes: one number for each. a: (N, C); g, x, y: (N, C, H, W):

    axpy          out[n,c,h,w] = a[n,c] · x[n,c,h,w] + y[n,c,h,w]
    channel_scale out[n,c,h,w] = a[n,c] · x[n,c,h,w]
    channel_add   out[n,c,h,w] = a[n,c] + x[n,c,h,w]
    channel_dot   out[n,c]     = Σ_hw g[n,c,h,w] · x[n,c,h,w]
    plane_mean    out[n,c]     = Σ_hw x[n,c,h,w] / (H·W)

Rows: softmax along an axis, cross entropy:

    y = softmax(x):      y_i = e^(x_i - m) / Σ_j e^(x_j - m)     dx = y · (dy - Σ dy·y)     m = max x: nothing overflows
    y = log_softmax(x):  y_i = x_i - m - log Σ_j e^(x_j - m)     dx = dy - e^y · Σ dy
    loss[n] = -Σ_k q[n,k] · log_softmax(x)[n,k]                  dx = (softmax(x) · Σ q - q) · dloss / N

The select step: a softmax over branches, and the branches' weighted sum. logits, a (the weights): (N, M, C); branches,
out: (N, C, H, W); dweights is the gradient that reaches a itself:

    a = softmax over m of logits        out = Σ_m a[:, m] ⊙ branch_m
    dbranch_m = a[:, m] ⊙ dout          dlogits = a · (da - Σ_m a · da),   da[n,m,c] = Σ_hw dout · branch_m + dweights
"""

import numpy as np

from ...backend import Array, array_module


def widen(x: Array) -> Array:
    """Return x in the dtype to compute in: float32 for float16, else its own."""
    return x.astype(np.float32) if x.dtype == np.float16 else x


def narrow(x: Array, like: Array) -> Array:
    """Return a result in the dtype of the input it was computed from."""
    return x.astype(like.dtype, copy=False)


def axpy(a: Array, x: Array, y: Array) -> Array:
    out = channel_scale(a, x)
    out += y
    return out


def channel_scale(a: Array, x: Array) -> Array:
    return a[:, :, None, None] * x


def channel_add(a: Array, x: Array) -> Array:
    return a[:, :, None, None] + x


def channel_dot(g: Array, x: Array) -> Array:
    return narrow(array_module(x).einsum("nchw,nchw->nc", widen(g), widen(x)), like=x)


def plane_mean(x: Array) -> Array:
    n, c, h, w = x.shape
    return narrow(widen(x).reshape(n, c, h * w).sum(axis=2) / (h * w), like=x)


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


def add(x: Array, y: Array) -> Array:
    # Without `out`, the sum of two arrays of no axes would be a number.
    return array_module(x).add(x, y, out=array_module(x).empty_like(x))


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


def select(logits: Array, *branches: Array) -> tuple[Array, Array]:
    """Return out and the weights."""
    weights = softmax(logits, 1)
    out = channel_scale(weights[:, 0], branches[0])
    for m, branch in enumerate(branches[1:], start=1):
        out += channel_scale(weights[:, m], branch)
    return out, weights


def select_grad(dout: Array, dweights: Array, weights: Array, *branches: Array) -> tuple[Array, ...]:
    """Return dlogits, then the gradient of each branch."""
    dots = array_module(dout).stack([channel_dot(dout, branch) for branch in branches], axis=1)
    dbranches = [channel_scale(weights[:, m], dout) for m in range(len(branches))]
    return softmax_grad(dots + dweights, weights, 1), *dbranches


def sgd_momentum(
    weight: Array, grad: Array, velocity: Array, lr: float, momentum: float, weight_decay: float, nesterov: bool
) -> None:
    """One step of SGD with momentum, as PyTorch defines it.

    g = grad + weight_decay · weight      v ← momentum · v + g      weight ← weight - lr · (g + momentum · v, or v)
    """
    g = grad + weight_decay * weight if weight_decay else grad
    velocity *= momentum
    velocity += g
    weight -= lr * (g + momentum * velocity if nesterov else velocity)
