"""Measuring a model, and getting it back from a checkpoint."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import models, ops
from ..checkpoint import load_checkpoint
from ..data import Batch, ImageDataset
from ..device import Array, cuda_available, parse_device
from ..errors import CheckpointError
from ..function import no_grad
from ..nn import Module
from ..nn.module import evaluation_mode
from ..tensor import Tensor


@dataclass
class Average:
    """Mean loss (nats) and accuracy (percent) over the images seen so far, kept as sums."""

    images: int = 0
    correct: int = 0
    total_loss: float = 0.0

    def add(self, loss: float, logits: Tensor, labels: Tensor) -> None:
        """Count a batch: its mean loss, logits (N, K) and labels, (N,) or a share per class (N, K)."""
        if labels.ndim == 2:  # of mixed images, the larger share is called right
            labels = labels.argmax(axis=1)
        self.images += len(labels.data)
        self.total_loss += loss * len(labels.data)
        self.correct += int((logits.argmax(axis=1) == labels).sum().item())

    @property
    def loss(self) -> float:
        return self.total_loss / max(1, self.images)

    @property
    def accuracy(self) -> float:
        return 100.0 * self.correct / max(1, self.images)


def resolve_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is one, else "cpu". Raises DeviceError for a device that is not there."""
    chosen = ("cuda" if cuda_available() else "cpu") if device == "auto" else device
    parse_device(chosen)
    return chosen


def evaluate(model: Module, batches: Iterable[Batch], device: str = "cpu") -> tuple[float, float]:
    """Return the mean cross entropy (nats) and the accuracy (percent) over all batches, in evaluation mode."""
    average = Average()
    with evaluation_mode(model), no_grad():
        for images, labels in batches:
            x, y = Tensor(images).to(device), Tensor(labels).to(device)
            logits = model(x)
            average.add(ops.cross_entropy(logits, y).item(), logits, y)
    return average.loss, average.accuracy


def weights_of(arrays: dict[str, Array], kind: str = "model") -> dict[str, Array]:
    """Pick arrays of one kind ("model": weights, "average": their moving average) under the model's own names."""
    return {name.removeprefix(f"{kind}."): array for name, array in arrays.items() if name.startswith(f"{kind}.")}


def load_model(path: str | Path) -> tuple[Module, dict[str, Any]]:
    """Rebuild the model of a checkpoint, with the averaged weights if it has them, as they are what was tested.

    Returns it, in evaluation mode, and the checkpoint's description. Raises CheckpointError.
    """
    arrays, about = load_checkpoint(path)
    lacking = [name for name in ("config", "classes", "normalization") if name not in about]
    if lacking:
        raise CheckpointError(f"checkpoint {path} does not say its {', '.join(lacking)}")
    model = models.create(about["config"]["model"], len(about["classes"]))
    try:
        model.load_state_dict(weights_of(arrays, "average") or weights_of(arrays))
    except CheckpointError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from None
    return model.eval(), about


def check_classes(path: str | Path, classes: Sequence[str], dataset: ImageDataset) -> None:
    """Raise CheckpointError unless the classes of a checkpoint are those of a data set, in their order."""
    if tuple(classes) != dataset.classes:
        found = f"{dataset.name} has {len(dataset.classes)} ({dataset.classes[0]}, …)"
        raise CheckpointError(f"checkpoint {path} tells apart {len(classes)} classes ({classes[0]}, …), but {found}")
