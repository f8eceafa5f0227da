"""Arithmetic, element by element, with broadcasting: each backward sums over what was broadcast. Matrix products.

a + b    a - b    a · b    a / b    -x    x ** p    and comparisons, which have no gradient

Y = A·B      dA = dY·Bᵀ      dB = Aᵀ·dY
"""

import math
from collections.abc import Callable
from typing import Any

from ..autograd.function import Function
from ..autograd.tensor import Operand, Tensor
from ..backend import Array, array_module
from ..errors import DtypeError, ShapeError
from .dtypes import floating, operands, require_floating
from .shape import broadcast_shape, expand_dims, squeeze, sum_to, transpose


class Add(Function):
    def forward(ctx, a: Array, b: Array) -> Array:
        ctx.shapes = a.shape, b.shape
        return a + b

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor]:
        return sum_to(dout, ctx.shapes[0]), sum_to(dout, ctx.shapes[1])


class Sub(Function):
    def forward(ctx, a: Array, b: Array) -> Array:
        ctx.shapes = a.shape, b.shape
        return a - b

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor]:
        return sum_to(dout, ctx.shapes[0]), sum_to(-dout, ctx.shapes[1])


class Mul(Function):
    def forward(ctx, a: Array, b: Array) -> Array:
        ctx.save_for_backward(a, b)
        return a * b

    def backward(ctx, dout: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        da = sum_to(dout * b, a.shape) if ctx.needs_input_grad[0] else None
        db = sum_to(dout * a, b.shape) if ctx.needs_input_grad[1] else None
        return da, db


class Div(Function):
    def forward(ctx, a: Array, b: Array) -> Array:
        ctx.save_for_backward(a, b)
        return a / b

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor | None]:
        a, b = ctx.saved_tensors
        da = dout / b
        db = sum_to(-da * a / b, b.shape) if ctx.needs_input_grad[1] else None
        return sum_to(da, a.shape), db


class Neg(Function):
    def forward(ctx, x: Array) -> Array:
        return -x

    def backward(ctx, dout: Tensor) -> Tensor:
        return -dout


class Pow(Function):
    def forward(ctx, x: Array, *, exponent: float) -> Array:
        ctx.save_for_backward(x)
        ctx.exponent = exponent
        return x**exponent

    def backward(ctx, dout: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        if ctx.exponent == 0:  # 0 · x⁻¹ would be NaN at x = 0
            return dout * 0.0
        return dout * (ctx.exponent * x ** (ctx.exponent - 1))


def _binary(function: type[Function], a: Operand, b: Operand) -> Tensor:
    x, y = operands(function.operation, a, b)
    broadcast_shape(function.operation, x, y)
    return function.apply(x, y)


def add(a: Operand, b: Operand) -> Tensor:
    """Return a + b, broadcast. Raises ShapeError, DtypeError."""
    return _binary(Add, a, b)


def sub(a: Operand, b: Operand) -> Tensor:
    """Return a - b, broadcast. Raises ShapeError, DtypeError."""
    return _binary(Sub, a, b)


def mul(a: Operand, b: Operand) -> Tensor:
    """Return a · b, broadcast. Raises ShapeError, DtypeError."""
    return _binary(Mul, a, b)


def div(a: Operand, b: Operand) -> Tensor:
    """Return a / b, broadcast; integers are divided as float32. Raises ShapeError, DtypeError."""
    x, y = operands("div", a, b)
    return _binary(Div, floating("div", x), floating("div", y))


def neg(x: Tensor) -> Tensor:
    """Return -x."""
    return Neg.apply(x)


def pow(x: Tensor, exponent: float) -> Tensor:
    """Return x ** exponent for a number as exponent. Raises DtypeError for a Tensor: use exp(exponent * log(x))."""
    if isinstance(exponent, Tensor):
        raise DtypeError("pow: the exponent must be a number; for a tensor use exp(exponent * log(x))")
    number = exponent.item() if hasattr(exponent, "item") else exponent
    x = x if isinstance(number, int) and number >= 0 else floating("pow", x)
    return Pow.apply(x, exponent=number)


def rpow(x: Tensor, base: float) -> Tensor:
    """Return base ** x for a positive number as base."""
    if not base > 0:
        raise DtypeError(f"pow: base {base} of a tensor exponent must be positive")
    return (x * math.log(base)).exp()


def reflected(operation: Callable[[Operand, Operand], Tensor]) -> Callable[[Tensor, Operand], Tensor]:
    """Turn operation(a, b) into the method for `other - x` and the like, which is handed x first."""
    return lambda x, other: operation(other, x)


def _comparison(name: str) -> Any:
    def compare(a: Operand, b: Operand) -> Tensor:
        x, y = operands(name, a, b)
        broadcast_shape(name, x, y)
        xp = array_module(x.data)
        return Tensor(xp.asarray(getattr(xp, name)(x.data, y.data)))

    compare.__name__ = compare.__qualname__ = name
    compare.__doc__ = f"Return a bool Tensor, as numpy.{name}; it has no gradient. Raises ShapeError, DtypeError."
    return compare


COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
equal, not_equal, less, less_equal, greater, greater_equal = map(_comparison, COMPARISONS)


class Matmul(Function):
    def forward(ctx, a: Array, b: Array) -> Array:
        ctx.save_for_backward(a, b)
        return a @ b

    def backward(ctx, dout: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        da = sum_to(matmul(dout, _swap(b)), a.shape) if ctx.needs_input_grad[0] else None
        db = sum_to(matmul(_swap(a), dout), b.shape) if ctx.needs_input_grad[1] else None
        return da, db


def _swap(x: Tensor) -> Tensor:
    """Transpose the matrices of a stack."""
    return transpose(x, *range(x.ndim - 2), x.ndim - 1, x.ndim - 2)


def matmul(a: Operand, b: Operand) -> Tensor:
    """Return a @ b as numpy.matmul: matrices in the last two axes, the others broadcast; vectors too.

    a: (…, n, k) or (k,); b: (…, k, m) or (k,). Raises ShapeError, DtypeError.
    """
    x, y = operands("matmul", a, b)
    if x.ndim == 0 or y.ndim == 0 or x.shape[-1] != y.shape[-2 if y.ndim > 1 else 0]:
        raise ShapeError(f"matmul: {x.shape} @ {y.shape}: the last axis of the first must equal the rows of the second")
    left = expand_dims(x, 0) if x.ndim == 1 else x
    right = expand_dims(y, 1) if y.ndim == 1 else y
    try:
        product: Tensor = Matmul.apply(left, right)
    except ValueError:
        raise ShapeError(f"matmul: {x.shape} @ {y.shape}: leading axes do not broadcast") from None
    product = squeeze(product, -1) if y.ndim == 1 else product
    return squeeze(product, -2 if y.ndim > 1 else -1) if x.ndim == 1 else product


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return x·weightᵀ + bias.

    x: (…, in_features); weight: (out_features, in_features); bias: (out_features,). Raises ShapeError, DtypeError.
    """
    require_floating("linear", x=x, weight=weight, bias=bias)
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ShapeError(f"linear: x {x.shape} must end in the in_features of weight {weight.shape}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(f"linear: bias {bias.shape} must have the {weight.shape[0]} out_features of weight")
    product = matmul(x, transpose(weight))
    return product if bias is None else product + bias
