"""SKNet and its siblings; each function makes a new network with random weights."""

from collections.abc import Callable
from pathlib import Path

from ..errors import MiniskError
from ..serialization import load_checkpoint, weights_of
from .attention import Bottleneck, Branch, SKConv, SKUnit
from .sknet import ResidualNet, resnext29, resnext50, resnext101, sknet26, sknet29, sknet50, sknet101, sknet_small

Maker = Callable[..., ResidualNet]
_CIFAR: dict[str, Maker] = {make.__name__: make for make in (resnext29, sknet29, sknet_small)}
_IMAGENET: dict[str, Maker] = {make.__name__: make for make in (resnext50, resnext101, sknet26, sknet50, sknet101)}
NAMES = tuple(sorted([*_CIFAR, *_IMAGENET]))
# Networks that come trained, as training wrote them: name, file.
TRAINED = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.safetensors"))}


def create(name: str, num_classes: int | None = None) -> ResidualNet:
    """Make the model of this name, with its own number of classes by default. Raises MiniskError if there is none."""
    makers = {**_CIFAR, **_IMAGENET}
    if name not in makers:
        raise MiniskError(f"model {name!r} is not known: expected one of {', '.join(NAMES)}")
    return makers[name]() if num_classes is None else makers[name](num_classes=num_classes)


def load(name: str) -> ResidualNet:
    """Return a trained network, in evaluation mode, such as "sknet_small-cifar10". Raises MiniskError if there is none.

    It takes images (N, 3, H, W) of its `input_size`, less their mean, over their standard deviation. To predict, use
    `minisk.predict.load_classifier(name)`, which knows these and the classes.
    """
    if name not in TRAINED:
        raise MiniskError(f"no trained network {name!r}: expected one of {', '.join(TRAINED)}")
    arrays, about = load_checkpoint(TRAINED[name])
    model = create(about["config"]["model"], len(about["classes"]))
    model.load_state_dict(weights_of(arrays))
    model.eval()
    return model


def input_size(name: str) -> int:
    """Height and width, in pixels, of the images this model is meant for."""
    return 32 if name in _CIFAR else 224


__all__ = [
    "NAMES",
    "TRAINED",
    "Bottleneck",
    "Branch",
    "ResidualNet",
    "SKConv",
    "SKUnit",
    "create",
    "input_size",
    "load",
    "resnext29",
    "resnext50",
    "resnext101",
    "sknet26",
    "sknet29",
    "sknet50",
    "sknet101",
    "sknet_small",
]
