"""Evaluation of a model on a data set: totals, confusion matrix and mistakes, as numbers and pictures."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..analysis.figures import draw_confusion, draw_mistakes
from ..data import Dataset, Loader
from ..errors import MiniskError, ShapeError
from ..nn import Module, evaluation_mode
from ..serialization import atomic_write
from .answers import Answers, KeptAnswers, answers, key_of
from .metrics import log_probabilities

log = logging.getLogger("minisk")

_SHOWN = 24  # mistakes in the picture
_TOP = 5


class Mistake(NamedTuple):
    """An image given a wrong class: its position in the data set, and the probability of that class (0 … 1)."""

    position: int
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Evaluation:
    """Mean cross entropy (nats), accuracies (percent), confusion int64 (true, predicted); mistakes, sorted.

    top5: an image counts as right if its class is one of the five most probable.
    broken: for the position of each image that could not be read, why. It counts nowhere.
    """

    loss: float
    accuracy: float
    top5: float
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    mistakes: list[Mistake]
    broken: dict[int, str]

    def class_rows(self) -> list[dict[str, Any]]:
        """Return the class name, images, and accuracy (percent; None without images) of each class."""
        rows = []
        for label, name in enumerate(self.classes):
            images, correct = int(self.confusion[label].sum()), int(self.confusion[label, label])
            rows.append({"class": name, "images": images, "accuracy": 100 * correct / images if images else None})
        return rows

    def as_json(self) -> dict[str, Any]:
        """Return numbers, lists and names only; the accuracy of a class without images is null."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "top5": self.top5,
            "images": int(self.confusion.sum()),
            "classes": self.class_rows(),
            "confusion": self.confusion.tolist(),
            "mistakes": [mistake._asdict() for mistake in self.mistakes[:_SHOWN]],
        }


def measure(
    model: Module,
    dataset: Dataset,
    normalization: dict[str, Any],
    batch_size: int | None = None,
    *,
    workers: int = 0,
    max_broken: int = 0,
    keep: str | Path | None = None,
    resume: bool = False,
) -> Evaluation:
    """Run every image through the model once, in evaluation mode, on the model's device.

    Args:
        model: maps normalised images (N, 3, H, W) to logits (N, K).
        dataset: images of K classes.
        normalization: the training set's `mean` and `std`, three numbers each, in 0 … 1.
        batch_size: images per forward pass; by default 256, and 64 photographs.
        workers: processes that decode photographs.
        max_broken: images that may be left out because they can't be read.
        keep: a file for the answers so far, written every half minute and at the end.
        resume: take over the answers in that file, if they are to the same images with the same weights.

    Raises:
        DataError: more images can't be read.
        MiniskError: an output is not a number.
        ShapeError: the model and the data set have different numbers of classes.
    """
    batch_size, k = batch_size or dataset.images_at_once, len(dataset.classes)
    key = key_of(model, dataset, normalization, batch_size) if keep else ""
    kept = KeptAnswers(Path(keep) if keep else None, key)
    if resume:
        kept.restore()
    batches = Loader(dataset, batch_size, **normalization, workers=workers, max_broken=max_broken)
    with evaluation_mode(model):
        try:
            for images, labels in batches.epoch(0, kept.batches):
                log_p = log_probabilities(model, images)
                if log_p.shape[1] != k:
                    raise ShapeError(f"measure: the model has {log_p.shape[1]} classes, but {dataset.name} has {k}")
                kept.add(answers(log_p, labels), batches.broken)
        finally:
            kept.write()
    return _evaluation(kept.all(), dataset, kept.broken)


def _evaluation(found: Answers, dataset: Dataset, broken: dict[int, str]) -> Evaluation:
    """Return totals, confusion and mistakes of the answers to all images but the broken ones."""
    classes, k = dataset.classes, len(dataset.classes)
    positions = np.setdiff1d(np.arange(len(dataset)), list(broken))
    confusion = np.bincount(found.label * k + found.predicted, minlength=k * k).reshape(k, k)
    wrong = np.flatnonzero(found.predicted != found.label)
    mistakes = [
        Mistake(
            int(positions[i]),
            classes[found.label[i]],
            classes[found.predicted[i]],
            float(np.exp(found.confidence[i])),
        )
        for i in wrong[np.argsort(-found.confidence[wrong], kind="stable")]
    ]
    accuracy = 100 * float((found.predicted == found.label).mean())
    top5 = 100 * float((found.rank < _TOP).mean())
    return Evaluation(-float(found.of_label.mean()), accuracy, top5, classes, confusion, mistakes, broken)


def report_run(
    model: Module, dataset: Dataset, normalization: dict[str, Any], out: str | Path, **options: Any
) -> Evaluation:
    """Measure the model, and write evaluation.json, confusion.png and mistakes.png to the folder `out`.

    Without matplotlib the pictures are left out, which is logged. The other arguments are those of `measure`.
    Raises MiniskError, OSError.
    """
    folder = Path(out)
    result = measure(model, dataset, normalization, **options)
    worst = result.mistakes[:_SHOWN]
    atomic_write(folder / "evaluation.json", json.dumps(result.as_json(), indent=1).encode())
    title = (
        f"The most confident of {len(result.mistakes):,} mistakes in {len(dataset):,} images"
        if worst
        else "No mistakes"
    )
    images, _ = dataset.fetch([mistake.position for mistake in worst])
    pictures = [(image, m.true, m.predicted, m.probability) for image, m in zip(images, worst, strict=True)]
    try:
        draw_confusion(result.confusion, result.classes, folder / "confusion.png", dataset.name)
        draw_mistakes(pictures, folder / "mistakes.png", title)
    except MiniskError as error:
        log.warning("%s", error)
    return result
