"""Indexing with slices, integers, integer and boolean arrays, as in NumPy; and changes in place.

y = x[index]      dx = zeros in the shape of x, then dx[index] += dy: an element read twice gets both gradients
"""

import copy
from typing import Any

from ..autograd import Context, Function, Operand, Tensor, is_grad_enabled
from ..backend import Array, array_module, real_array
from ..errors import DeviceError, GraphError, ShapeError
from .arithmetic import add, div, mul, sub
from .dtypes import fitting


class GetItem(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, index: Any) -> Array:
        ctx.index, ctx.shape = index, x.shape
        return x[index]

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return ScatterAdd.apply(dout, index=ctx.index, shape=ctx.shape)


class ScatterAdd(Function):
    """The adjoint of x[index]: zeros of x's shape with the values added at the index."""

    @staticmethod
    def forward(ctx: Context, values: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
        ctx.index = index
        xp = array_module(values)
        out = xp.zeros(shape, values.dtype)
        if _reads_each_once(index):
            out[index] = values
        else:
            xp.add.at(out, index, values)
        return out

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return get_item(dout, ctx.index)


def _reads_each_once(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts)


def _plain_index(index: Any) -> Any:
    """Return the index with copies of its arrays and lists, and arrays for its Tensors.

    The copies are for backward, which must find the index unchanged.
    """
    if isinstance(index, tuple):
        return tuple(_plain_index(part) for part in index)
    if isinstance(index, list):
        return copy.deepcopy(index)  # a list of lists, too
    array = index.data if isinstance(index, Tensor) else index
    return array.copy() if hasattr(array, "copy") else array


def get_item(x: Tensor, index: Any) -> Tensor:
    """Return x[index], in the shape that NumPy's indexing gives. Raises ShapeError for an index that does not fit."""
    try:
        return GetItem.apply(x, index=_plain_index(index))
    except (IndexError, ValueError) as error:
        raise ShapeError(f"index: {error} (tensor of shape {x.shape})") from None


def set_item(x: Tensor, index: Any, value: Operand) -> None:
    """Write value into x's memory: `x[index] = value`.

    Args:
        x: any shape.
        index: as NumPy's.
        value: a Tensor, an array or a number that broadcasts to the shape of x[index].

    Raises:
        GraphError: if the write would have to be recorded.
        ShapeError: if index or value do not fit.
        DtypeError: if x can't hold the value: a fraction or a sign would be lost, or an integer is out of range.
        DeviceError: if the value is a Tensor on another device.
    """
    statement = "index: x[...] = value"
    if _is_recorded(x, value):
        raise _not_recordable(statement)
    if isinstance(value, Tensor) and value.device != x.device:
        raise DeviceError(f"{statement}: x is on {x.device}, value on {value.device}")
    array = value.data if isinstance(value, Tensor) else real_array(statement, value)
    # A Python integer is judged by its value, an array by its dtype.
    is_integer = isinstance(value, int) and (x.dtype.kind in "iu" or value in (0, 1))
    _write(statement, x, _plain_index(index), array, "unsafe" if is_integer else "same_kind")


def _write(statement: str, x: Tensor, index: Any, values: Array, casting: str = "same_kind") -> None:
    fitted = fitting(statement, values, x.dtype, casting)
    try:
        x.data[index] = array_module(x.data).asarray(fitted)
    except (IndexError, ValueError) as error:
        raise ShapeError(f"{statement}: {error} (tensor of shape {x.shape})") from None
    x.mark_written()


def in_place(symbol: str, x: Tensor, value: Operand) -> Tensor:
    """Return x after a statement such as `x += value`; value broadcasts to the shape of x.

    In place, unless the operation is recorded: then the result is a new Tensor, and x stays as it was.

    Args:
        symbol: one of +=, -=, *= and /=.
        x, value: the operands.

    Raises:
        GraphError: if the operation is recorded, and x is a leaf.
        ShapeError: if the result has another shape than x.
        DtypeError: if x can't hold the result: integers can't become fractions.
    """
    operation = _OPERATIONS[symbol]
    is_recorded = _is_recorded(x, value)
    if is_recorded and x.is_leaf:
        raise _not_recordable(f"x {symbol} value on a leaf")
    result = operation(x, value)
    if result.shape != x.shape:
        raise ShapeError(f"{operation.__name__}: in place, {x.shape} can't become {result.shape}")
    if is_recorded:
        return result
    _write(f"x {symbol} value", x, ..., result.data)
    return x


_OPERATIONS = {"+=": add, "-=": sub, "*=": mul, "/=": div}


def _is_recorded(x: Tensor, value: Operand) -> bool:
    return is_grad_enabled() and (x.requires_grad or (isinstance(value, Tensor) and value.requires_grad))


def _not_recordable(statement: str) -> GraphError:
    return GraphError(f"{statement}: an in-place write can't be recorded; use where() or concatenate(), or no_grad()")
