"""Loss and accuracy of a model over batches."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import ops
from ..autograd import Tensor, no_grad
from ..backend import cuda_available, parse_device
from ..data import Batch
from ..errors import MiniskError
from ..nn import Module, evaluation_mode


def resolve_device(device: str) -> str:
    """Return "cuda" or "cpu" for "auto", whichever is available. Raises DeviceError for an unavailable device."""
    chosen = ("cuda" if cuda_available() else "cpu") if device == "auto" else device
    parse_device(chosen)
    return chosen


@dataclass
class RunningMean:
    """Mean loss (nats) and accuracy (percent) over the images seen so far, kept as sums."""

    images: int = 0
    correct: int = 0
    total_loss: float = 0.0

    def add(self, images: int, loss: float, correct: float) -> None:
        """Add a batch: its number of images, their mean loss, and how many were classified correctly."""
        self.images += images
        self.total_loss += loss * images
        self.correct += int(correct)

    @property
    def loss(self) -> float:
        """Mean loss, in nats."""
        return self.total_loss / max(1, self.images)

    @property
    def accuracy(self) -> float:
        """Correctly classified images, in percent."""
        return 100.0 * self.correct / max(1, self.images)


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many rows of logits (N, K) are largest at the label; labels: (N,), or shares of each class (N, K)."""
    if labels.ndim == 2:  # a mixed image counts as its larger share
        labels = labels.argmax(axis=1)
    return (logits.argmax(axis=1) == labels).sum()


def read_together(numbers: Sequence[Tensor]) -> list[float]:
    """Return the values of Tensors of shape (), with a single synchronisation of a GPU."""
    values: list[float] = ops.stack([ops.cast(number.detach(), "float64") for number in numbers]).numpy().tolist()
    return values


def evaluate(model: Module, batches: Iterable[Batch], device: str = "cpu") -> tuple[float, float]:
    """Return the mean cross entropy (nats) and the accuracy (percent) over all batches, in evaluation mode."""
    mean = RunningMean()
    for measured in batch_metrics(model, batches, device):
        mean.add(*measured)
    return mean.loss, mean.accuracy


def batch_metrics(
    model: Module, batches: Iterable[Batch], device: str = "cpu"
) -> Generator[tuple[int, float, float], None, None]:
    """Yield the number of images, their mean cross entropy and how many are right of each batch, in evaluation mode."""
    with evaluation_mode(model), no_grad():
        for images, labels in batches:
            x, y = Tensor(images).to(device), Tensor(labels).to(device)
            logits = model(x)
            loss, correct = read_together([ops.cross_entropy(logits, y), count_correct(logits, y)])
            yield len(labels), loss, correct


def log_probabilities(model: Module, images: NDArray[Any]) -> NDArray[Any]:
    """Return log p (N, classes) for normalised images (N, 3, H, W). Raises MiniskError if one is not a number."""
    device = next(model.parameters()).device
    with no_grad(), np.errstate(all="ignore"):  # an overflow is reported below
        out = ops.log_softmax(model(Tensor(images).to(device)), axis=1).to("cpu").numpy()
    if np.isnan(out).any():
        raise MiniskError("the network's outputs are not numbers: its weights are damaged")
    return out
