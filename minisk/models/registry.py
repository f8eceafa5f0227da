"""The registry: every model by name, with its input size, classes, source and published figures.

To add a model, write a function that returns it, and add a ModelInfo to the table.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import MiniskError, require_integers
from .block_attention import (
    resnet50_bam,
    resnet50_cbam,
    resnext29_bam,
    resnext29_cbam,
    resnext50_bam,
    resnext50_cbam,
    resnext101_bam,
    resnext101_cbam,
)
from .dpn import dpn92, dpn98
from .inceptionresnetv2 import inception_resnet_v2
from .inceptionv3 import inception_v3
from .inceptionv4 import inception_v4
from .network import Network
from .published import TABLE_2, Published
from .residual_attention import SMALLEST_SIZE, attention56, attention92, attentionnext56
from .resnext import resnext29, resnext50, resnext101
from .senet import seresnext29, seresnext50, seresnext101
from .sknet import sknet26, sknet29, sknet50, sknet101, sknet_small
from .skresnet import skresnet18, skresnet34
from .small import small_bam, small_cbam, small_plain, small_se


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model.

    Args:
        make: make(num_classes=…) returns a new network with random weights.
        input_size: height and width of its images, in pixels.
        num_classes: of the data set that it was designed for, the default of make.
        source: paper, with the table or the variant.
        published: figures of that paper.
        normalization: `mean` and `std` of each channel, in 0 … 1 and in `channel_order`; None if they are those of the
            training set.
        channel_order: of the images that published weights expect: "RGB" or "BGR".
        smallest_size: least height and width, in pixels, of images that the network can be trained on.
    """

    make: Callable[..., Network]
    input_size: int
    num_classes: int
    source: str
    published: Published = field(default_factory=Published)
    normalization: Mapping[str, tuple[float, float, float]] | None = None
    channel_order: str = "RGB"
    smallest_size: int = 1

    @property
    def name(self) -> str:
        return self.make.__name__


_SKNET = "Li et al., Selective Kernel Networks, CVPR 2019"
_RESNEXT = "Xie et al., Aggregated Residual Transformations, CVPR 2017"
_INCEPTION_V3 = "Szegedy et al., Rethinking the Inception Architecture, CVPR 2016"
_INCEPTION_V4 = "Szegedy et al., Inception-v4, Inception-ResNet, AAAI 2017"
_SENET = "Hu et al., Squeeze-and-Excitation Networks, CVPR 2018"
_CBAM = "Woo et al., CBAM, ECCV 2018"
_BAM = "Park et al., BAM, BMVC 2018"
_ATTENTION = "Wang et al., Residual Attention Network, CVPR 2017"
_SKRESNET = "Wightman, PyTorch Image Models (timm)"
_DPN = "Chen et al., Dual Path Networks, NeurIPS 2017"

# Pixels in -1 … 1.
_AROUND_ZERO = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
# (pixel - (124, 117, 104)) · 0.0167, of pixels in 0 … 255.
_DPN_PIXELS = {"mean": (124 / 255, 117 / 255, 104 / 255), "std": (1 / (0.0167 * 255),) * 3}

# (pixel - (104, 117, 123)), blue first, of pixels in 0 … 255.
_SENET_PIXELS = {"mean": (104 / 255, 117 / 255, 123 / 255), "std": (1 / 255,) * 3}
# Mean and deviation of ImageNet, in the training script of the authors of CBAM and BAM.
_IMAGENET_PIXELS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def _table_2(make: Callable[..., Network], source: str, input_size: int = 224, **others: Any) -> ModelInfo:
    """Return the entry of an ImageNet model that is a row of table 2; others: further fields of ModelInfo."""
    return ModelInfo(make, input_size, 1000, f"{source}; {_SKNET}, table 2", TABLE_2[make.__name__], **others)


