"""The norm of a gradient, clipping, and a moving average of weights."""

import contextlib
import math
from collections.abc import Iterable, Iterator

import numpy as np

from ..autograd.tensor import Tensor
from ..backend import Array, array_module
from ..nn import Module


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """Return the Euclidean norm of all gradients together, a float64 Tensor of shape ()."""
    gradients = [parameter.grad.data for parameter in parameters if parameter.grad is not None]
    if not gradients:
        return Tensor(np.zeros(()))
    xp = array_module(gradients[0])
    squares = xp.stack([xp.vdot(gradient, gradient) for gradient in gradients])
    return Tensor(xp.asarray(xp.sqrt(squares.astype(np.float64).sum())))


def clip_gradients(parameters: Iterable[Tensor], norm: float, max_norm: float) -> None:
    """Shorten all gradients in place so that their norm, now `norm`, is at most max_norm.

    max_norm 0 leaves them as they are; so does a norm that is not finite. Source: Pascanu et al., 2013.
    """
    if max_norm and max_norm < norm < math.inf:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.data[...] *= max_norm / norm
                parameter.grad.mark_written()


class WeightAverage:
    """An exponential moving average of a model's weights and running statistics.

    average ← d · average + (1 - d) · weights      d = min(decay, (1 + updates) / (10 + updates))

    The smaller share at first lets the average forget the initial weights. Source: TensorFlow's
    ExponentialMovingAverage with num_updates; Polyak and Juditsky, 1992.
    """

    def __init__(self, model: Module, decay: float) -> None:
        self.model, self.decay, self.updates = model, decay, 0
        self.arrays: dict[str, Array] = {name: value.data.copy() for name, value in model.state_dict().items()}

    def update(self) -> None:
        """Move towards the weights as they are now."""
        kept = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in self.model.state_dict().items():
            self.arrays[name] += (1 - kept) * (value.data - self.arrays[name])

    def load(self, arrays: dict[str, Array], updates: int) -> None:
        """Take over a saved average of the same model."""
        for name, own in self.arrays.items():
            own[...] = array_module(own).asarray(arrays[name])
        self.updates = updates

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the model's place, and the weights back afterwards."""
        weights = {name: value.data.copy() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.arrays)
        try:
            yield
        finally:
            self.model.load_state_dict(weights)
