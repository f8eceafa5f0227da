"""minisk's operations, and PyTorch's, as functions of Tensors and settings under the same names and parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from parity import Inputs, assert_parity, distinct, positive

import minisk as ms
from minisk import ops


def running_arrays(channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a running mean and a running variance that suit the values `distinct` draws."""
    mean, var = distinct([(channels,), (channels,)], seed=9)
    return mean, positive(var)


def batch_norm(x: Any, weight: Any, bias: Any, training: bool, **settings: Any) -> Any:
    """Normalise from fresh running statistics, which the call updates in training."""
    running = [ms.tensor(array, dtype=x.dtype, device=x.device) for array in running_arrays(weight.shape[0])]
    return ops.batch_norm(x, weight, bias, *running, training=training, **settings)


def cross_entropy(logits: Any, target: np.ndarray, label_smoothing: float = 0.0) -> Any:
    """Move the target to the device of the logits; shares of classes take the dtype of the logits."""
    dtype = logits.dtype if target.dtype.kind == "f" else target.dtype
    return ops.cross_entropy(logits, ms.tensor(target, dtype=dtype, device=logits.device), label_smoothing)


FUNCTIONS: dict[str, Callable[..., Any]] = {name: getattr(ops, name) for name in ops.__all__} | {
    "where": lambda a, b, condition: ops.where(condition, a, b),
    "logical_and": lambda a, b: ops.logical_and(a > 0, b > 0),
    "logical_or": lambda a, b: ops.logical_or(a > 0, b > 0),
    "logical_not": lambda a: ops.logical_not(a > 0),
    "concatenate": lambda *xs, axis=0: ops.concatenate(xs, axis),
    "stack": lambda *xs, axis=0: ops.stack(xs, axis),
    "select": lambda logits, *branches: ops.select(logits, branches),
    "reshape": lambda x, shape: ops.reshape(x, shape),
    "transpose": lambda x, axes: ops.transpose(x, axes),
    "batch_norm": batch_norm,
    "cross_entropy": cross_entropy,
}


def torch_conv2d_affine(
    torch: Any, x: Any, weight: Any, scale: Any, bias: Any, relu: bool = False, **settings: Any
) -> Any:
    out = torch.nn.functional.conv2d(x, weight, **settings) * scale.reshape(-1, 1, 1) + bias.reshape(-1, 1, 1)
    return torch.relu(out) if relu else out


def counterparts(torch: Any) -> dict[str, Callable[..., Any]]:
    """Return PyTorch's function for each operation that it has, with the names of minisk's parameters."""
    F = torch.nn.functional
    arithmetic = ["add", "sub", "mul", "div", "neg", "pow", "matmul"]
    elementwise = ["exp", "log", "sqrt", "abs", "tanh", "sigmoid", "relu", "maximum", "minimum"]
    comparisons = {"equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt"}
    reductions = {"sum": torch.sum, "mean": torch.mean, "max": torch.amax, "min": torch.amin}

    def all_axes(x: Any, axis: Any) -> Any:
        return tuple(range(x.ndim)) if axis is None else axis

    def reduction(function: Any) -> Callable[..., Any]:
        return lambda x, axis=None, keepdims=False: function(x, all_axes(x, axis), keepdims)

    def var(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
        return torch.var(x, all_axes(x, axis), correction=ddof, keepdim=keepdims)

    def get_item(x: Any, index: Any) -> Any:
        # PyTorch has no negative steps: NumPy computes which element goes where, and PyTorch gathers them.
        places = np.asarray(np.arange(x.numel()).reshape(x.shape)[index]).copy()
        return x.reshape(-1)[torch.tensor(places)]

    def torch_batch_norm(x: Any, weight: Any, bias: Any, training: bool, relu: bool = False, **settings: Any) -> Any:
        running = [torch.tensor(array) for array in running_arrays(weight.shape[0])]
        out = F.batch_norm(x, *running, weight, bias, training, **settings)
        return F.relu(out) if relu else out

    def torch_cross_entropy(logits: Any, target: np.ndarray, label_smoothing: float = 0.0) -> Any:
        theirs = torch.tensor(target.astype("float64" if target.dtype.kind == "f" else "int64"))
        return F.cross_entropy(logits, theirs, label_smoothing=label_smoothing)

    def planes(a: Any, x: Any) -> Any:
        return a.reshape(*x.shape[:2], 1, 1)

    def select(logits: Any, *branches: Any) -> Any:
        weights = logits.softmax(1)
        return (weights[..., None, None] * torch.stack(branches, 1)).sum(1), weights

    def pool2d(function: Any) -> Callable[..., Any]:
        return lambda x, kernel_size, stride=None, padding=0, **how: function(x, kernel_size, stride, padding, **how)

    return {
        **{name: getattr(torch, name) for name in [*arithmetic, *elementwise]},
        **{name: getattr(torch, short) for name, short in comparisons.items()},
        **{name: reduction(function) for name, function in reductions.items()},
        "greater_equal": torch.ge,
        "logical_and": lambda a, b: (a > 0) & (b > 0),
        "logical_or": lambda a, b: (a > 0) | (b > 0),
        "logical_not": lambda a: ~(a > 0),
        "argmax": lambda x, axis=None: torch.argmax(x, axis),
        "var": var,
        "clip": torch.clamp,
        "where": lambda a, b, condition: torch.where(torch.tensor(condition), a, b),
        "add_relu": lambda x, y: torch.relu(x + y),
        "softmax": lambda x, axis=-1: torch.softmax(x, axis),
        "log_softmax": lambda x, axis=-1: torch.log_softmax(x, axis),
        "cross_entropy": torch_cross_entropy,
        "reshape": lambda x, shape: x.reshape(shape),
        "transpose": lambda x, axes: x.permute(axes),
        "broadcast_to": lambda x, shape: x.broadcast_to(shape),
        "sum_to": lambda x, shape: x.sum_to_size(shape),
        "expand_dims": lambda x, axis: x.unsqueeze(axis),
        "squeeze": lambda x, axis=None: x.squeeze() if axis is None else x.squeeze(axis),
        "pad": lambda x, pad_width: F.pad(x, [n for pair in reversed(pad_width) for n in pair]),
        "concatenate": lambda *xs, axis=0: torch.cat(xs, axis),
        "stack": lambda *xs, axis=0: torch.stack(xs, axis),
        "split": lambda x, indices_or_sections, axis=0: torch.tensor_split(x, indices_or_sections, axis),
        "get_item": get_item,
        "linear": F.linear,
        "conv2d": F.conv2d,
        "conv2d_affine": partial(torch_conv2d_affine, torch),
        "max_pool2d": pool2d(F.max_pool2d),
        "avg_pool2d": pool2d(F.avg_pool2d),
        "global_avg_pool2d": lambda x: x.mean((2, 3)),
        "interpolate": lambda x, size: F.interpolate(x, size, mode="bilinear", align_corners=True),
        "batch_norm": torch_batch_norm,
        "axpy": lambda a, x, y: planes(a, x) * x + y,
        "channel_scale": lambda a, x: planes(a, x) * x,
        "channel_dot": lambda x, y: (x * y).sum((2, 3)),
        "select": select,
    }


def assert_operation_agrees(
    operation: str, inputs: Inputs, dtypes: tuple[str, ...] = ("float64", "float32"), **settings: Any
) -> None:
    """Compare an operation with PyTorch's: values, first and second gradients."""
    theirs = counterparts(pytest.importorskip("torch"))[operation]
    assert_parity(
        lambda *xs: FUNCTIONS[operation](*xs, **settings), lambda *xs: theirs(*xs, **settings), inputs, dtypes
    )
