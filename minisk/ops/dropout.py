"""Dropout: y = x · mask / (1 - p), where each element of the mask is 0 with probability p, else 1.

dx = dout · mask / (1 - p). Source: Srivastava et al., *Dropout*, 2014.
"""

from ..autograd import Context, Function, Tensor
from ..backend import Array, device_of, random_generator
from ..errors import ShapeError
from .dtypes import floating_operands


class Dropout(Function):
    @staticmethod
    def forward(ctx: Context, x: Array, *, p: float) -> Array:
        mask = random_generator(device_of(x)).random(x.shape) >= p
        ctx.scale = mask.astype(x.dtype) / x.dtype.type(1 - p)
        return x * ctx.scale

    @staticmethod
    def backward(ctx: Context, dout: Tensor) -> Tensor:
        return dout * ctx.scale


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set elements to 0 at random and divide the others by 1 - p; in evaluation, return x.

    Args:
        x: any shape, floating.
        p: the probability of 0, in [0, 1). Drawn from minisk's generator (`ms.manual_seed`).
        training: whether to change anything.

    Raises:
        ShapeError: if p is not in [0, 1).
        DtypeError: if x is not a floating Tensor.
    """
    (x,) = floating_operands("dropout", x=x)
    if not 0 <= p < 1:
        raise ShapeError(f"dropout: p {p} must lie in [0, 1)")
    return Dropout.apply(x, p=p) if training and p > 0 else x
