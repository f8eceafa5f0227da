"""Masked: x where a mask holds, else 0. The gradient of every operation that cuts elements off.

    y = x where mask, else 0      dx = dout where mask, else 0

The mask selects. A product with it would be NaN where x is infinite and cut off, as in the gradient of sqrt(relu(x)).
"""

from .. import kernels
from ..autograd import Context, Function, Tensor
from ..backend import Array


class Masked(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, mask: Array) -> Array:
        ctx.mask = mask
        return kernels.masked(x, mask)

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return Masked.apply(dout, mask=ctx.mask)
