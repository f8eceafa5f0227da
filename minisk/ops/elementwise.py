"""Functions applied to each element: exp, log, sqrt, abs, tanh, sigmoid, relu, clip, where, dropout, and so on.

Where a derivative jumps, the conventions are: 0 at 0 for abs and relu, half each for tied maximum and minimum,
and clip passes the gradient on its bounds.
"""

from .. import kernels
from ..autograd.function import Function
from ..autograd.tensor import Operand, Tensor
from ..backend import Array, array_module, device_of, random_generator
from ..errors import ShapeError
from .dtypes import floating, operands, require_floating
from .shape import broadcast_shape, sum_to


class Exp(Function):
    def forward(ctx, x: Array) -> Array:
        y = array_module(x).exp(x)
        ctx.save_for_backward(y)
        return y

    def backward(ctx, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return dout * y


class Log(Function):
    def forward(ctx, x: Array) -> Array:
        ctx.save_for_backward(x)
        return array_module(x).log(x)

    def backward(ctx, dout: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return dout / x


class Sqrt(Function):
    def forward(ctx, x: Array) -> Array:
        y = array_module(x).sqrt(x)
        ctx.save_for_backward(y)
        return y

    def backward(ctx, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return dout / (2.0 * y)


class Abs(Function):
    def forward(ctx, x: Array) -> Array:
        ctx.sign = array_module(x).sign(x)
        return array_module(x).abs(x)

    def backward(ctx, dout: Tensor) -> Tensor:
        return dout * ctx.sign


class Tanh(Function):
    def forward(ctx, x: Array) -> Array:
        y = array_module(x).tanh(x)
        ctx.save_for_backward(y)
        return y

    def backward(ctx, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return dout * (1.0 - y * y)


class Sigmoid(Function):
    def forward(ctx, x: Array) -> Array:
        xp = array_module(x)
        shrunk = xp.exp(-xp.abs(x))  # at most 1: neither side of zero can overflow
        y = xp.where(x >= 0, 1, shrunk) / (1 + shrunk)
        ctx.save_for_backward(y)
        return y

    def backward(ctx, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return dout * y * (1.0 - y)


class Relu(Function):
    def forward(ctx, x: Array) -> Array:
        y = kernels.relu(x)
        ctx.save_for_backward(y)
        return y

    def backward(ctx, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return ReluGrad.apply(dout, y.detach())


class AddRelu(Function):
    """relu(a + b) in one pass."""

    def forward(ctx, a: Array, b: Array) -> Array:
        y = kernels.add_relu(a, b)
        ctx.save_for_backward(y)
        return y

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor]:
        (y,) = ctx.saved_tensors
        dx = ReluGrad.apply(dout, y.detach())
        return dx, dx


class ReluGrad(Function):
    """dout where y > 0, else 0: linear in dout, and constant in y."""

    def forward(ctx, dout: Array, y: Array) -> Array:
        ctx.save_for_backward(y)
        return kernels.relu_grad(dout, y)

    def backward(ctx, ddx: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return ReluGrad.apply(ddx, y), None


class Clip(Function):
    def forward(ctx, x: Array, *, min: float | None, max: float | None) -> Array:
        y = array_module(x).clip(x, min, max)
        ctx.inside = (y == x).astype(x.dtype)
        return y

    def backward(ctx, dout: Tensor) -> Tensor:
        return dout * ctx.inside


class Where(Function):
    def forward(ctx, a: Array, b: Array, *, condition: Array) -> Array:
        ctx.condition, ctx.shapes = condition, (a.shape, b.shape)
        return array_module(a).where(condition, a, b)

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor]:
        chosen = ctx.condition
        return sum_to(where(chosen, dout, 0.0), ctx.shapes[0]), sum_to(where(chosen, 0.0, dout), ctx.shapes[1])


class Larger(Function):
    """The larger of two values, or the smaller; the gradient goes to the one taken, half to each at a tie."""

    def forward(ctx, a: Array, b: Array, *, smaller: bool) -> Array:
        first_wins = a < b if smaller else a > b
        ctx.shapes, ctx.share = (a.shape, b.shape), first_wins.astype(a.dtype) + (a == b).astype(a.dtype) / 2
        xp = array_module(a)
        return xp.minimum(a, b) if smaller else xp.maximum(a, b)

    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor]:
        return sum_to(dout * ctx.share, ctx.shapes[0]), sum_to(dout * (1 - ctx.share), ctx.shapes[1])


class Dropout(Function):
    """Source: Srivastava et al., *Dropout*, 2014."""

    def forward(ctx, x: Array, *, p: float) -> Array:
        keep = random_generator(device_of(x)).random(x.shape) >= p
        ctx.scale = keep.astype(x.dtype) / x.dtype.type(1 - p)
        return x * ctx.scale

    def backward(ctx, dout: Tensor) -> Tensor:
        return dout * ctx.scale


def exp(x: Operand) -> Tensor:
    """Return eˣ. An integer Tensor is taken as float32, as by every function here of one operand."""
    return Exp.apply(floating("exp", x))


def log(x: Operand) -> Tensor:
    """Return the natural logarithm; NaN below 0, -inf at 0, with NumPy's warning."""
    return Log.apply(floating("log", x))


def sqrt(x: Operand) -> Tensor:
    """Return the square root; NaN below 0, with NumPy's warning."""
    return Sqrt.apply(floating("sqrt", x))


def abs(x: Operand) -> Tensor:
    """Return |x|; the gradient at 0 is 0."""
    return Abs.apply(floating("abs", x))


def tanh(x: Operand) -> Tensor:
    """Return the hyperbolic tangent."""
    return Tanh.apply(floating("tanh", x))


def sigmoid(x: Operand) -> Tensor:
    """Return 1 / (1 + e⁻ˣ)."""
    return Sigmoid.apply(floating("sigmoid", x))


def relu(x: Operand) -> Tensor:
    """Return max(x, 0); the gradient at 0 is 0."""
    return Relu.apply(floating("relu", x))


def add_relu(a: Tensor, b: Tensor) -> Tensor:
    """Return max(a + b, 0) in one pass: how a residual unit ends. Of one shape and dtype: ShapeError, DtypeError."""
    require_floating("add_relu", a=a, b=b)
    if a.shape != b.shape:
        raise ShapeError(f"add_relu: a {a.shape} and b {b.shape} must have one shape")
    return AddRelu.apply(a, b)


def clip(x: Operand, min: float | None = None, max: float | None = None) -> Tensor:
    """Return x limited to [min, max]; on a bound the gradient passes. Raises ShapeError if min > max."""
    if min is not None and max is not None and min > max:
        raise ShapeError(f"clip: min {min} is above max {max}")
    # Plain numbers take x's dtype; NumPy's would impose theirs.
    low, high = (bound if bound is None else float(bound) for bound in (min, max))
    return Clip.apply(floating("clip", x), min=low, max=high)


def where(condition: Operand, a: Operand, b: Operand) -> Tensor:
    """Return a where the condition holds, else b, broadcast. Raises ShapeError, DtypeError."""
    x, y = operands("where", a, b)
    mask = condition if isinstance(condition, Tensor) else Tensor(array_module(x.data).asarray(condition))
    broadcast_shape("where", mask, x, y)
    return Where.apply(x, y, condition=mask.data.astype(bool))


def maximum(a: Operand, b: Operand) -> Tensor:
    """Return the larger of a and b, broadcast; at a tie each gets half the gradient. Raises ShapeError, DtypeError."""
    return _larger("maximum", a, b, smaller=False)


def minimum(a: Operand, b: Operand) -> Tensor:
    """Return the smaller of a and b, broadcast; at a tie each gets half the gradient. Raises ShapeError, DtypeError."""
    return _larger("minimum", a, b, smaller=True)


def _larger(operation: str, a: Operand, b: Operand, smaller: bool) -> Tensor:
    x, y = operands(operation, a, b)
    broadcast_shape(operation, x, y)
    return Larger.apply(x, y, smaller=smaller)


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero values with probability p and divide the rest by 1 - p; in evaluation, return x.

    p: in [0, 1). Draws from minisk's seeded generator. Raises ShapeError, DtypeError.
    """
    require_floating("dropout", x=x)
    if not 0 <= p < 1:
        raise ShapeError(f"dropout: p {p} must lie in [0, 1)")
    return Dropout.apply(x, p=p) if training and p > 0 else x
