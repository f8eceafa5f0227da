"""Dtypes: operands are checked and converted here and nowhere else.

A float32 model stays float32 by these rules. A plain number or array takes the dtype of the floating Tensors it meets.
Integer Tensors become floating when they meet a floating one. Two floating Tensors of different dtypes are an error.
A policy that casts operands (mixed precision) belongs in `operands` and `floating_operands`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..autograd import Context, Function, Operand, Tensor
from ..backend import DEFAULT_FLOAT, Array, array_module
from ..errors import DtypeError


class Cast(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, dtype: np.dtype[Any]) -> Array:
        ctx.dtype = x.dtype
        return x.astype(dtype)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return cast(dout, ctx.dtype)


def cast(x: Tensor, dtype: DTypeLike) -> Tensor:
    """Return x, of any shape, in another dtype; x itself if it has that dtype already.

    Between floating dtypes the gradient is cast back. Raises DtypeError unless dtype is floating, integer or bool.
    """
    try:
        target = np.dtype(dtype)
    except TypeError:
        raise DtypeError(f"cast: {dtype!r} is not a dtype") from None
    if target.kind not in "fiub":
        raise DtypeError(f"cast: {target} is not a real number's dtype")
    return x if x.dtype == target else Cast.apply(x, dtype=target)


def operands(operation: str, *values: Operand) -> Sequence[Tensor]:
    """Return the values as Tensors of one dtype, in their shapes.

    Args:
        operation: the name for an error.
        values: Tensors, arrays or numbers.

    Raises:
        DtypeError: if the values have different floating dtypes.
    """
    tensors = [value for value in values if isinstance(value, Tensor)]
    if len(tensors) == len(values) and all([tensor.data.dtype is tensors[0].data.dtype for tensor in tensors]):
        return tensors  # the most common case first
    dtype = _common_dtype(operation, tensors, values)
    xp = array_module(tensors[0].data) if tensors else np
    return [cast(v, dtype) if isinstance(v, Tensor) else Tensor(xp.asarray(v, dtype=dtype)) for v in values]


def _common_dtype(operation: str, tensors: list[Tensor], values: tuple[Operand, ...]) -> np.dtype[Any]:
    floating_dtypes = {tensor.dtype for tensor in tensors if tensor.dtype.kind == "f"}
    if len(floating_dtypes) > 1:
        names = " and ".join(sorted(str(dtype) for dtype in floating_dtypes))
        raise DtypeError(f"{operation}: tensors of dtypes {names}: convert one with .to(dtype=...)")
    if floating_dtypes:
        return floating_dtypes.pop()
    others = [value for value in values if not isinstance(value, Tensor)]
    if any(_dtype_of(value).kind == "f" for value in others):
        return DEFAULT_FLOAT
    # A Python integer takes the integer dtype it meets.
    return np.result_type(*(t.dtype for t in tensors), *(v if isinstance(v, int) else _dtype_of(v) for v in others))


def _dtype_of(value: Any) -> np.dtype[Any]:
    return value.dtype if hasattr(value, "dtype") else np.asarray(value).dtype


def floating(operation: str, x: Operand) -> Tensor:
    """Return x as a Tensor of a floating dtype; integers become float32.

    Args:
        operation: the name for an error.
        x: a Tensor, an array or a number of any shape.
    """
    (tensor,) = operands(operation, x)
    return tensor if tensor.data.dtype.kind == "f" else cast(tensor, DEFAULT_FLOAT)


def floating_operands(operation: str, **tensors: Tensor | None) -> list[Any]:
    """Return the Tensors as they are, after a check that all have one floating dtype.

    Args:
        operation: the name for an error.
        tensors: the operands by the names that an error gives them; None is returned as None.

    Raises:
        DtypeError: if one is no Tensor, is not floating, or has another dtype than the first.
    """
    given = {name: x for name, x in tensors.items() if x is not None}
    for name, x in given.items():
        if not isinstance(x, Tensor):
            raise DtypeError(f"{operation}: {name} is a {type(x).__name__}, expected a Tensor")
    if len({x.dtype for x in given.values()}) > 1 or any([x.dtype.kind != "f" for x in given.values()]):
        seen = ", ".join(f"{name} {x.dtype}" for name, x in given.items())
        remedy = f"convert with .to(dtype={str(list(given.values())[-1].dtype)!r})"
        raise DtypeError(f"{operation}: expected one floating dtype, got {seen}: {remedy}")
    return list(tensors.values())


def require_one_dtype(operation: str, tensors: Sequence[Tensor]) -> None:
    """Raise DtypeError, naming the operation, unless all Tensors have one dtype."""
    if len({x.dtype for x in tensors}) > 1:
        raise DtypeError(f"{operation}: dtypes {', '.join(str(x.dtype) for x in tensors)} differ")
