"""The registry: every model by name, with its input size, classes, source and published figures.

To add a model, write a function that returns it, and add a ModelInfo to the table.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..errors import MiniskError
from .residual import ResidualNet
from .resnext import resnext29, resnext50, resnext101
from .sknet import sknet26, sknet29, sknet50, sknet101, sknet_small


@dataclass(frozen=True)
class Published:
    """Figures of the paper; None or missing where it gives none.

    Args:
        parameters: millions, rounded as in the paper.
        gmacs: billions of multiply-adds per image.
        errors: top-1 error in percent, by data set and test size in pixels.
    """

    parameters: float | None = None
    gmacs: float | None = None
    errors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model.

    Args:
        make: make(num_classes=…) returns a new network with random weights.
        input_size: height and width of its images, in pixels.
        num_classes: of the data set that it was designed for, the default of make.
        source: paper and table.
        published: figures of that paper.
        normalization: `mean` and `std` of each channel, in 0 … 1; None if they are those of the training set.
    """

    make: Callable[..., ResidualNet]
    input_size: int
    num_classes: int
    source: str
    published: Published = Published()
    normalization: Mapping[str, tuple[float, float, float]] | None = None

    @property
    def name(self) -> str:
        return self.make.__name__


_SKNET = "Li et al., Selective Kernel Networks, CVPR 2019"
_RESNEXT = "Xie et al., Aggregated Residual Transformations, CVPR 2017"


def _imagenet_errors(at_224: float, at_320: float) -> Mapping[str, float]:
    return {"ImageNet 224": at_224, "ImageNet 320": at_320}


_MODELS = (
    ModelInfo(resnext29, 32, 10, f"{_RESNEXT}, 16×32d; {_SKNET}, table 4"),
    ModelInfo(
        resnext50,
        224,
        1000,
        f"{_RESNEXT}, 32×4d; {_SKNET}, tables 1 and 2",
        Published(25.0, 4.24, _imagenet_errors(22.23, 21.05)),
    ),
    ModelInfo(
        resnext101,
        224,
        1000,
        f"{_RESNEXT}, 32×4d; {_SKNET}, table 2",
        Published(44.3, 7.99, _imagenet_errors(21.11, 19.86)),
    ),
    ModelInfo(sknet26, 224, 1000, f"{_SKNET}; units 2, 2, 2, 2 from third-party notes of the paper"),
    ModelInfo(sknet29, 32, 10, f"{_SKNET}, table 4", Published(27.7, None, {"CIFAR-10": 3.47, "CIFAR-100": 17.33})),
    ModelInfo(sknet50, 224, 1000, f"{_SKNET}, tables 1 and 2", Published(27.5, 4.47, _imagenet_errors(20.79, 19.32))),
    ModelInfo(sknet101, 224, 1000, f"{_SKNET}, table 2", Published(48.9, 8.46, _imagenet_errors(20.19, 18.40))),
    ModelInfo(sknet_small, 32, 10, f"minisk's own, after {_SKNET}"),
)
MODELS: Mapping[str, ModelInfo] = {model.name: model for model in sorted(_MODELS, key=lambda model: model.name)}
NAMES = tuple(MODELS)


def info(name: str) -> ModelInfo:
    """Return what is known of the model with this name. Raises MiniskError if there is none."""
    if name not in MODELS:
        raise MiniskError(f"model {name!r} is not known: expected one of {', '.join(NAMES)}")
    return MODELS[name]


def create(name: str, num_classes: int | None = None) -> ResidualNet:
    """Return a new network with random weights.

    Args:
        name: one of NAMES.
        num_classes: default: those of the data set that the model was designed for.

    Raises:
        MiniskError: there is no such model.
    """
    model = info(name)
    return model.make(num_classes=model.num_classes if num_classes is None else num_classes)


def input_size(name: str) -> int:
    """Return the height and width, in pixels, of this model's images. Raises MiniskError if there is no such model."""
    return info(name).input_size
