"""Along axes: sum, mean, max, min, var; argmax, which has no gradient; softmax, log_softmax and cross entropy.

y = softmax(x)       dx = y · (dy - Σ dy·y)
y = log_softmax(x)   dx = dy - softmax(x) · Σ dy
L = -mean_n Σ_k q[n,k] · log_softmax(x)[n,k]     dx = (softmax(x) - q) · dL / N
with q = 1 - s + s/K at the target and s/K elsewhere, for label smoothing s over K classes
"""

import math
from typing import Any

import numpy as np

from .. import kernels
from ..autograd.function import Function, is_grad_enabled
from ..autograd.tensor import Axis, Tensor
from ..backend import Array, array_module
from ..errors import DtypeError, ShapeError
from .dtypes import floating, normalize_axes, require_floating
from .shape import broadcast_to, cast, reshape


class Sum(Function):
    def forward(ctx, x: Array, *, axes: tuple[int, ...], keepdims: bool) -> Array:
        ctx.shape, ctx.kept = x.shape, tuple(1 if i in axes else size for i, size in enumerate(x.shape))
        return kernels.total(x, axes, keepdims)

    def backward(ctx, dout: Tensor) -> Tensor:
        return broadcast_to(reshape(dout, ctx.kept), ctx.shape)


class Extreme(Function):
    """The largest or smallest value; all that equal it share the gradient."""

    def forward(ctx, x: Array, *, axes: tuple[int, ...], keepdims: bool, largest: bool) -> Array:
        y = x.max(axis=axes, keepdims=True) if largest else x.min(axis=axes, keepdims=True)
        if x.dtype.kind == "f":
            winners = ((x == y) | (x != x)).astype(x.dtype)  # NaN wins
            ctx.share = winners / winners.sum(axis=axes, keepdims=True)
        ctx.shape, ctx.kept = x.shape, y.shape
        return y if keepdims else y.squeeze(axes)

    def backward(ctx, dout: Tensor) -> Tensor:
        return broadcast_to(reshape(dout, ctx.kept), ctx.shape) * ctx.share


def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the sum over an axis, several, or all (None). Raises ShapeError."""
    return Sum.apply(x, axes=normalize_axes("sum", axis, x.shape), keepdims=keepdims)


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the mean over an axis, several, or all (None); integers as float32. Raises ShapeError if empty."""
    count = _count("mean", x, axis)
    if x.dtype == np.float16:  # the sum may be beyond 65504 although the mean is not
        return cast(mean(cast(x, np.float32), axis, keepdims), np.float16)
    return sum(floating("mean", x), axis, keepdims) * (1.0 / count)


