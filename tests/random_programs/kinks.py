"""How far the operands of an operation are from a point where its value or its slope jumps.

Near such a point two correct programs may differ: one rounds to the left of it, the other to the right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

COMPARISONS = {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}
FAR = np.inf


def distance_from_kink(operation: str, arrays: list[Any], settings: dict[str, Any]) -> float:
    """Return the distance of the operands from a kink or jump, relative to the largest operand; FAR without one."""
    floats = [np.asarray(a, dtype=np.float64) for a in arrays if np.asarray(a).dtype.kind == "f"]
    if not floats:
        return FAR
    with np.errstate(all="ignore"):
        gaps = _gaps(operation, [np.asarray(a, dtype=np.float64) for a in arrays], settings)
    scale = max([1.0, *(np.abs(a[np.isfinite(a)]).max(initial=0) for a in floats)])
    return float(np.min(np.abs(gaps), initial=FAR)) / scale


def _gaps(operation: str, arrays: list[np.ndarray], settings: dict[str, Any]) -> np.ndarray:
    x = arrays[0]
    if operation in ("relu", "abs"):
        return x
    if operation == "clip":
        bounds = [settings[name] for name in ("min", "max") if settings.get(name) is not None]
        return np.concatenate([(x - bound).ravel() for bound in bounds]) if bounds else np.full(1, FAR)
    if operation in COMPARISONS | {"maximum", "minimum"}:
        return x - arrays[1]
    if operation == "add_relu":
        return x + arrays[1]
    if operation in ("max", "min", "argmax", "max_pool2d"):
        return gaps_between_largest(-x if operation == "min" else x, settings.get("axis"), operation == "max_pool2d")
    if operation == "batch_norm" and settings.get("relu"):
        return normalised(*arrays, settings)
    if operation == "where":
        return x
    if operation == "cast" and np.dtype(settings["dtype"]).kind in "iu":
        return np.where(np.round(x) == 0, 1 - np.abs(x), np.abs(x - np.round(x)))
    if operation == "cast" and np.dtype(settings["dtype"]).kind == "b":
        return x
    return np.full(1, FAR)


def gaps_between_largest(x: np.ndarray, axis: Any, is_windowed: bool) -> np.ndarray:
    """Return the differences between the two largest elements along the axes; windows may compare any two elements."""
    if is_windowed:
        return np.diff(np.sort(x.ravel()))
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis)
    moved = np.moveaxis(x, list(axes), range(-len(list(axes)), 0)) if x.ndim else x.reshape(1)
    count = int(np.prod([x.shape[a] for a in axes])) if x.ndim else 1
    if x.size == 0 or count < 2:
        return np.full(1, FAR)
    return np.diff(np.sort(moved.reshape(-1, count), axis=1)[:, -2:], axis=1)


def normalised(x: np.ndarray, weight: Any, bias: Any, mean: Any, var: Any, settings: dict[str, Any]) -> np.ndarray:
    """Return the output of batch_norm before its ReLU."""
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    axes = (0, *range(2, x.ndim))
    if settings["training"]:
        mean, var = x.mean(axes), x.var(axes)
    scaled = (x - mean.reshape(per_channel)) / np.sqrt(var.reshape(per_channel) + settings["eps"])
    return scaled * weight.reshape(per_channel) + bias.reshape(per_channel)
