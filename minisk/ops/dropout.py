"""Dropout: y = x / (1 - p) where the mask holds, else 0; it does not hold with probability p.

dx = dout / (1 - p) where the mask holds, else 0. Source: Srivastava et al., *Dropout*, 2014.
"""

from ..autograd import Tensor
from ..backend import device_of, random_generator
from ..errors import require_numbers
from .dtypes import floating_operands
from .masked import Masked


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Set elements to 0 at random and divide the others by 1 - p; in evaluation, return x.

    Args:
        x: any shape, floating.
        p: the probability of 0, in [0, 1). Drawn from minisk's generator (`ms.manual_seed`).
        training: whether to change anything.

    Raises:
        ArgumentError: if p is not in [0, 1).
        DtypeError: if x is not a floating Tensor.
    """
    (x,) = floating_operands("dropout", x=x)
    require_numbers("dropout", p=p, below=1)
    if not training or p == 0:
        return x
    mask = random_generator(device_of(x.data)).random(x.shape) >= p
    return Masked.apply(x, mask=mask) / (1 - p)
