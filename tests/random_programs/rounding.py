"""Checks that float16 results are rounded once: that they are among the two float16 numbers nearest to the exact value.

The exact value is that of the reference in float64, from the operands that minisk used.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from comparison import Difference
from steps import Call
from torch_interpreter import TorchInterpreter, float64_by_default

import minisk as ms

# Operations that compute in float32 or wider, and round at the end.
ROUNDED_ONCE = {
    "abs",
    "add",
    "avg_pool2d",
    "batch_norm",
    "channel_dot",
    "channel_scale",
    "div",
    "exp",
    "global_avg_pool2d",
    "interpolate",
}
ROUNDED_ONCE |= {"log", "log_softmax", "matmul", "mean", "mul", "neg", "pow", "softmax", "sqrt", "sub", "sum", "sum_to"}
ROUNDED_ONCE |= {"axpy", "select", "tanh", "var"}
SLACK = 1e-6  # of the largest operand: float32 rounds before float16 does


class RoundingCheck:
    """Collects the float16 results that were rounded more than once. An `after_call` of MiniskInterpreter."""

    def __init__(self) -> None:
        self.differences: list[Difference] = []
        self.calls = 0

    def __call__(self, step: Call, inputs: Any, settings: Any, results: Any) -> None:
        (result, *_) = results
        if step.operation not in ROUNDED_ONCE or result.dtype != np.float16 or result.size == 0:
            return
        self.calls += 1
        reference = TorchInterpreter()
        operands = tuple(exact(reference, x) for x in inputs)
        with np.errstate(all="ignore"), float64_by_default():
            value = reference.array(reference.call(step, operands, settings)[0])
        found = result.numpy().astype(np.float64)
        usual = np.isfinite(value) & np.isfinite(found) & (np.abs(value) > 1e-3)
        unit = np.spacing(np.abs(value[usual]).astype(np.float16)).astype(np.float64)
        scale = max((largest(x) for x in [*operands, value]), default=0.0)
        error = (np.abs(found[usual] - value[usual]) - SLACK * scale) / unit
        if error.max(initial=0) > 0.501:
            words = f"off by {error.max():.3f} units in the last place", "at most half a unit"
            self.differences.append(Difference("rounding", step.source(), *words, step.operation))


def largest(x: Any) -> float:
    array = x.detach().numpy() if isinstance(x, torch.Tensor) else np.asarray(0 if x is None else x, dtype=np.float64)
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))


def exact(reference: TorchInterpreter, x: Any) -> Any:
    """Return a Tensor of the reference with the values of a minisk Tensor; an array in float16, as minisk uses it."""
    if isinstance(x, np.ndarray | list):
        array = np.asarray(x)
        return array.astype(np.float16) if array.dtype.kind == "f" else array
    if not isinstance(x, ms.Tensor):
        return x
    array = np.array(x.numpy())
    value = torch.tensor(array.astype(np.float64) if array.dtype.kind == "f" else array)
    return reference.tracked(value, str(x.dtype))
