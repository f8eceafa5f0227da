"""Comparisons, element by element, with broadcasting. The results are bool Tensors without a gradient.

All take two Tensors, arrays or numbers whose shapes broadcast, and raise ShapeError and DtypeError.
"""

from typing import Any

from ..autograd import Operand, Tensor
from ..backend import array_module
from .shape import broadcast_operands


def equal(a: Operand, b: Operand) -> Tensor:
    """Return a == b as a bool Tensor of the broadcast shape."""
    x, y = broadcast_operands("equal", a, b)
    return _result(x.data == y.data)


def not_equal(a: Operand, b: Operand) -> Tensor:
    """Return a != b as a bool Tensor of the broadcast shape."""
    x, y = broadcast_operands("not_equal", a, b)
    return _result(x.data != y.data)


def less(a: Operand, b: Operand) -> Tensor:
    """Return a < b as a bool Tensor of the broadcast shape."""
    x, y = broadcast_operands("less", a, b)
    return _result(x.data < y.data)


def less_equal(a: Operand, b: Operand) -> Tensor:
    """Return a <= b as a bool Tensor of the broadcast shape."""
    x, y = broadcast_operands("less_equal", a, b)
    return _result(x.data <= y.data)


def greater(a: Operand, b: Operand) -> Tensor:
    """Return a > b as a bool Tensor of the broadcast shape."""
    x, y = broadcast_operands("greater", a, b)
    return _result(x.data > y.data)


def greater_equal(a: Operand, b: Operand) -> Tensor:
    """Return a >= b as a bool Tensor of the broadcast shape."""
    x, y = broadcast_operands("greater_equal", a, b)
    return _result(x.data >= y.data)


def _result(array: Any) -> Tensor:
    # NumPy returns results of shape () as scalars.
    return Tensor(array_module(array).asarray(array))