_MODELS = (
    ModelInfo(
        attention56,
        224,
        1000,
        f"{_ATTENTION}; the error is that of the authors' README",
        Published(None, None, {"ImageNet 224": 21.76}),
        smallest_size=SMALLEST_SIZE,
    ),
    _table_2(attention92, _ATTENTION, smallest_size=SMALLEST_SIZE),
    _table_2(attentionnext56, _ATTENTION, smallest_size=SMALLEST_SIZE),
    _table_2(dpn92, f"{_DPN}, table 1", normalization=_DPN_PIXELS),
    _table_2(dpn98, f"{_DPN}, table 1", normalization=_DPN_PIXELS),
    _table_2(inception_v3, _INCEPTION_V3, 299, normalization=_AROUND_ZERO, smallest_size=299),
    _table_2(inception_v4, _INCEPTION_V4, 299, normalization=_AROUND_ZERO, smallest_size=75),
    _table_2(inception_resnet_v2, _INCEPTION_V4, 299, normalization=_AROUND_ZERO, smallest_size=75),
    *[
        ModelInfo(
            make,
            224,
            1000,
            f"{paper}; the error is that of the authors' README",
            Published(parameters, None, {"ImageNet 224": error}),
            _IMAGENET_PIXELS,
        )
        for make, paper, parameters, error in ((resnet50_bam, _BAM, 25.92, 23.14), (resnet50_cbam, _CBAM, 28.09, 22.38))
    ],
    ModelInfo(resnext29, 32, 10, f"{_RESNEXT}, 16×32d; {_SKNET}, table 4"),
    _table_2(resnext50, f"{_RESNEXT}, 32×4d"),
    _table_2(resnext101, f"{_RESNEXT}, 32×4d"),
    ModelInfo(resnext29_bam, 32, 10, f"{_BAM}, on {_RESNEXT}, 16×32d"),
    _table_2(resnext50_bam, _BAM, normalization=_IMAGENET_PIXELS),
    _table_2(resnext101_bam, _BAM, normalization=_IMAGENET_PIXELS),
    ModelInfo(resnext29_cbam, 32, 10, f"{_CBAM}, on {_RESNEXT}, 16×32d"),
    _table_2(resnext50_cbam, _CBAM, normalization=_IMAGENET_PIXELS),
    _table_2(resnext101_cbam, _CBAM, normalization=_IMAGENET_PIXELS),
    ModelInfo(seresnext29, 32, 10, f"{_SENET}, on {_RESNEXT}, 16×32d"),
    _table_2(seresnext50, _SENET, normalization=_SENET_PIXELS, channel_order="BGR"),
    _table_2(seresnext101, _SENET, normalization=_SENET_PIXELS, channel_order="BGR"),
    ModelInfo(sknet26, 224, 1000, f"{_SKNET}; units 2, 2, 2, 2 from third-party notes of the paper"),
    ModelInfo(sknet29, 32, 10, f"{_SKNET}, table 4", Published(27.7, None, {"CIFAR-10": 3.47, "CIFAR-100": 17.33})),
    _table_2(sknet50, f"{_SKNET}, table 1"),
    _table_2(sknet101, "units 3, 4, 23, 3"),
    ModelInfo(sknet_small, 32, 10, f"minisk's own, after {_SKNET}"),
    ModelInfo(skresnet18, 224, 1000, f"{_SKRESNET}, after {_SKNET}", normalization=_IMAGENET_PIXELS),
    ModelInfo(skresnet34, 224, 1000, f"{_SKRESNET}, after {_SKNET}", normalization=_IMAGENET_PIXELS),
    ModelInfo(small_bam, 32, 10, f"minisk's own, after {_BAM}"),
    ModelInfo(small_cbam, 32, 10, f"minisk's own, after {_CBAM}"),
    ModelInfo(small_plain, 32, 10, f"minisk's own, after {_RESNEXT}"),
    ModelInfo(small_se, 32, 10, f"minisk's own, after {_SENET}"),
)
MODELS: Mapping[str, ModelInfo] = {model.name: model for model in sorted(_MODELS, key=lambda model: model.name)}
NAMES = tuple(MODELS)
_MOST_CLASSES = 2**31 - 1  # NumPy refuses the size of a larger layer before it asks for memory
# Arguments that decide on how a network computes, and so belong to its weights.
OPTIONS = ("caffe_pool", "count_include_pad", "auxiliary", "extra_sums")


def info(name: str) -> ModelInfo:
    """Return what is known of the model with this name. Raises MiniskError if there is none."""
    if not isinstance(name, str) or name not in MODELS:
        raise MiniskError(f"model {name!r} is not known: expected one of {', '.join(NAMES)}")
    return MODELS[name]


def create(name: str, num_classes: int | None = None, **options: bool) -> Network:
    """Return a new network with random weights.

    Args:
        name: one of NAMES.
        num_classes: default: those of the data set that the model was designed for.
        options: further arguments of the model's function, such as caffe_pool=True; names of OPTIONS.

    Raises:
        MiniskError: there is no such model, or it lacks such an option.
    """
    model = info(name)
    if num_classes is not None:
        require_integers(f"model {name!r}", num_classes=num_classes)
        if num_classes > _MOST_CLASSES:
            raise MiniskError(f"model {name!r}: num_classes {num_classes}, expected at most {_MOST_CLASSES}")
    for option, value in options.items():
        if option not in OPTIONS or option not in inspect.signature(model.make).parameters:
            raise MiniskError(f"model {name!r} has no option {option!r}")
        if not isinstance(value, bool):
            raise MiniskError(f"model {name!r}: option {option} is {value!r}, expected True or False")
    return model.make(num_classes=model.num_classes if num_classes is None else num_classes, **options)


def input_size(name: str) -> int:
    """Return the height and width, in pixels, of this model's images. Raises MiniskError if there is no such model."""
    return info(name).input_size
