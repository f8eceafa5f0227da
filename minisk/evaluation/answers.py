"""The answers of a network image by image, kept in a file so that an evaluation that was ended can go on."""

import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..data import Dataset
from ..errors import CheckpointError, MiniskError
from ..nn import Module
from ..serialization import load_checkpoint, save_checkpoint

log = logging.getLogger("minisk")

_SECONDS = 30.0  # between two writes


class Answers(NamedTuple):
    """What evaluation needs to know of n images.

    label, predicted: class numbers, int64 (n,). confidence: log-probability of the predicted class, float64 (n,).
    of_label: log-probability of the right class, float64 (n,). rank: how many classes are more probable, int64 (n,).
    """

    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confidence: NDArray[np.float64]
    of_label: NDArray[np.float64]
    rank: NDArray[np.int64]


def answers(log_p: NDArray[Any], labels: NDArray[np.int64]) -> Answers:
    """Return the answers in log-probabilities (n, classes), with the right labels (n,)."""
    rows, predicted = np.arange(len(labels)), log_p.argmax(axis=1)
    of_label = log_p[rows, labels]
    rank = (log_p > of_label[:, np.newaxis]).sum(axis=1)
    return Answers(labels, predicted, log_p[rows, predicted].astype(np.float64), of_label.astype(np.float64), rank)


class KeptAnswers:
    """The answers to the first `batches` batches; with a path, they are written every half minute.

    Args:
        path: the file, or None.
        key: names the network, its weights and the images: answers of others are not taken over.
    """

    def __init__(self, path: Path | None, key: str) -> None:
        self.path, self.key = path, key
        self.batches = 0
        self.broken: dict[int, str] = {}
        self._parts: list[Answers] = []
        self._written = time.monotonic()

    def restore(self) -> None:
        """Take over the answers in the file. Logs a warning, and takes none, if it is damaged or of others."""
        if self.path is None or not self.path.exists():
            return
        try:
            arrays, about = load_checkpoint(self.path)
            if about["key"] != self.key:
                log.warning("%s has answers of other weights or to other images: all are measured", self.path)
                return
            self._parts = [Answers(*(arrays[name] for name in Answers._fields))]
            self.broken = {int(index): str(reason) for index, reason in about["broken"].items()}
            self.batches = int(about["batches"])
        except (CheckpointError, LookupError, TypeError, ValueError, AttributeError) as error:
            log.warning("%s is damaged, so all images are measured: %s", self.path, error)

    def add(self, part: Answers, broken: dict[int, str]) -> None:
        """Add the answers to one more batch; broken: all images so far that could not be read."""
        self._parts.append(part)
        self.broken.update(broken)
        self.batches += 1
        if time.monotonic() - self._written > _SECONDS:
            self.write()

    def write(self) -> None:
        """Write what there is to the file, if there is one. Raises OSError, CheckpointError."""
        if self.path is None or not self._parts:
            return
        about = {"key": self.key, "batches": self.batches, "broken": self.broken}
        save_checkpoint(self.path, self.all()._asdict(), about)
        self._written = time.monotonic()

    def all(self) -> Answers:
        """Return the answers to all images so far. Raises MiniskError if there are none."""
        if not self._parts:
            raise MiniskError("evaluation: there are no images")
        return Answers(*map(np.concatenate, zip(*self._parts, strict=True)))


def key_of(model: Module, dataset: Dataset, normalization: dict[str, Any], batch_size: int) -> str:
    """Return a digest of everything that the answers depend on: weights, images, and how images are prepared."""
    view = str(getattr(dataset, "view", None))
    prepared = [dataset.name, len(dataset), dataset.checksum(), view, normalization, batch_size]
    digest = hashlib.sha256(json.dumps(prepared, default=str).encode())
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value.numpy()).data)
    return digest.hexdigest()
