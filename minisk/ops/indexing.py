"""Indexing: slices, integers, integer and boolean arrays, as NumPy's; reading is an operation, writing is in place.

y = x[index]      dx = zeros, with dx[index] += dy (an element read twice gets both gradients)
"""

from typing import Any

from ..autograd.function import Function, is_grad_enabled
from ..autograd.tensor import Operand, Tensor
from ..backend import Array, array_module
from ..errors import GraphError, ShapeError
from .arithmetic import add, div, mul, sub
from .dtypes import operands


class GetItem(Function):
    def forward(ctx, x: Array, *, index: Any) -> Array:
        ctx.index, ctx.shape = index, x.shape
        return x[index]

    def backward(ctx, dout: Tensor) -> Tensor:
        return ScatterAdd.apply(dout, index=ctx.index, shape=ctx.shape)


class ScatterAdd(Function):
    """The adjoint of x[index]: zeros of x's shape with the values added at the index."""

    def forward(ctx, values: Array, *, index: Any, shape: tuple[int, ...]) -> Array:
        ctx.index = index
        xp = array_module(values)
        out = xp.zeros(shape, values.dtype)
        if _reads_each_once(index):
            out[index] = values
        else:
            xp.add.at(out, index, values)
        return out

    def backward(ctx, dout: Tensor) -> Tensor:
        return get_item(dout, ctx.index)


def _reads_each_once(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts)


def _plain_index(index: Any) -> Any:
    """Replace Tensors inside an index by their arrays, copied: backward must find the index as it was."""
    if isinstance(index, tuple):
        return tuple(_plain_index(part) for part in index)
    array = index.data if isinstance(index, Tensor) else index
    return array.copy() if hasattr(array, "copy") else array


def get_item(x: Tensor, index: Any) -> Tensor:
    """Return x[index]. Raises ShapeError for an index that does not fit."""
    try:
        return GetItem.apply(x, index=_plain_index(index))
    except IndexError as error:
        raise ShapeError(f"index: {error} (tensor of shape {x.shape})") from None


def set_item(x: Tensor, index: Any, value: Operand) -> None:
    """Write `x[index] = value` into x's memory. Raises GraphError if a graph being recorded would miss the write."""
    _refuse_in_graph("x[...] = value", x, value)
    try:
        x.data[_plain_index(index)] = value.data if isinstance(value, Tensor) else value
    except (IndexError, ValueError) as error:
        raise ShapeError(f"index: {error} (tensor of shape {x.shape})") from None
    x.mark_written()


def _refuse_in_graph(what: str, x: Tensor, value: Operand) -> None:
    if is_grad_enabled() and (x.requires_grad or (isinstance(value, Tensor) and value.requires_grad)):
        raise GraphError(f"{what}: an in-place write can't be recorded; use where() or concatenate(), or no_grad()")


def _in_place(name: str, symbol: str, operation: Any) -> Any:
    def update(x: Tensor, value: Operand) -> Tensor:
        recording = is_grad_enabled() and (x.requires_grad or (isinstance(value, Tensor) and value.requires_grad))
        if recording and x.is_leaf:
            _refuse_in_graph(f"x {symbol}= value on a leaf", x, value)
        result = operation(x, value)
        if recording:  # part of a graph: the name is bound to a new Tensor, the old one stays as it was
            return result
        if result.shape != x.shape:
            raise ShapeError(f"{name}: in place, {x.shape} can't become {result.shape}")
        x.data[...] = operands(name, x, result)[1].data
        x.mark_written()
        return x

    update.__doc__ = f"`x {symbol}= value`: in place, unless a graph is recorded: then a new Tensor takes the name."
    return update


iadd = _in_place("add", "+", add)
isub = _in_place("sub", "-", sub)
imul = _in_place("mul", "*", mul)
idiv = _in_place("div", "/", div)
