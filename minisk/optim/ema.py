"""An exponential moving average of a model's weights, to evaluate instead of the weights themselves.

    average ← d · average + (1 - d) · weights      d = min(decay, (1 + updates) / (10 + updates))

The smaller d of the first updates removes the initial weights from the average.
Source: Polyak and Juditsky, 1992; TensorFlow's ExponentialMovingAverage with num_updates.
"""

import contextlib
from collections.abc import Iterator

from ..backend import Array, array_module
from ..errors import ArgumentError, require_numbers
from ..nn import Module


class WeightAverage:
    """The moving average of a model's parameters and running statistics.

    Args:
        model: its values are read at each update.
        decay: the largest d, in [0, 1].

    Attributes:
        arrays: the average of each entry of the model's state dict, by name.
        updates: number of updates so far.

    Raises:
        ArgumentError: model is not a Module, or decay is out of range.
    """

    def __init__(self, model: Module, decay: float) -> None:
        if not isinstance(model, Module):
            raise ArgumentError(f"WeightAverage: model is a {type(model).__name__}, expected a Module")
        require_numbers("WeightAverage", at_most=1, decay=decay)
        self.model = model
        self.decay = decay
        self.updates = 0
        self.arrays: dict[str, Array] = {name: value.data.copy() for name, value in model.state_dict().items()}

    def update(self) -> None:
        """Include the model's present values in the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        for name, value in self.model.state_dict().items():
            self.arrays[name] += (1 - decay) * (value.data - self.arrays[name])

    def load(self, arrays: dict[str, Array], updates: int) -> None:
        """Copy a saved average of the same model into this one.

        Args:
            arrays: by name, in the shapes of `self.arrays`, on any device.
            updates: the number of updates that they result from.
        """
        for name, own in self.arrays.items():
            own[...] = array_module(own).asarray(arrays[name])
        self.updates = updates

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Load the average into the model inside the block, and restore the weights afterwards."""
        weights = {name: value.data.copy() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.arrays)
        try:
            yield
        finally:
            self.model.load_state_dict(weights)
