"""Activations: relu, sigmoid, tanh, and the ReLU of a sum.

    y = max(x, 0)    dx = 0 where y ≤ 0, else dout      y = 1/(1 + e⁻ˣ)    dx = dout · y · (1 - y)
    y = tanh x       dx = dout · (1 - y²)

The gradient of relu at 0 is 0.
"""

from .. import kernels
from ..autograd import Context, Function, Operand, Tensor
from ..backend import Array, array_module
from ..errors import ShapeError
from .dtypes import floating, floating_operands


class Relu(Function):
    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = kernels.relu(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return ReluGrad.apply(dout, y.detach())


class AddRelu(Function):
    """y = max(a + b, 0) in one pass."""

    @staticmethod
    def forward(ctx: Context, a: Array, b: Array) -> Array:
        y = kernels.add_relu(a, b)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> tuple[Tensor, Tensor]:
        (y,) = ctx.saved_tensors
        dx = ReluGrad.apply(dout, y.detach())
        return dx, dx


class ReluGrad(Function):
    """dx = 0 where y ≤ 0, else dout: linear in dout, and constant in y. Where y is NaN, dout passes, as in PyTorch."""

    @staticmethod
    def forward(ctx: Context, dout: Array, y: Array) -> Array:
        ctx.save_for_backward(y)
        return kernels.relu_grad(dout, y)

    @staticmethod
    def backward(ctx: Context, ddx: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        return ReluGrad.apply(ddx, y), None


class Sigmoid(Function):
    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = kernels.sigmoid(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return dout * y * (1.0 - y)


class Tanh(Function):
    @staticmethod
    def forward(ctx: Context, x: Array) -> Array:
        y = array_module(x).tanh(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return dout * (1.0 - y * y)


def relu(x: Operand) -> Tensor:
    """Return max(x, 0), in the shape of x. An integer x becomes float32, exact up to 2²⁴, as in sigmoid and tanh."""
    return Relu.apply(floating("relu", x))


def add_relu(a: Tensor, b: Tensor) -> Tensor:
    """Return max(a + b, 0) in one pass, the end of a residual unit. Raises ShapeError, DtypeError.

    a, b: of one shape, which is the result's, and one floating dtype.
    """
    a, b = floating_operands("add_relu", a=a, b=b)
    if a.shape != b.shape:
        raise ShapeError(f"add_relu: a {a.shape} and b {b.shape} must have one shape")
    return AddRelu.apply(a, b)


def sigmoid(x: Operand) -> Tensor:
    """Return 1 / (1 + e⁻ˣ), in the shape of x; no overflow for any x."""
    return Sigmoid.apply(floating("sigmoid", x))


def tanh(x: Operand) -> Tensor:
    """Return the hyperbolic tangent, in the shape of x."""
    return Tanh.apply(floating("tanh", x))
