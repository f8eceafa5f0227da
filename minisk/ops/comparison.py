"""Comparisons, element by element, with broadcasting. The results are bool Tensors without a gradient.

All take two Tensors, arrays or numbers whose shapes broadcast, and raise ShapeError and DtypeError.
"""

import operator
from collections.abc import Callable

from ..autograd import Operand, Tensor
from ..backend import Array, array_module
from .shape import broadcast_operands


def equal(a: Operand, b: Operand) -> Tensor:
    """Return a == b as a bool Tensor of the broadcast shape."""
    return _compare("equal", operator.eq, a, b)


def not_equal(a: Operand, b: Operand) -> Tensor:
    """Return a != b as a bool Tensor of the broadcast shape."""
    return _compare("not_equal", operator.ne, a, b)


def less(a: Operand, b: Operand) -> Tensor:
    """Return a < b as a bool Tensor of the broadcast shape."""
    return _compare("less", operator.lt, a, b)


def less_equal(a: Operand, b: Operand) -> Tensor:
    """Return a <= b as a bool Tensor of the broadcast shape."""
    return _compare("less_equal", operator.le, a, b)


def greater(a: Operand, b: Operand) -> Tensor:
    """Return a > b as a bool Tensor of the broadcast shape."""
    return _compare("greater", operator.gt, a, b)


def greater_equal(a: Operand, b: Operand) -> Tensor:
    """Return a >= b as a bool Tensor of the broadcast shape."""
    return _compare("greater_equal", operator.ge, a, b)


def _compare(name: str, compare: Callable[[Array, Array], Array], a: Operand, b: Operand) -> Tensor:
    x, y = broadcast_operands(name, a, b)
    result = compare(x.data, y.data)
    return Tensor(array_module(result).asarray(result))  # NumPy returns results of shape () as scalars
