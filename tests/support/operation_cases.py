"""Every operation with inputs to try it on. Tests of parity, derivatives, dtypes, layouts and devices share this table.

A case names an operation, the shapes of its Tensors, and its settings. `FUNCTIONS` holds minisk's operations as
functions of Tensors and settings. `counterparts` returns PyTorch's functions under the same names and parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from parity import Inputs, assert_parity, distinct, positive

import minisk as ms
from minisk import ops

Shape = tuple[int, ...]

IMAGE, BATCH = (1, 2, 4, 3), (2, 2, 3, 1)  # few enough elements to move each of them by itself
IMAGES, PLANES, CHANNELS = (2, 6, 7, 5), (2, 6), (6,)  # for kernels: device tests replace 7×5 by larger images
SMALL = 60  # elements: up to here a derivative is checked element by element


# --- Operations as functions of Tensors and settings ---------------------------------------------------------------


def running_arrays(channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a running mean and a running variance that suit the values `distinct` draws."""
    mean, var = distinct([(channels,), (channels,)], seed=9)
    return mean, positive(var)


def batch_norm(x: Any, weight: Any, bias: Any, training: bool, **settings: Any) -> Any:
    """Normalise from fresh running statistics, which the call updates in training."""
    running = [ms.tensor(array, dtype=x.dtype, device=x.device) for array in running_arrays(weight.shape[0])]
    return ops.batch_norm(x, weight, bias, *running, training=training, **settings)


def updated_statistics(x: Any, weight: Any, bias: Any) -> Any:
    """Return the running statistics after a step of training, beside the output."""
    mean, var = (ms.tensor(array, dtype=x.dtype, device=x.device) for array in running_arrays(weight.shape[0]))
    out = ops.batch_norm(x, weight, bias, mean, var, training=True)
    return out, mean + 0, var + 0


def seeded_dropout(x: Any, p: float) -> Any:
    ms.manual_seed(5)  # the same mask in every evaluation
    return ops.dropout(x, p)


def cross_entropy(logits: Any, target: np.ndarray, label_smoothing: float = 0.0) -> Any:
    """Move the target to the device of the logits; shares of classes take the dtype of the logits."""
    dtype = logits.dtype if target.dtype.kind == "f" else target.dtype
    return ops.cross_entropy(logits, ms.tensor(target, dtype=dtype, device=logits.device), label_smoothing)