def var(x: Tensor, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Return the variance, Σ (x - mean)² / (count - ddof). Raises ShapeError unless count > ddof."""
    count = _count("var", x, axis)
    if count <= ddof:
        raise ShapeError(f"var: {count} values along axis {axis} of {x.shape} are not more than ddof = {ddof}")
    if x.dtype == np.float16:
        return cast(var(cast(x, np.float32), axis, ddof, keepdims), np.float16)
    centred = x - mean(x, axis, keepdims=True)
    return sum(centred * centred, axis, keepdims) * (1.0 / (count - ddof))


def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest values; tied ones share the gradient equally. Raises ShapeError if empty."""
    return _extreme("max", x, axis, keepdims, largest=True)


def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest values; tied ones share the gradient equally. Raises ShapeError if empty."""
    return _extreme("min", x, axis, keepdims, largest=False)


def _extreme(operation: str, x: Tensor, axis: Axis, keepdims: bool, largest: bool) -> Tensor:
    _count(operation, x, axis)
    return Extreme.apply(x, axes=normalize_axes(operation, axis, x.shape), keepdims=keepdims, largest=largest)


def argmax(x: Tensor, axis: int | None = None) -> Tensor:
    """Return the index (int64) of the first largest value; no gradient. Raises ShapeError if empty."""
    _count("argmax", x, axis)
    return Tensor(array_module(x.data).asarray(x.data.argmax(axis)))


def _count(operation: str, x: Tensor, axis: Axis) -> int:
    """How many values each result is made of."""
    count = math.prod(x.shape[a] for a in normalize_axes(operation, axis, x.shape))
    if count == 0:
        raise ShapeError(f"{operation}: no values along axis {axis} of shape {x.shape}")
    return count


class Softmax(Function):
    def forward(ctx, x: Array, *, axis: int) -> Array:
        y = kernels.softmax(x, axis)
        ctx.save_for_backward(y)
        ctx.axis = axis
        return y

    def backward(ctx, dy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        if not is_grad_enabled():  # nobody will differentiate this: the fused kernel may run
            return Tensor(kernels.softmax_grad(dy.data, y.data, ctx.axis))
        return y * (dy - (dy * y).sum(ctx.axis, keepdims=True))


class LogSoftmax(Function):
    def forward(ctx, x: Array, *, axis: int) -> Array:
        y = kernels.log_softmax(x, axis)
        ctx.save_for_backward(y)
        ctx.axis = axis
        return y

    def backward(ctx, dy: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        if not is_grad_enabled():
            return Tensor(kernels.log_softmax_grad(dy.data, y.data, ctx.axis))
        return dy - y.exp() * dy.sum(ctx.axis, keepdims=True)


class CrossEntropy(Function):
    def forward(ctx, logits: Array, *, wanted: Array) -> Array:
        ctx.save_for_backward(logits)
        ctx.wanted = wanted
        return kernels.total(kernels.cross_entropy(logits, wanted), (0,), keepdims=False) / logits.shape[0]

    def backward(ctx, dloss: Tensor) -> Tensor:
        (logits,) = ctx.saved_tensors
        if not is_grad_enabled():
            return Tensor(kernels.cross_entropy_grad(dloss.data, logits.data, ctx.wanted))
        probabilities = softmax(logits, axis=1)
        # A row of q sums to 1 as a rule, but it need not.
        mass = ctx.wanted.sum(axis=1, keepdims=True)
        return (probabilities * mass - ctx.wanted) * (dloss * (1.0 / logits.shape[0]))


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return e^x / Σ e^x along an axis; no overflow for any finite x. Raises ShapeError if the axis is empty."""
    return Softmax.apply(floating("softmax", x), axis=_axis("softmax", x, axis))


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """Return log(softmax(x)), accurate where softmax underflows. Raises ShapeError if the axis is empty."""
    return LogSoftmax.apply(floating("log_softmax", x), axis=_axis("log_softmax", x, axis))


def _axis(operation: str, x: Tensor, axis: int) -> int:
    if axis is None:
        raise ShapeError(f"{operation}: axis must be one integer, not None")
    (position,) = normalize_axes(operation, axis, x.shape)
    if x.shape[position] == 0:
        raise ShapeError(f"{operation}: axis {axis} of {x.shape} is empty")
    return position


def cross_entropy(logits: Tensor, target: Tensor | Array, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross entropy of the batch, a Tensor of shape ().

    logits: (N, K), N ≥ 1; target: (N,) integers in [0, K), or (N, K) shares of each class in the logits' dtype (as
    mixup makes them; constants to every derivative); label_smoothing: share of the target spread evenly over all
    classes, in [0, 1] (Szegedy et al., 2016). Raises ShapeError, DtypeError.
    """
    require_floating("cross_entropy", logits=logits)
    if not 0 <= label_smoothing <= 1:
        raise ShapeError(f"cross_entropy: label_smoothing {label_smoothing} must lie in [0, 1]")
    given: Any = target.data if isinstance(target, Tensor) else array_module(logits.data).asarray(target)
    if logits.ndim != 2 or 0 in logits.shape or given.shape not in (logits.shape, logits.shape[:1]):
        expected = f"must be (N, K), and target {given.shape} (N,) or (N, K)"
        raise ShapeError(f"cross_entropy: logits {logits.shape} {expected}")
    shares = _one_hot(given, logits) if given.ndim == 1 else given
    if shares.dtype != logits.dtype:
        raise DtypeError(f"cross_entropy: target shares have dtype {shares.dtype}, but logits {logits.dtype}")
    smoothing = float(label_smoothing)  # a NumPy number would impose its own dtype
    return CrossEntropy.apply(logits, wanted=shares * (1 - smoothing) + smoothing / logits.shape[1])


def _one_hot(labels: Array, logits: Tensor) -> Array:
    """Return (N, K) with a 1 at each row's label."""
    if labels.dtype.kind not in "iu":
        raise DtypeError(f"cross_entropy: target has dtype {labels.dtype}, expected integers")
    n, classes = logits.shape
    # On a GPU the look would stall the queue in every step; there the loader's own check has to do.
    if isinstance(labels, np.ndarray) and (labels.min() < 0 or labels.max() >= classes):
        raise ShapeError(f"cross_entropy: target holds {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    xp = array_module(logits.data)
    shares = xp.zeros((n, classes), logits.dtype)
    shares[xp.arange(n), labels] = 1
    return shares
