"""Comparisons and masks, element by element, with broadcasting. The results are bool Tensors without a gradient.

All take two Tensors, arrays or numbers whose shapes broadcast, and raise ShapeError and DtypeError.
"""

import operator
from collections.abc import Callable, Sequence

from ..autograd import Operand, Tensor
from ..backend import Array, array_module
from ..errors import DtypeError
from .dtypes import operands
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


def logical_and(a: Operand, b: Operand) -> Tensor:
    """Return a & b for two bool operands, as a bool Tensor of the broadcast shape."""
    return _compare("logical_and", operator.and_, *_masks("logical_and", a, b))


def logical_or(a: Operand, b: Operand) -> Tensor:
    """Return a | b for two bool operands, as a bool Tensor of the broadcast shape."""
    return _compare("logical_or", operator.or_, *_masks("logical_or", a, b))


def logical_not(x: Operand) -> Tensor:
    """Return ~x for a bool operand, in its shape."""
    (mask,) = _masks("logical_not", x)
    return Tensor(~mask.data)


def _masks(operation: str, *values: Operand) -> Sequence[Tensor]:
    masks = operands(operation, *values)
    if masks[0].dtype.kind != "b":
        raise DtypeError(f"{operation}: expected bool operands, got {masks[0].dtype}; compare first, as in x > 0")
    return masks


def _compare(name: str, compare: Callable[[Array, Array], Array], a: Operand, b: Operand) -> Tensor:
    x, y = broadcast_operands(name, a, b)
    result = compare(x.data, y.data)
    return Tensor(array_module(result).asarray(result))  # NumPy returns results of shape () as scalars
