"""Network: the base of every model in the registry; what it returns in training, and a check of its images."""

from typing import NamedTuple

from .. import ops
from ..autograd import Tensor
from ..errors import ShapeError
from ..nn import Linear, Module


class Network(Module):
    """A network for classification, (N, 3, H, W) → (N, num_classes) logits.

    Attributes:
        classifier: the last layer, features → num_classes.
    """

    classifier: Linear


class AuxiliaryOutputs(NamedTuple):
    """What a network with an auxiliary classifier returns in training mode.

    logits, auxiliary_logits: (N, num_classes).
    auxiliary_weight: of the auxiliary classifier's loss.
    """

    logits: Tensor
    auxiliary_logits: Tensor
    auxiliary_weight: float


Outputs = Tensor | AuxiliaryOutputs


def classification_loss(outputs: Outputs, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross entropy, in nats, plus the weighted cross entropy of an auxiliary classifier.

    Args:
        outputs: what a Network returned.
        labels, label_smoothing: as of `ops.cross_entropy`.
    """
    loss = ops.cross_entropy(logits_of(outputs), labels, label_smoothing)
    if isinstance(outputs, AuxiliaryOutputs):
        auxiliary = ops.cross_entropy(outputs.auxiliary_logits, labels, label_smoothing)
        loss = loss + auxiliary * outputs.auxiliary_weight
    return loss


def logits_of(outputs: Outputs) -> Tensor:
    """Return the logits of the main classifier, (N, num_classes), from what a Network returned."""
    return outputs.logits if isinstance(outputs, AuxiliaryOutputs) else outputs


def check_images(model: str, x: Tensor, smallest: int) -> None:
    """Raise ShapeError, which names the model, unless x is (N, 3, H, W) with H and W of at least `smallest` pixels."""
    if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < smallest:
        expected = f"(N, 3, H, W) with H and W of at least {smallest}"
        raise ShapeError(f"{model}: the images are {x.shape}, expected {expected}")
