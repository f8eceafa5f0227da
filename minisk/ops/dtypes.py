"""Dtypes: operands are checked and converted here and nowhere else.

A float32 model stays float32 by these rules. A plain number or array takes the dtype of the floating Tensors it meets.
Integer Tensors become floating when they meet a floating one. Two floating Tensors of different dtypes are an error,
but in mixed precision (autocast.py), which has rules of its own.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..autograd import Context, Function, Operand, Tensor
from ..backend import DEFAULT_FLOAT, Array, array_module, real_array, real_dtype
from ..errors import DtypeError
from . import autocast

_NUMBERS = (int, float, np.number)  # a tuple: `int | float | …` would be built again at each operation


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
    target = real_dtype("cast", dtype)
    return x if x.dtype == target else Cast.apply(x, dtype=target)


def rounded_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compute a composition of float16 Tensors in float32, and round each Tensor that it returns once.

    A decorator of functions of Tensors and settings.
    """

    @functools.wraps(function)
    def run(*args: Any, **settings: Any) -> Any:
        is_half = [isinstance(x, Tensor) and x.data.dtype == np.float16 for x in args]
        if True not in is_half:
            return function(*args, **settings)
        wide = [cast(x, np.float32) if half else x for x, half in zip(args, is_half, strict=True)]
        result = function(*wide, **settings)
        return tuple(cast(y, np.float16) for y in result) if isinstance(result, tuple) else cast(result, np.float16)

    return run


def numbers_in_float32(function: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """Apply a number to a float16 Tensor in float32: 1e-8 or 1e5 would not survive float16. A decorator."""
    once = rounded_once(function)

    @functools.wraps(function)
    def run(a: Any, b: Any) -> Tensor:
        has_number = isinstance(a, _NUMBERS) or isinstance(b, _NUMBERS)
        return once(a, b) if has_number else function(a, b)

    return run


def operands(operation: str, *values: Operand) -> Sequence[Tensor]:
    """Return the values as Tensors of one dtype, in their shapes.

    Args:
        operation: the name for an error.
        values: Tensors, arrays or numbers.

    Raises:
        DtypeError: if the values have different floating dtypes, or one is not made of real numbers.
    """
    if autocast.state.enabled:
        values = _in_mixed_precision(operation, values)
    first: Any = values[0] if values else None
    for value in values:
        if not isinstance(value, Tensor) or value.data.dtype != first.data.dtype:
            break
    else:
        return values  # type: ignore[return-value]  # the most common case first: all are Tensors
    tensors = [value for value in values if isinstance(value, Tensor)]
    real = [value if isinstance(value, Tensor | int | float) else real_array(operation, value) for value in values]
    xp = array_module(tensors[0].data) if tensors else np
    try:
        dtype = _common_dtype(operation, tensors, real)
        return [cast(v, dtype) if isinstance(v, Tensor) else Tensor(xp.asarray(v, dtype=dtype)) for v in real]
    except OverflowError as error:
        raise DtypeError(f"{operation}: {error}") from None


def _in_mixed_precision(operation: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """Return the values with all floating Tensors in the dtype in which the operation computes."""
    floating_dtypes = {x.dtype for x in values if isinstance(x, Tensor) and x.dtype.kind == "f"}
    if not floating_dtypes:
        return tuple(values)
    dtype = autocast.dtype_for(operation, floating_dtypes)
    return tuple([cast(x, dtype) if isinstance(x, Tensor) and x.dtype.kind == "f" else x for x in values])


def _common_dtype(operation: str, tensors: list[Tensor], values: list[Any]) -> np.dtype[Any]:
    floating_dtypes = {tensor.dtype for tensor in tensors if tensor.dtype.kind == "f"}
    if len(floating_dtypes) > 1:
        names = " and ".join(sorted(str(dtype) for dtype in floating_dtypes))
        raise DtypeError(f"{operation}: tensors of dtypes {names}: convert one with .to(dtype=...)")
    if floating_dtypes:
        return floating_dtypes.pop()
    others = [value for value in values if not isinstance(value, Tensor)]
    if any(isinstance(value, float) or (not isinstance(value, int) and value.dtype.kind == "f") for value in others):
        return DEFAULT_FLOAT
    # A Python integer takes the integer dtype it meets.
    return np.result_type(*(t.dtype for t in tensors), *(v if isinstance(v, int) else v.dtype for v in others))


def fitting(operation: str, array: Array, dtype: np.dtype[Any], casting: str = "same_kind") -> Array:
    """Return the array, of any shape, in another dtype; the array itself if it has that dtype.

    Args:
        operation: the name for an error.
        array, dtype: of numbers.
        casting: NumPy's rule; "unsafe" lets floating numbers become integers.

    Raises:
        DtypeError: if the rule forbids the change, or an integer lies outside the range of the dtype.
    """
    if array.dtype == dtype:
        return array
    if not np.can_cast(array.dtype, dtype, casting):  # type: ignore[arg-type]
        raise DtypeError(f"{operation}: {array.dtype} numbers can't be stored as {dtype}; convert with .to(dtype=...)")
    converted = array.astype(dtype)
    is_narrower = dtype.kind in "iu" and array.dtype.kind in "iu" and not np.can_cast(array.dtype, dtype)
    if is_narrower and (converted != array).any():
        raise DtypeError(f"{operation}: a number is outside the range of {dtype}")
    return converted


def number(operation: str, name: str, value: Any) -> int | float:
    """Return one real number, given as a Python or NumPy number or an array of shape (), as a Python number.

    Args:
        operation, name: of the argument, for an error.
        value: the number.

    Raises:
        DtypeError: if it is anything else.
    """
    if type(value) is float:
        return value
    array = real_array(f"{operation}: {name}", value)
    if array.ndim > 0:
        raise DtypeError(f"{operation}: {name} has shape {array.shape}, expected one number")
    return array.item()


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
        tensors: the operands by the names that an error gives them; `bias` alone may be None.

    Raises:
        DtypeError: if one is no Tensor, is not floating, or has another dtype than the first.
    """
    if autocast.state.enabled:
        tensors = dict(zip(tensors, _in_mixed_precision(operation, tuple(tensors.values())), strict=True))
    dtypes = {x.data.dtype for x in tensors.values() if isinstance(x, Tensor)}
    others = [name for name, x in tensors.items() if not isinstance(x, Tensor) and (x is not None or name != "bias")]
    if others:
        raise DtypeError(f"{operation}: {others[0]} is a {type(tensors[others[0]]).__name__}, expected a Tensor")
    if len(dtypes) > 1 or any([dtype.kind != "f" for dtype in dtypes]):
        given = {name: x.dtype for name, x in tensors.items() if x is not None}
        seen = ", ".join(f"{name} {dtype}" for name, dtype in given.items())
        remedy = f"convert with .to(dtype={str(list(given.values())[-1])!r})"
        raise DtypeError(f"{operation}: expected one floating dtype, got {seen}: {remedy}")
    return list(tensors.values())


def require_one_dtype(operation: str, tensors: Sequence[Tensor]) -> None:
    """Raise DtypeError, naming the operation, unless all are Tensors of one dtype."""
    if not isinstance(tensors, Sequence | Tensor):
        raise DtypeError(f"{operation}: expected several Tensors, got a {type(tensors).__name__}")
    for i, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise DtypeError(f"{operation}: element {i} is a {type(x).__name__}, expected a Tensor")
    if len({x.dtype for x in tensors}) > 1:
        raise DtypeError(f"{operation}: dtypes {', '.join(str(x.dtype) for x in tensors)} differ")
