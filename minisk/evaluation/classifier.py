"""A network asked: about image files, each brought to the form it was trained on, and about a data set, in one pass.

Training asks for loss and accuracy after each epoch; its end and `minisk evaluate` write the whole report, numbers and
pictures of the errors.

Weights and images may come from strangers: nothing in either is executed, and whatever is wrong is one sentence.
"""

import json
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .. import models, ops
from ..analysis.figures import draw_confusion, draw_mistakes
from ..autograd import Tensor, no_grad
from ..backend import cuda_available, parse_device
from ..data import Batch, ImageDataset, Loader, normalize
from ..errors import CheckpointError, MiniskError, ShapeError
from ..nn import Module
from ..nn.module import evaluation_mode
from ..serialization import atomic_write, load_checkpoint, weights_of

log = logging.getLogger("minisk")

_SHOWN = 24  # mistakes in the picture


@dataclass(frozen=True)
class Classifier:
    """A model in evaluation mode, and what it was trained on: classes, mean and std (in 0 … 1), input size (pixels)."""

    model: Module
    classes: tuple[str, ...]
    normalization: dict[str, list[float]]
    size: int
    dataset: str

    def top(self, image: Any, count: int = 5) -> list[tuple[str, float]]:
        """Return the likeliest classes of a Pillow image (RGB, any size) with their probabilities, likeliest first.

        What is seen is the largest square in the image's centre. Raises MiniskError.
        """
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side)).resize([self.size] * 2, Image.Resampling.LANCZOS)
        pixels = np.asarray(square).transpose(2, 0, 1)[np.newaxis]
        probability = np.exp(log_probabilities(self.model, normalize(pixels, **self.normalization))[0])
        best = np.argsort(-probability, kind="stable")[:count]
        return [(self.classes[i], float(probability[i])) for i in best]


def load_classifier(path: str | Path, device: str = "auto") -> Classifier:
    """Load a checkpoint written by training, with the averaged weights if it has them, as they are what was tested.

    path: a file, or the name of one of models.TRAINED.

    Raises CheckpointError if it is missing, damaged or incomplete; DeviceError.
    """
    arrays, about = load_checkpoint(models.TRAINED.get(str(path), path))
    try:
        config, classes = about["config"], tuple(map(str, about["classes"]))
        normalization = {name: [float(value) for value in about["normalization"][name]] for name in ("mean", "std")}
        size, dataset = models.input_size(config["model"]), str(config["dataset"])
        model = models.create(config["model"], len(classes)).eval()
        model.load_state_dict(weights_of(arrays, "average") or weights_of(arrays))
    except MiniskError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from None
    # Whoever wrote the file chose what its header holds: lists for numbers, a thousand brackets, nothing at all.
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {path} has a damaged description: {error!r}") from error
    mean, std = normalization.values()
    if not (len(mean) == len(std) == 3 and min(std) > 0 and all(map(math.isfinite, mean + std))):
        raise CheckpointError(f"checkpoint {path} has normalization {normalization}, expected 3 numbers, std above 0")
    return Classifier(model.to(resolve_device(device)), classes, normalization, size, dataset)


def resolve_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is one, else "cpu". Raises DeviceError for a device that is not there."""
    chosen = ("cuda" if cuda_available() else "cpu") if device == "auto" else device
    parse_device(chosen)
    return chosen


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
