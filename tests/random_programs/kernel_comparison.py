"""Runs every array function of `minisk.kernels` twice, by its compiled kernel and by its reference, and compares."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from agreement import TOLERANCE, kernel_mode

from minisk import kernels

FACTOR = 4  # times the tolerance of a single kernel's tests: random shapes are more ill-conditioned


@dataclass
class Agreement:
    """How often the two ways had the same bits, and where they differed by more than rounding."""

    calls: Counter[str] = field(default_factory=Counter)
    rounded_differently: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)

    def judge(self, name: str, arguments: Any, found: list[np.ndarray], expected: list[np.ndarray]) -> None:
        """Count a call, and list it if it differs by more than rounding."""
        self.calls[name] += 1
        if all(same_bits(a, b) for a, b in zip(found, expected, strict=True)):
            return
        self.rounded_differently[name] += 1
        scale = max([1e-300, *(largest(a) for a in (*arguments, *expected))])
        for a, b in zip(found, expected, strict=True):
            if difference := beyond_rounding(a, b, scale):
                self.differences.append(f"{name}: {difference}; shapes {[x.shape for x in arguments]}")


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether both hold the same bits; any NaN equals any other."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") and np.array_equal(np.signbit(a), np.signbit(b)))


def largest(array: np.ndarray) -> float:
    if array.dtype.kind != "f":
        return 0.0
    return float(np.abs(array[np.isfinite(array)]).max(initial=0))


def beyond_rounding(a: np.ndarray, b: np.ndarray, scale: float) -> str | None:
    """Return how two arrays differ, or None for a difference by rounding. Both have NaN and infinities together."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.shape} {a.dtype} by the kernel, {b.shape} {b.dtype} by the reference"
    if a.dtype.kind != "f":
        return None if np.array_equal(a, b) else f"{a} by the kernel, {b} by the reference"
    finite = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return f"{a} by the kernel, {b} by the reference"
    error = np.abs(a[finite] - b[finite]).max(initial=0)
    return f"off by {error:.2e} of {scale:.2e}" if error > FACTOR * TOLERANCE[a.dtype] * scale else None


@contextlib.contextmanager
def compared_kernels(agreement: Agreement) -> Iterator[None]:
    """Let operations call the kernels (mode `cpu`), and compare each call with mode `numpy`."""
    names = [name for name in kernels.__all__ if name[0].islower()]
    functions = {name: getattr(kernels, name) for name in names}
    with kernel_mode("cpu"):
        try:
            for name, function in functions.items():
                setattr(kernels, name, compared(name, function, agreement))
            yield
        finally:
            for name, function in functions.items():
                setattr(kernels, name, function)


def compared(name: str, function: Callable[..., Any], agreement: Agreement) -> Callable[..., Any]:
    """Return the function with a second call in mode `numpy`, on copies of its arrays."""

    def both(*args: Any, **kwargs: Any) -> Any:
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        with kernel_mode("numpy"):
            expected = function(*copies, **kwargs)
        inputs = [a.copy() for a in copies if isinstance(a, np.ndarray)]
        result = function(*args, **kwargs)
        agreement.judge(name, inputs, arrays_of((result, args)), arrays_of((expected, copies)))
        return result

    return both


def arrays_of(value: Any) -> list[np.ndarray]:
    """Return the arrays in nested tuples and lists, in order; of statistics, mean and variance."""
    if isinstance(value, kernels.BatchStatistics):  # the parts of the mean are each way's own
        return [np.asarray(value.mean), np.asarray(value.var)]
    if isinstance(value, np.ndarray | np.generic):
        return [np.asarray(value)]
    if isinstance(value, tuple | list):
        return [array for part in value for array in arrays_of(part)]
    return []
