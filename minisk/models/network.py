"""Network: the base of every model in the registry, and a check of its images."""

from ..autograd import Tensor
from ..errors import ShapeError
from ..nn import Linear, Module


class Network(Module):
    """A network for classification, (N, 3, H, W) → (N, num_classes) logits.

    Attributes:
        classifier: the last layer, features → num_classes.
    """

    classifier: Linear


def check_images(model: str, x: Tensor, smallest: int) -> None:
    """Raise ShapeError, which names the model, unless x is (N, 3, H, W) with H and W of at least `smallest` pixels."""
    if x.ndim != 4 or x.shape[1] != 3 or min(x.shape[2:]) < smallest:
        expected = f"(N, 3, H, W) with H and W of at least {smallest}"
        raise ShapeError(f"{model}: the images are {x.shape}, expected {expected}")
