"""Linear: the fully connected layer."""

import numpy as np

from .. import ops
from ..autograd import Tensor
from ..backend import DEFAULT_FLOAT
from ..errors import require_integers
from . import init
from .module import Module, Parameter


class Linear(Module):
    """x · weightᵀ + bias over the last axis, (…, in_features) → (…, out_features).

    Args:
        in_features, out_features: sizes of the last axis of input and output.
        bias: add one learned value per output.

    Attributes:
        weight: (out_features, in_features), initialised He normal.
        bias: (out_features,), initialised to zero; or None.

    Raises:
        ShapeError: a size is not an integer of at least 1.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        require_integers("Linear", in_features=in_features, out_features=out_features)
        self.weight = Parameter(np.zeros((out_features, in_features), DEFAULT_FLOAT))
        self.bias = Parameter(np.zeros(out_features, DEFAULT_FLOAT)) if bias else None
        init.kaiming_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return ops.linear(x, self.weight, self.bias)

    def macs(self, output: Tensor) -> int:
        """Return the multiply-adds: each output element reads one row of the weight."""
        return output.size * self.weight.shape[1]
