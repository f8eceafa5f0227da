"""Each operation on PyTorch by minisk's names and conventions, where the table that all tests share does not do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from operations import counterparts

F = torch.nn.functional
with np.errstate(invalid="ignore"):  # NumPy 2.4 computes √x, which differs from C's pow at -inf; older ones call pow
    NUMPY_TAKES_ROOTS = bool(np.isnan(np.array([-np.inf]) ** 0.5).all())


def as_numpy(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(as_numpy(part) for part in index)
    return index.numpy() if isinstance(index, torch.Tensor) else index


def get_item(x: torch.Tensor, index: Any) -> torch.Tensor:
    """Return a view where NumPy's indexing does and PyTorch can, else gathered elements."""
    parts = index if isinstance(index, tuple) else (index,)
    is_basic = all(
        part is None
        or part is Ellipsis
        or (isinstance(part, int) and not isinstance(part, bool))
        or (isinstance(part, slice) and (part.step is None or part.step > 0))
        for part in parts
    )
    if not is_basic:
        places = np.asarray(np.arange(x.numel()).reshape(x.shape)[as_numpy(index)]).copy()
        return x.reshape(-1)[torch.tensor(places)]
    view = x[index]
    # NumPy returns a single element as a copy, not as a view of the array.
    is_element = view.ndim == 0 and not any(part is Ellipsis for part in parts)
    return view.clone() if is_element else view


def batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any, var: Any, relu: bool = False, **settings: Any
) -> tuple[torch.Tensor, ...]:
    """Return the output, and the running statistics after the call."""
    mean, var = mean.clone(), var.clone()
    # The gradient of PyTorch 2.13 is wrong if x and the incoming gradient lie differently in memory, one transposed.
    out = F.batch_norm(x.contiguous(), mean, var, weight, bias, **settings)
    if out.requires_grad:
        out.register_hook(torch.Tensor.contiguous)
    return (F.relu(out) if relu else out, mean, var)


def dropout(x: torch.Tensor, p: float, seed: int) -> torch.Tensor:
    """Return x / (1 - p) where the mask that minisk draws from the seed keeps it, else 0."""
    import minisk as ms

    ms.manual_seed(seed)
    kept = torch.tensor(ms.ops.dropout(ms.ones(tuple(x.shape), dtype="float64"), p).numpy() > 0)
    return torch.where(kept, x / (1 - p), 0.0)


def select(logits: torch.Tensor, *branches: torch.Tensor) -> tuple[torch.Tensor, ...]:
    # Two nodes: in minisk the sum does not depend on the weights, both are results of one operation.
    return (logits.softmax(1)[..., None, None] * torch.stack(branches, 1)).sum(1), logits.softmax(1)


class Extreme(torch.autograd.Function):
    """A given maximum or minimum, whose gradient the ties share. PyTorch multiplies by a mask, and 0 · inf is NaN."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, best: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
        ctx.axes, ctx.ties = axes, x == best
        return best.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        share = gradient / ctx.ties.sum(ctx.axes, keepdim=True)
        return torch.where(ctx.ties, share, 0), None, None


def extreme(reduce: Callable[..., Any]) -> Callable[..., Any]:
    def function(x: torch.Tensor, axis: Any = None, keepdims: bool = False) -> torch.Tensor:
        axes = tuple(range(x.ndim)) if axis is None else tuple(int(a) for a in np.atleast_1d(axis))
        best = torch.tensor(reduce(x.numpy(force=True), axis=axes, keepdims=True))  # NumPy's zero, where both tie
        result = Extreme.apply(x, best, axes) if x.is_floating_point() else best
        return result if keepdims else result.reshape(np.squeeze(best.numpy(), axes).shape)

    return function


def cast(x: torch.Tensor, dtype: str) -> torch.Tensor:
    return x.to(torch.float64).clone() if np.dtype(dtype).kind == "f" else x.to(getattr(torch, dtype))


def power(x: torch.Tensor, exponent: Any) -> torch.Tensor:
    exponent = exponent.item() if isinstance(exponent, np.generic) else exponent
    is_natural = isinstance(exponent, int) and exponent >= 0
    if abs(exponent) == 0.5:  # PyTorch computes √x and 1/√x, which differ from C's pow at -0 and -inf
        result = torch.pow(x.double(), torch.full(x.shape, exponent))
        return torch.where(x.isneginf(), torch.nan, result) if exponent == 0.5 and NUMPY_TAKES_ROOTS else result
    return torch.pow(x if is_natural else x.double(), exponent)


FUNCTIONS: dict[str, Callable[..., Any]] = counterparts(torch) | {
    "batch_norm": batch_norm,
    "cast": cast,
    "detach": lambda x: x.detach(),
    "dropout": dropout,
    "get_item": get_item,
    "logical_and": torch.logical_and,
    "logical_not": torch.logical_not,
    "logical_or": torch.logical_or,
    "max": extreme(np.max),
    "min": extreme(np.min),
    "pad": lambda x, pad_width: F.pad(x, [int(n) for n in np.broadcast_to(pad_width, (x.ndim, 2))[::-1].ravel()]),
    "pow": power,
    "select": select,
    "where": lambda condition, a, b: torch.where(condition != 0, a, b),
}
