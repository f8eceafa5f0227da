"""Every operation with inputs to try it on. Tests of parity, derivatives, dtypes, layouts and devices share this table.

A case names an operation, the shapes of its Tensors, and its settings; operations.py holds the functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from operations import FUNCTIONS, running_arrays
from parity import distinct, positive

import minisk as ms
from minisk import ops

Shape = tuple[int, ...]

IMAGE, BATCH = (1, 2, 4, 3), (2, 2, 3, 1)  # few enough elements to move each of them by itself
IMAGES, PLANES, CHANNELS = (2, 6, 7, 5), (2, 6), (6,)  # for kernels: device tests replace 7×5 by larger images
SMALL = 60  # elements: up to here a derivative is checked element by element


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


def updated_statistics(x: Any, weight: Any, bias: Any) -> Any:
    """Return the running statistics after a step of training, beside the output."""
    mean, var = (ms.tensor(array, dtype=x.dtype, device=x.device) for array in running_arrays(weight.shape[0]))
    out = ops.batch_norm(x, weight, bias, mean, var, training=True)
    return out, mean + 0, var + 0


def seeded_dropout(x: Any, p: float) -> Any:
    ms.manual_seed(5)  # the same mask in every evaluation
    return ops.dropout(x, p)


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
        for name in [
            "equal",
            "not_equal",
            "less",
            "less_equal",
            "greater",
            "greater_equal",
            "logical_and",
            "logical_or",
        ]
    ],
    Case("logical_not", [(3, 4)], is_differentiable=False),
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
    Case("conv2d_affine", [IMAGE, (4, 1, 3, 1), (4,), (4,)], {"groups": 2, "stride": (2, 1), "padding": (1, 0)}),
    Case("conv2d_affine of images", [IMAGES, (4, 6, 3, 3), (4,), (4,)], {"relu": True, "padding": 1}),
    Case("max_pool2d", [IMAGE], {"kernel_size": (3, 2), "stride": (2, 1), "padding": 1, "ceil_mode": True}),
    Case("max_pool2d of images", [IMAGES], {"kernel_size": 3, "stride": 2, "padding": 1}),
    Case("max_pool2d of images, rounded up", [IMAGES], {"kernel_size": 2, "ceil_mode": True}),
    Case("avg_pool2d", [IMAGE], {"kernel_size": 2, "stride": 1, "padding": (1, 0)}),
    Case("avg_pool2d of images", [IMAGES], {"kernel_size": 3, "stride": 2, "padding": 1}),
    Case(
        "avg_pool2d without its padding",
        [IMAGE],
        {"kernel_size": (3, 2), "stride": (1, 2), "padding": 1, "count_include_pad": False},
    ),
    Case(
        "avg_pool2d of images without its padding",
        [IMAGES],
        {"kernel_size": 3, "stride": 1, "padding": 1, "count_include_pad": False},
    ),
    Case("global_avg_pool2d", [IMAGE]),
    Case("global_avg_pool2d of images", [IMAGES]),
    Case("interpolate", [IMAGE], {"size": (7, 2)}),
    Case("interpolate of images", [IMAGES], {"size": (14, 11)}),
    Case("interpolate of images to smaller ones", [IMAGES], {"size": (3, 4)}),
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
