"""Arithmetic, element by element, with broadcasting. Each backward sums over the axes that were broadcast.

a + b     da = dout          db = dout
a - b     da = dout          db = -dout
a · b     da = dout · b      db = dout · a
a / b     da = dout / b      db = -dout · a / b²
xᵖ        dx = dout · p · xᵖ⁻¹    (0 for p = 0)
bˣ        dx = dout · bˣ · ln b

In this file, `pow` is the operation, not Python's function.
"""

import math

import numpy as np

from ..autograd import Context, Function, Operand, Tensor
from ..backend import Array
from ..errors import DtypeError
from .dtypes import floating, number, numbers_in_float32, operands, rounded_once
from .masked import Masked
from .shape import broadcast_operands, sum_to


class Add(Function):
    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = a.shape, b.shape
        return a + b

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, Tensor]:
        return sum_to(dout, ctx.shapes[0]), sum_to(dout, ctx.shapes[1])


class Sub(Function):
    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes = a.shape, b.shape
        return a - b

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, Tensor]:
        return sum_to(dout, ctx.shapes[0]), sum_to(-dout, ctx.shapes[1])


class Mul(Function):
    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor | None, Tensor | None]:
        a, b = ctx.saved_tensors
        da = sum_to(dout * b, a.shape) if ctx.needs_input_grad[0] else None
        db = sum_to(dout * a, b.shape) if ctx.needs_input_grad[1] else None
        return da, db


class Div(Function):
    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.save_for_backward(a, b)
        return a / b

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, Tensor | None]:
        a, b = ctx.saved_tensors
        da = dout / b
        db = sum_to(-da * a / b, b.shape) if ctx.needs_input_grad[1] else None
        return sum_to(da, a.shape), db


class Neg(Function):
    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        return -x

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return -dout


class Pow(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, exponent: float) -> Array:
        ctx.save_for_backward(x)
        ctx.exponent = exponent
        return x**exponent

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        if ctx.exponent == 0:  # 0 · x⁻¹ would be NaN at x = 0, and 0 · dout where dout is infinite
            return Masked.apply(dout, mask=np.False_)
        return dout * (ctx.exponent * x ** (ctx.exponent - 1))


class PowOf(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, base: float) -> Array:
        # float32 alone would not make 2¹⁵ = 32768 on every processor.
        y = (base ** x.astype(np.float64)).astype(x.dtype)
        ctx.save_for_backward(y)
        ctx.slope = math.log(base)
        return y

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return dout * (y * ctx.slope)


@numbers_in_float32
def add(a: Operand, b: Operand) -> Tensor:
    """Return a + b, of any two shapes that broadcast. Raises ShapeError, DtypeError."""
    return Add.apply(*broadcast_operands("add", a, b))


@numbers_in_float32
def sub(a: Operand, b: Operand) -> Tensor:
    """Return a - b, of any two shapes that broadcast. Raises ShapeError, DtypeError, also for two bool Tensors."""
    return Sub.apply(*_signed("sub", *broadcast_operands("sub", a, b)))


@numbers_in_float32
def mul(a: Operand, b: Operand) -> Tensor:
    """Return a · b, of any two shapes that broadcast. Raises ShapeError, DtypeError."""
    return Mul.apply(*broadcast_operands("mul", a, b))


@numbers_in_float32
def div(a: Operand, b: Operand) -> Tensor:
    """Return a / b, of any two shapes that broadcast; integers become float32. Raises ShapeError, DtypeError."""
    x, y = operands("div", a, b)
    return Div.apply(*broadcast_operands("div", floating("div", x), floating("div", y)))


def neg(x: Tensor) -> Tensor:
    """Return -x, of any shape. Raises DtypeError for a bool Tensor."""
    return Neg.apply(*_signed("neg", *operands("neg", x)))


def _signed(operation: str, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Return the Tensors. Raises DtypeError if they are bool, as NumPy does."""
    if tensors[0].data.dtype.kind == "b":
        raise DtypeError(f"{operation}: not defined for bool; use ~, != or .to(dtype=...)")
    return tensors


@rounded_once
def pow(x: Tensor, exponent: float) -> Tensor:
    """Return x, of any shape, to the power of one number.

    Integers become float32 unless the exponent is an integer of at least 0. Raises DtypeError if the exponent is a
    Tensor: use exp(exponent * log(x)).
    """
    if isinstance(exponent, Tensor):
        raise DtypeError("pow: the exponent must be a number; for a tensor use exp(exponent * log(x))")
    power = number("pow", "exponent", exponent)
    x = x if isinstance(power, int) and power >= 0 else floating("pow", x)
    return Pow.apply(x, exponent=power)


@rounded_once
def rpow(x: Tensor, base: float) -> Tensor:
    """Return base ** x for x of any shape and one positive number as base; integers become float32.

    Exact where the result is a number of the dtype: 2 ** 15 is 32768. Raises DtypeError for any other base.
    """
    if not number("pow", "base", base) > 0:
        raise DtypeError(f"pow: base {base} of a tensor exponent must be positive")
    return PowOf.apply(floating("pow", x), base=float(base))