FUNCTIONS: dict[str, Callable[..., Any]] = {name: getattr(ops, name) for name in ops.__all__} | {
    "where": lambda a, b, condition: ops.where(condition, a, b),
    "concatenate": lambda *xs, axis=0: ops.concatenate(xs, axis),
    "stack": lambda *xs, axis=0: ops.stack(xs, axis),
    "select": lambda logits, *branches: ops.select(logits, branches),
    "reshape": lambda x, shape: ops.reshape(x, shape),
    "transpose": lambda x, axes: ops.transpose(x, axes),
    "batch_norm": batch_norm,
    "cross_entropy": cross_entropy,
}


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

    def max_pool2d(x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False) -> Any:
        return F.max_pool2d(x, kernel_size, stride, padding, ceil_mode=ceil_mode)

    return {
        **{name: getattr(torch, name) for name in [*arithmetic, *elementwise]},
        **{name: getattr(torch, short) for name, short in comparisons.items()},
        **{name: reduction(function) for name, function in reductions.items()},
        "greater_equal": torch.ge,
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
        "max_pool2d": max_pool2d,
        "avg_pool2d": lambda x, kernel_size, stride=None, padding=0: F.avg_pool2d(x, kernel_size, stride, padding),
        "global_avg_pool2d": lambda x: x.mean((2, 3)),
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


# --- The table ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One operation on inputs of some shapes.

    name: the operation in minisk.ops, followed by words that distinguish its cases.
    shapes: of the Tensors it takes.
    settings: its further arguments, by name.
    expression: the call, where the operation with its settings is not enough.
    is_differentiable: False if finite differences cannot confirm what it returns: integers, or detached values.
    is_positive: its inputs are to lie in (0.4, 3).
    """

    name: str
    shapes: list[Shape]
    settings: dict[str, Any] = field(default_factory=dict)
    expression: Callable[..., Any] | None = None
    is_differentiable: bool = True
    is_positive: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def operation(self) -> str:
        return self.name.split()[0]

    @property
    def has_images(self) -> bool:
        return IMAGES in self.shapes

    @property
    def is_small(self) -> bool:
        return sum(array.size for array in self.arrays()) <= SMALL

    def function(self, *xs: Any) -> Any:
        call = self.expression or FUNCTIONS[self.operation]
        return call(*xs, **self.settings)

    def arrays(self, height_and_width: tuple[int, int] = IMAGES[2:]) -> list[np.ndarray]:
        """Return distinct inputs in float64; height_and_width replaces those of IMAGES."""
        sizes = [(*shape[:2], *height_and_width) if shape == IMAGES else shape for shape in self.shapes]
        drawn = distinct(sizes)
        return [positive(array) for array in drawn] if self.is_positive else drawn


def write_elements(x: Any, y: Any) -> Any:
    """Write to a copy of x in every way there is; then use it as a constant factor of y."""
    target = x.detach() + 0
    target[:, 1] = y[:, 0].detach()
    target[0] = 3.0
    target += 1
    target -= 0.5 * target
    return x * 1, target * y


def there_and_back(x: Any) -> Any:
    return (ops.to(x, "cpu") * 2).to(x.device)


TRAINING, EVALUATION = {"training": True, "eps": 0.1}, {"training": False, "eps": 0.1}

ARITHMETIC = [
    Case("add", [(2, 3), (3,)]),
    Case("add a number", [(3, 4), (4,)], expression=lambda x, y: (x + y, 2 + x, x + np.ones(4))),
    Case("sub", [(2, 1), (3,)]),
    Case("sub a number", [(3, 4), (4,)], expression=lambda x, y: (x - y, 1 - x, x - 1)),
    Case("mul", [(2, 3), (2, 1)]),
    Case("mul by a number", [(3, 4), (4,)], expression=lambda x, y: (x * y, np.float64(2) * x, x * np.full(4, 0.5))),
    Case("div", [(2, 1), (3,)], is_positive=True),
    Case("div of a number", [(3, 4), (4,)], expression=lambda x, y: (x / (y * y + 1), 1 / (y * y + 1))),
    Case("neg", [(2, 3)]),
    Case("pow 3", [(2, 3)], {"exponent": 3}),
    Case("pow -1/2", [(2, 3)], {"exponent": -0.5}, is_positive=True),
    Case("pow of a number", [(2, 3)], expression=lambda x: 2.5**x),
    Case("pow by operator", [(3, 4)], expression=lambda x: (x**2, x**3, 2**x, (x * x + 1) ** -0.5)),
    Case("matmul of stacks", [(2, 2, 3), (3, 2)]),
    Case("matmul of vectors", [(3,), (3,)]),
    Case("matmul by operator", [(2, 3, 4), (2, 4, 5)], expression=lambda x, y: (x @ y, x[0, 0] @ y, x @ y[0, :, 0])),
    Case("linear", [(2, 3), (2, 3), (2,)]),
    Case("linear of another size", [(3, 4), (5, 4), (5,)]),
]
COMPARISON = [
    *[
        Case(name, [(3, 4), (4,)], is_differentiable=False)
        for name in ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
    ],
    Case(
        "equal by operator",
        [(3, 4), (4,)],
        expression=lambda x, y: (x == y, x != y, x == x, x == 0.5),
        is_differentiable=False,
    ),
    Case(
        "less by operator",
        [(3, 4), (4,)],
        expression=lambda x, y: (x < y, x <= y, x > y, x >= 0),
        is_differentiable=False,
    ),
]
ELEMENTWISE = [
    Case("exp", [(2, 3)]),
    Case("log", [(2, 3)], is_positive=True),
    Case("sqrt", [(2, 3)], is_positive=True),
    Case("abs", [(2, 3)]),
    Case("tanh", [(2, 3)]),
    Case("sigmoid", [(2, 3)]),
    Case("relu", [(2, 3)]),
    Case("add_relu", [(2, 3), (2, 3)]),
    Case("add_relu of images", [IMAGES, IMAGES]),
    Case("clip", [(3, 3)], {"min": -0.71, "max": 0.83}),
    Case("where", [(2, 3), (1, 3)], {"condition": np.array([[True, False, True]])}),
    Case("where by comparison", [(3, 4), (4,)], expression=lambda x, y: ops.where(x > y, x, y)),
    Case("where of a number", [(3, 4)], expression=lambda x: ops.where(np.eye(3, 4) > 0, x, 0.0)),
    Case("maximum", [(2, 3), (3,)]),
    Case("maximum of a number", [(3, 4)], expression=lambda x: ops.maximum(x, 0.24)),
    Case("minimum", [(2, 3), (2, 1)]),
    Case("dropout", [(3, 3)], {"p": 0.4}, expression=seeded_dropout),
    Case("dropout in evaluation", [(3, 4)], {"p": 0.5, "training": False}),
]
REDUCTION = [
    Case("sum", [(2, 3, 2)], {"axis": (0, 2)}),
    Case("sum to a scalar", [(3, 4, 2)]),
    Case("sum with kept axes", [(3, 4, 2)], {"axis": (0, -1), "keepdims": True}),
    Case("mean", [(2, 3)], {"axis": -1, "keepdims": True}),
    Case("mean to a scalar", [(3, 4)]),
    Case("max", [(2, 3, 2)], {"axis": 1}),
    Case("max with kept axes", [(3, 4, 2)], {"axis": (0, 1), "keepdims": True}),
    Case("min", [(2, 3)]),
    Case("min along an axis", [(3, 4)], {"axis": 1}),
    Case("var", [(3, 2)], {"axis": 0, "ddof": 1}),
    Case("var to a scalar", [(3, 4)]),
    Case("argmax", [(3, 4)], is_differentiable=False),
    Case("argmax along an axis", [(3, 4)], {"axis": 1}, is_differentiable=False),
    Case("softmax", [(3, 2)], {"axis": 0}),
    Case("softmax along the last axis", [(3, 4, 2)]),
    Case("log_softmax", [(2, 3)]),
    Case("log_softmax along a middle axis", [(3, 4, 2)], {"axis": 1}),
    Case("cross_entropy", [(2, 3)], {"target": np.array([2, 0]), "label_smoothing": 0.1}),
    Case("cross_entropy without smoothing", [(3, 4)], {"target": np.array([1, 0, 3])}),
    Case("cross_entropy of shares", [(3, 4)], {"target": np.arange(12.0).reshape(3, 4) / 16}),
]
SHAPE = [
    Case("reshape", [(2, 3)], {"shape": (3, -1)}),
    Case("transpose", [(2, 3, 2)], {"axes": (2, 0, 1)}),
    Case("transpose by attribute", [(3, 4, 2)], expression=lambda x: x.T),
    Case("broadcast_to", [(3, 1)], {"shape": (2, 3, 2)}),
    Case("sum_to", [(2, 3, 2)], {"shape": (3, 1)}),
    Case("expand_dims", [(2, 3)], {"axis": 1}),
    Case("squeeze", [(2, 1, 3)], {"axis": -2}),
    Case("pad", [(2, 2)], {"pad_width": [(0, 1), (2, 0)]}),
    Case("concatenate", [(2, 1), (2, 3)], {"axis": 1}),
    Case("stack", [(2, 2), (2, 2)], {"axis": -1}),
    Case("split", [(2, 4)], {"indices_or_sections": [1, 1, 3], "axis": -1}),
    Case("cast", [(2, 3)], expression=lambda x: ops.cast(x, x.dtype) * x),
    Case(
        "cast to another dtype",
        [(3, 4)],
        expression=lambda x: (ops.cast(x, "float32"), ops.cast(x, "int64"), x.to(dtype="float64")),
        is_differentiable=False,
    ),
    Case("to", [(2, 3)], expression=lambda x: ops.to(x, "cpu").to(x.device) * x),
    Case("to the CPU and back", [(3, 4)], expression=there_and_back),
    Case("get_item by slices", [(3, 2)], {"index": np.s_[::-1, 1]}),
    Case("get_item by an array", [(3, 2)], {"index": np.array([0, 2, 0])}),
    Case("get_item by an ellipsis", [(3, 4)], {"index": np.s_[1, ..., -1]}),
    Case("get_item by a slice and an array", [(3, 4)], {"index": np.s_[:, np.array([0, 2, 0])]}),
    Case("get_item by a mask", [(3, 4)], expression=lambda x: x[x > 0]),
    Case("set_item", [(3, 4), (3, 1)], expression=write_elements, is_differentiable=False),
]
LAYERS = [
    Case("conv2d", [IMAGE, (2, 2, 2, 2), (2,)], {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}),
    Case("conv2d in groups", [IMAGE, (4, 1, 3, 1)], {"groups": 2}),
    Case("conv2d of images", [IMAGES, (4, 6, 3, 3), (4,)], {"stride": 1, "padding": 1}),
    Case(
        "conv2d of images in groups",
        [IMAGES, (6, 2, 3, 3)],
        {"stride": 2, "padding": 2, "dilation": 2, "groups": 3},
    ),
    Case("conv2d of images by 1×1", [IMAGES, (4, 6, 1, 1)]),
    Case("conv2d of images by 1×1, strided", [IMAGES, (4, 6, 1, 1)], {"stride": 2}),
    Case("max_pool2d", [IMAGE], {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1, "ceil_mode": True}),
    Case("max_pool2d of images", [IMAGES], {"kernel_size": 3, "stride": 2, "padding": 1}),
    Case("max_pool2d of images, rounded up", [IMAGES], {"kernel_size": 2, "ceil_mode": True}),
    Case("avg_pool2d", [IMAGE], {"kernel_size": 2, "stride": 1, "padding": (1, 0)}),
    Case("avg_pool2d of images", [IMAGES], {"kernel_size": 3, "stride": 2, "padding": 1}),
    Case("global_avg_pool2d", [IMAGE]),
    Case("global_avg_pool2d of images", [IMAGES]),
    Case("batch_norm", [BATCH, (2,), (2,)], TRAINING),
    Case("batch_norm in evaluation", [BATCH, (2,), (2,)], EVALUATION),
    Case("batch_norm and ReLU", [BATCH, (2,), (2,)], {**TRAINING, "relu": True}),
    Case("batch_norm and ReLU in evaluation", [BATCH, (2,), (2,)], {**EVALUATION, "relu": True}),
    Case("batch_norm of images", [IMAGES, CHANNELS, CHANNELS], {"training": True}),
    Case("batch_norm of images in evaluation", [IMAGES, CHANNELS, CHANNELS], {"training": False}),
    Case(
        "batch_norm that updates its statistics",
        [IMAGES, CHANNELS, CHANNELS],
        expression=updated_statistics,
        is_differentiable=False,
    ),
    Case("axpy", [(2, 2), BATCH, BATCH]),
    Case("axpy of images", [PLANES, IMAGES, IMAGES]),
    Case("channel_scale", [(2, 2, 1, 1), BATCH]),
    Case("channel_scale of images", [PLANES, IMAGES]),
    Case("channel_dot", [BATCH, BATCH]),
    Case("channel_dot of images", [IMAGES, IMAGES]),
    Case("select", [(2, 2, 2), BATCH, BATCH]),
    Case("select of images", [(2, 2, 6), IMAGES, IMAGES]),
]

CASES = [*ARITHMETIC, *COMPARISON, *ELEMENTWISE, *REDUCTION, *SHAPE, *LAYERS]
DIFFERENTIABLE = [case for case in CASES if case.is_differentiable]
SMALL_CASES = [case for case in DIFFERENTIABLE if case.is_small]
