"""Functions applied to each element: exp, log, sqrt, abs, clip, where, maximum, minimum.

In this file, `abs` is the operation, not Python's function.

    y = eˣ    dx = dout · y           y = ln x    dx = dout / x
    y = √x    dx = dout / 2y          y = |x|     dx = dout · sign(x)

Masks and factors of dout in abs, clip, maximum and minimum are attributes of ctx, that is, constants for a second
derivative: right, because these functions are piecewise linear.

Where a derivative jumps, the conventions are: 0 at 0 for abs, half each for tied maximum and minimum, and clip passes
the gradient on its bounds. An operand that is NaN gets the gradient of the NaN that it makes of a maximum.
"""

from ..autograd import Context, Function, Operand, Tensor
from ..backend import Array, array_module, real_array
from ..errors import ShapeError
from .dtypes import floating, number, operands
from .masked import Masked
from .shape import broadcast_operands, broadcast_shape, sum_to


class Exp(Function):
    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = array_module(x).exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return dout * y


class Log(Function):
    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.save_for_backward(x)
        return array_module(x).log(x)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return dout / x


class Sqrt(Function):
    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = array_module(x).sqrt(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return dout / (2.0 * y)


class Abs(Function):
    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        ctx.slope, ctx.is_smooth = array_module(x).copysign(x.dtype.type(1), x), x != 0
        return array_module(x).abs(x)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return Masked.apply(dout * ctx.slope, mask=ctx.is_smooth)


class Clip(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, min: float | None, max: float | None) -> Array:
        y = array_module(x).clip(x, min, max)
        ctx.is_inside = y == x
        return y

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return Masked.apply(dout, mask=ctx.is_inside)


class Where(Function):
    @staticmethod
    def forward(ctx: Context, a: Array, b: Array, *, condition: Array) -> Array:
        ctx.condition, ctx.shapes = condition, (a.shape, b.shape)
        return array_module(a).where(condition, a, b)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(dout, (ctx.condition, ~ctx.condition), ctx)


class Maximum(Function):
    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes, ctx.is_kept, ctx.is_tied = (a.shape, b.shape), (~(a < b), ~(a > b)), a == b
        return array_module(a).maximum(a, b)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(dout * (1 - 0.5 * ctx.is_tied), ctx.is_kept, ctx)


class Minimum(Maximum):  # with the backward of Maximum
    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        ctx.shapes, ctx.is_kept, ctx.is_tied = (a.shape, b.shape), (~(a > b), ~(a < b)), a == b
        return array_module(a).minimum(a, b)


def _gradients(dout: Tensor, masks: tuple[Array, Array], ctx: Context) -> tuple[Tensor | None, ...]:
    """Return the gradients of two operands: dout where the operand's mask holds, else 0."""
    needed = zip(masks, ctx.shapes, ctx.needs_input_grad, strict=True)
    return tuple([sum_to(Masked.apply(dout, mask=mask), shape) if needs else None for mask, shape, needs in needed])


def exp(x: Operand) -> Tensor:
    """Return eˣ, in the shape of x. An integer x becomes float32, exact up to 2²⁴, as for all of one operand here."""
    return Exp.apply(floating("exp", x))


def log(x: Operand) -> Tensor:
    """Return the natural logarithm, in the shape of x; NaN below 0 and -inf at 0, with NumPy's warning."""
    return Log.apply(floating("log", x))


def sqrt(x: Operand) -> Tensor:
    """Return the square root, in the shape of x; NaN below 0, with NumPy's warning."""
    return Sqrt.apply(floating("sqrt", x))


def abs(x: Operand) -> Tensor:
    """Return |x|, in the shape of x; the gradient at 0 is 0, whatever arrives there."""
    return Abs.apply(floating("abs", x))


def clip(x: Operand, min: float | None = None, max: float | None = None) -> Tensor:
    """Return x limited to [min, max]. The gradient passes inside and on the bounds, and is 0 outside and for NaN.

    Args:
        x: any shape.
        min, max: numbers; None sets no limit.

    Raises:
        ShapeError: if min > max.
    """
    # Python floats take x's dtype; NumPy scalars would impose theirs.
    low = None if min is None else float(number("clip", "min", min))
    high = None if max is None else float(number("clip", "max", max))
    if low is not None and high is not None and low > high:
        raise ShapeError(f"clip: min {min} is above max {max}")
    return Clip.apply(floating("clip", x), min=low, max=high)


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """Return a where the condition holds, otherwise b.

    Args:
        condition: any shape; elements other than 0 hold. It has no gradient.
        a, b: of one dtype. The three shapes broadcast.

    Returns:
        A Tensor of the broadcast shape, in the dtype of a and b.

    Raises:
        ShapeError, DtypeError.
    """
    x, y = operands("where", a, b)
    given = condition.data if isinstance(condition, Tensor) else real_array("where", condition)
    mask = Tensor(array_module(x.data).asarray(given).astype(bool))
    broadcast_shape("where", mask, x, y)
    return Where.apply(x, y, condition=mask.data)


def maximum(a: Operand, b: Operand) -> Tensor:
    """Return the larger of a and b, of any two shapes that broadcast. Raises ShapeError, DtypeError.

    At a tie each gets half the gradient.
    """
    return Maximum.apply(*broadcast_operands("maximum", a, b))


def minimum(a: Operand, b: Operand) -> Tensor:
    """Return the smaller of a and b, of any two shapes that broadcast. Raises ShapeError, DtypeError.

    At a tie each gets half the gradient.
    """
    return Minimum.apply(*broadcast_operands("minimum", a, b))
