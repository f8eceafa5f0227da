"""What an operation accepts: Tensors, arrays and plain numbers, brought to one dtype and device.

The rule that keeps a float32 model float32: a plain number or array takes the dtype of the floating Tensors it meets,
integer Tensors become floating when they meet one, and two floating Tensors of different dtypes are an error.
"""

from typing import Any

import numpy as np

from ..autograd.tensor import Axis, Operand, Tensor
from ..backend import DEFAULT_FLOAT, array_module
from ..errors import DtypeError, ShapeError
from .shape import cast, position_of


def operands(operation: str, *values: Operand) -> list[Tensor]:
    """Return the values as Tensors of one dtype. Raises DtypeError where that would need a silent conversion."""
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len(tensors) == len(values) and all([tensor.dtype is tensors[0].dtype for tensor in tensors]):
        return tensors  # the most common case, decided at once
    dtype = _common_dtype(operation, tensors, values)
    xp = array_module(tensors[0].data) if tensors else np
    return [cast(v, dtype) if isinstance(v, Tensor) else Tensor(xp.asarray(v, dtype=dtype)) for v in values]


def _common_dtype(operation: str, tensors: list[Tensor], values: tuple[Operand, ...]) -> np.dtype[Any]:
    floating = {tensor.dtype for tensor in tensors if tensor.dtype.kind == "f"}
    if len(floating) > 1:
        names = " and ".join(sorted(str(dtype) for dtype in floating))
        raise DtypeError(f"{operation}: tensors of dtypes {names}: convert one with .to(dtype=...)")
    if floating:
        return floating.pop()
    others = [value for value in values if not isinstance(value, Tensor)]
    if any(_dtype_of(value).kind == "f" for value in others):
        return DEFAULT_FLOAT
    # A Python integer fits itself to the integer dtypes it meets.
    return np.result_type(*(t.dtype for t in tensors), *(v if isinstance(v, int) else _dtype_of(v) for v in others))


def _dtype_of(value: Any) -> np.dtype[Any]:
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype


def floating(operation: str, x: Operand) -> Tensor:
    """Return x as a Tensor of a floating dtype; integers become float32."""
    (tensor,) = operands(operation, x)
    return tensor if tensor.dtype.kind == "f" else cast(tensor, DEFAULT_FLOAT)


def require_floating(operation: str, **tensors: Tensor | None) -> None:
    """Raise DtypeError unless all are Tensors of one floating dtype (None is passed over)."""
    given = {name: x for name, x in tensors.items() if x is not None}
    for name, x in given.items():
        if not isinstance(x, Tensor):
            raise DtypeError(f"{operation}: {name} is a {type(x).__name__}, expected a Tensor")
    if len({x.dtype for x in given.values()}) > 1 or any(x.dtype.kind != "f" for x in given.values()):
        seen = ", ".join(f"{name} {x.dtype}" for name, x in given.items())
        raise DtypeError(f"{operation}: expected one floating dtype, got {seen}")


def normalize_axes(operation: str, axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes as sorted non-negative integers; None means all. Raises ShapeError."""
    axes = range(len(shape)) if axis is None else [axis] if isinstance(axis, int | np.integer) else axis
    normalized = sorted(position_of(operation, int(a), shape, len(shape)) for a in axes)
    if len(set(normalized)) < len(normalized):
        raise ShapeError(f"{operation}: axis {axis} names an axis of {shape} twice")
    return tuple(normalized)
