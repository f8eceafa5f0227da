"""SKNet and its siblings; each function makes a new network with random weights."""

from collections.abc import Callable

from ..errors import MiniskError
from .sknet import ResidualNet, resnext29, resnext50, resnext101, sknet26, sknet29, sknet50, sknet101, sknet_small

Maker = Callable[..., ResidualNet]
_CIFAR: dict[str, Maker] = {make.__name__: make for make in (resnext29, sknet29, sknet_small)}
_IMAGENET: dict[str, Maker] = {make.__name__: make for make in (resnext50, resnext101, sknet26, sknet50, sknet101)}
NAMES = tuple(sorted([*_CIFAR, *_IMAGENET]))


def create(name: str, num_classes: int | None = None) -> ResidualNet:
    """Make the model of this name, with its own number of classes by default. Raises MiniskError if there is none."""
    makers = {**_CIFAR, **_IMAGENET}
    if name not in makers:
        raise MiniskError(f"model {name!r} is not known: expected one of {', '.join(NAMES)}")
    return makers[name]() if num_classes is None else makers[name](num_classes=num_classes)


def input_size(name: str) -> int:
    """Height and width, in pixels, of the images this model is meant for."""
    return 32 if name in _CIFAR else 224


__all__ = [
    "NAMES", "ResidualNet", "create", "input_size", "resnext29", "resnext50", "resnext101", "sknet26", "sknet29",
    "sknet50", "sknet101", "sknet_small",
]  # fmt: skip
