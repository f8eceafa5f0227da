"""Activation layers."""

from .. import ops
from ..autograd import Tensor
from .module import Module


class ReLU(Module):
    """max(x, 0), of any shape; the gradient at 0 is 0."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)
