"""What a model gets right and wrong over a data set, from one pass: numbers, and pictures of the errors.

Training asks for loss and accuracy after each epoch; its end and `minisk evaluate` write the whole report.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import ops
from .checkpoint import atomic_write
from .data import Batch, ImageDataset, Loader
from .errors import MiniskError, ShapeError
from .function import no_grad
from .nn import Module
from .nn.module import evaluation_mode
from .pictures import draw_confusion, draw_mistakes
from .tensor import Tensor

log = logging.getLogger("minisk")

_SHOWN = 24  # mistakes in the picture


@dataclass
class Average:
    """Mean loss (nats) and accuracy (percent) over the images seen so far, kept as sums."""

    images: int = 0
    correct: int = 0
    total_loss: float = 0.0

    def add(self, images: int, loss: float, correct: float) -> None:
        """Count a batch: how many images, their mean loss, and how many of them were told right."""
        self.images += images
        self.total_loss += loss * images
        self.correct += int(correct)

    @property
    def loss(self) -> float:
        return self.total_loss / max(1, self.images)

    @property
    def accuracy(self) -> float:
        return 100.0 * self.correct / max(1, self.images)


def count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many logits (N, K) are largest at the label; labels: (N,), or a share of each class (N, K)."""
    if labels.ndim == 2:  # of mixed images, the larger share is called right
        labels = labels.argmax(axis=1)
    return (logits.argmax(axis=1) == labels).sum()


def read_together(numbers: Sequence[Tensor]) -> list[float]:
    """Return the values of Tensors of shape (); for all of them, a GPU is waited for once."""
    values: list[float] = ops.stack([ops.cast(number.detach(), "float64") for number in numbers]).numpy().tolist()
    return values


def evaluate(model: Module, batches: Iterable[Batch], device: str = "cpu") -> tuple[float, float]:
    """Return the mean cross entropy (nats) and the accuracy (percent) over all batches, in evaluation mode."""
    average = Average()
    with evaluation_mode(model), no_grad():
        for images, labels in batches:
            x, y = Tensor(images).to(device), Tensor(labels).to(device)
            logits = model(x)
            average.add(len(labels), *read_together([ops.cross_entropy(logits, y), count_correct(logits, y)]))
    return average.loss, average.accuracy


class Mistake(NamedTuple):
    """An image given a wrong class: its position in the data set, and the probability of that class (0 … 1)."""

    position: int
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Evaluation:
    """Mean cross entropy (nats), accuracy (percent), confusion int64 (true, predicted), and mistakes, surest first."""

    loss: float
    accuracy: float
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    mistakes: list[Mistake]

    def as_json(self) -> dict[str, Any]:
        """Return numbers, lists and names only; the accuracy of a class without images is null."""
        totals, right = self.confusion.sum(axis=1).tolist(), self.confusion.diagonal().tolist()
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "images": sum(totals),
            "classes": [
                {"class": name, "images": n, "accuracy": 100 * hits / n if n else None}
                for name, n, hits in zip(self.classes, totals, right, strict=True)
            ],
            "confusion": self.confusion.tolist(),
            "mistakes": [mistake._asdict() for mistake in self.mistakes[:_SHOWN]],
        }


def measure(model: Module, dataset: ImageDataset, normalization: dict[str, Any], batch_size: int = 256) -> Evaluation:
    """Run every image through the model once, in evaluation mode, on the model's device.

    normalization: the training set's `mean` and `std`, three numbers each, in 0 … 1. Raises MiniskError if an output
    is not a number, ShapeError if the model tells apart another number of classes than the data set has.
    """
    batches = Loader(dataset, batch_size, **normalization)
    with evaluation_mode(model):
        log_p = np.concatenate([log_probabilities(model, images) for images, _ in batches])
    k, labels = len(dataset.classes), dataset.labels
    if log_p.shape[1] != k:
        raise ShapeError(f"measure: the model tells apart {log_p.shape[1]} classes, but {dataset.name} has {k}")
    predicted = log_p.argmax(axis=1)
    confusion = np.bincount(labels * k + predicted, minlength=k * k).reshape(k, k)
    confidence = log_p[np.arange(len(labels)), predicted]
    wrong = np.flatnonzero(predicted != labels)
    mistakes = [
        Mistake(int(i), dataset.classes[labels[i]], dataset.classes[predicted[i]], float(np.exp(confidence[i])))
        for i in wrong[np.argsort(-confidence[wrong], kind="stable")]
    ]
    loss = -float(log_p[np.arange(len(labels)), labels].mean(dtype=np.float64))
    return Evaluation(loss, 100 * float((predicted == labels).mean()), dataset.classes, confusion, mistakes)


def report_run(model: Module, dataset: ImageDataset, normalization: dict[str, Any], out: str | Path) -> Evaluation:
    """Measure, and write evaluation.json, confusion.png and mistakes.png to the folder.

    Without matplotlib the pictures are left out, and the log says so. Raises MiniskError, OSError.
    """
    result = measure(model, dataset, normalization)
    folder, worst = Path(out), result.mistakes[:_SHOWN]
    atomic_write(folder / "evaluation.json", json.dumps(result.as_json(), indent=1).encode())
    title = f"The surest of {len(result.mistakes):,} mistakes in {len(dataset):,} images" if worst else "No mistakes"
    pictures = [(dataset.images[m.position], m.true, m.predicted, m.probability) for m in worst]
    try:
        draw_confusion(result.confusion, result.classes, folder / "confusion.png")
        draw_mistakes(pictures, folder / "mistakes.png", title)
    except MiniskError as error:
        log.warning("%s", error)
    return result


def log_probabilities(model: Module, images: NDArray[Any]) -> NDArray[Any]:
    """Return log p (N, classes) for normalised images (N, 3, H, W). Raises MiniskError if one is not a number."""
    device = next(model.parameters()).device
    with no_grad(), np.errstate(all="ignore"):  # what overflows on the way is reported below
        out = ops.log_softmax(model(Tensor(images).to(device)), axis=1).to("cpu").numpy()
    if np.isnan(out).any():
        raise MiniskError("the network's outputs are not numbers: its weights are damaged")
    return out
