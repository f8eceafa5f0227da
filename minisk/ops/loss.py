"""Cross entropy of logits x: (N, K), N images and K classes.

    L = -1/N · Σ_nk q[n,k] · log_softmax(x)[n,k]     dx = (softmax(x) · Σ_k q - q) · dL / N

For an integer target and label smoothing s, q = 1 - s + s/K at the target and s/K elsewhere.
Source of label smoothing: Szegedy et al., *Rethinking the Inception Architecture*, 2016.
"""

from typing import Any

import numpy as np

from .. import kernels
from ..autograd import Context, Function, Tensor, is_grad_enabled
from ..backend import Array, array_module
from ..errors import DtypeError, ShapeError
from . import autocast
from .dtypes import floating_operands, rounded_once
from .softmax import softmax


class CrossEntropy(Function):
    @staticmethod
    def forward(ctx: Context, logits: Array, *, target: Array) -> Array:
        ctx.save_for_backward(logits)
        ctx.target = target
        losses = kernels.cross_entropy(logits, target)
        return (kernels.total(losses, (0,), keepdims=False) / logits.shape[0]).astype(logits.dtype)

    @staticmethod
    def backward(ctx: Context, dloss: Tensor) -> Tensor:
        (logits,) = ctx.saved_tensors
        if not is_grad_enabled():  # no graph is recorded, so the fused kernel can be used
            return Tensor(kernels.cross_entropy_grad(dloss.data, logits.data, ctx.target))
        return _logits_gradient(dloss, logits, ctx.target)


@rounded_once
def _logits_gradient(dloss: Tensor, logits: Tensor, target: Array) -> Tensor:
    mass = target.sum(axis=1, keepdims=True, dtype=logits.dtype)  # 1, unless the shares sum to something else
    return (softmax(logits, axis=1) * mass - target) * (dloss / logits.shape[0])


def cross_entropy(logits: Tensor, target: Tensor | Array, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross entropy of the batch.

    Args:
        logits: (N, K), floating, N ≥ 1 and K ≥ 1.
        target: (N,) integers in [0, K), or (N, K) shares of each class in the logits' dtype, as mixup makes them.
            It has no gradient.
        label_smoothing: the share of the target to spread evenly over all classes, in [0, 1].

    Returns:
        A Tensor of shape ().

    Raises:
        ShapeError: if shapes do not fit, or a target or label_smoothing is out of range. On a GPU a target is not
            checked, because that would synchronise every step.
        DtypeError.
    """
    (logits,) = floating_operands("cross_entropy", logits=logits)
    if not 0 <= label_smoothing <= 1:
        raise ShapeError(f"cross_entropy: label_smoothing {label_smoothing} must lie in [0, 1]")
    given: Any = target.data if isinstance(target, Tensor) else array_module(logits.data).asarray(target)
    if logits.ndim != 2 or 0 in logits.shape or given.shape not in (logits.shape, logits.shape[:1]):
        expected = f"must be (N, K), and target {given.shape} (N,) or (N, K)"
        raise ShapeError(f"cross_entropy: logits {logits.shape} {expected}")
    shares = _one_hot(given, logits) if given.ndim == 1 else given
    if autocast.state.enabled and shares.dtype.kind == "f":
        shares = shares.astype(autocast.dtype_for("cross_entropy", (logits.dtype, shares.dtype)), copy=False)
    if shares.dtype != logits.dtype:
        raise DtypeError(f"cross_entropy: target shares have dtype {shares.dtype}, but logits {logits.dtype}")
    smoothing = float(label_smoothing)  # a NumPy scalar would impose its own dtype
    return CrossEntropy.apply(logits, target=shares * (1 - smoothing) + smoothing / logits.shape[1])


def _one_hot(labels: Array, logits: Tensor) -> Array:
    """Return (N, K) with a 1 at the label of each row."""
    if labels.dtype.kind not in "iu":
        raise DtypeError(f"cross_entropy: target has dtype {labels.dtype}, expected integers")
    n, classes = logits.shape
    # On a GPU this check would synchronise every step; there the data loader's check must do.
    if isinstance(labels, np.ndarray) and (labels.min() < 0 or labels.max() >= classes):
        raise ShapeError(f"cross_entropy: target holds {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    xp = array_module(logits.data)
    shares = xp.zeros((n, classes), logits.dtype)
    shares[xp.arange(n), labels] = 1
    return shares
