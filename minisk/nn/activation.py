"""Activation layers, and layers that compute nothing: Flatten and Identity."""

import math

from .. import ops
from ..autograd import Tensor
from .module import Module


class ReLU(Module):
    """max(x, 0), of any shape; the gradient at 0 is 0."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.relu(x)


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ), of any shape."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.sigmoid(x)


class Tanh(Module):
    """The hyperbolic tangent, of any shape."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanh(x)


class Flatten(Module):
    """All axes but the first in one, (N, …) → (N, product of the others)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], math.prod(x.shape[1:]))


class Identity(Module):
    """The input, unchanged."""

    def forward(self, x: Tensor) -> Tensor:
        return x
