"""Dropout: in training, zero each value with probability p and scale the rest so that the mean stays.

Source: Srivastava et al., *Dropout*, 2014.
"""

from ..device import Array, device_of, random_generator
from ..errors import ShapeError
from ..function import Function
from ..tensor import Tensor
from .operands import require_floating


class Dropout(Function):
    def forward(ctx, x: Array, *, p: float) -> Array:
        keep = random_generator(device_of(x)).random(x.shape) >= p
        ctx.scale = keep.astype(x.dtype) / x.dtype.type(1 - p)
        return x * ctx.scale

    def backward(ctx, dout: Tensor) -> Tensor:
        return dout * ctx.scale


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero values with probability p and divide the rest by 1 - p; in evaluation, return x.

    p: in [0, 1). Draws from minisk's seeded generator. Raises ShapeError, DtypeError.
    """
    require_floating("dropout", x=x)
    if not 0 <= p < 1:
        raise ShapeError(f"dropout: p {p} must lie in [0, 1)")
    return Dropout.apply(x, p=p) if training and p > 0 else x
