"""Dropout."""

from .. import ops
from ..autograd import Tensor
from ..errors import require_numbers
from .module import Module


class Dropout(Module):
    """In training, set each element to 0 with probability p and scale the others by 1 / (1 - p).

    In evaluation, return the input. Source: Srivastava et al., *Dropout*, 2014.

    Raises:
        ArgumentError: p is not in [0, 1).
    """

    def __init__(self, p: float = 0.5) -> None:
        require_numbers("Dropout", below=1, p=p)
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.p, self.training)
