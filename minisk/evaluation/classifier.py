"""Inference: classify images with a checkpoint that training wrote.

Weights and images may come from untrusted sources: nothing in either is executed, and every defect is reported in one
sentence.
"""

import math
import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .. import models
from ..backend import Array
from ..data import CenterView, normalize
from ..errors import CheckpointError, MiniskError
from ..nn import Module, init
from ..serialization import load_checkpoint, weights_of
from .metrics import log_probabilities, resolve_device

_LONGEST_NAME = 200  # characters of a class name: tables and pictures show it
_FOREIGN = (".pth", ".pt", ".npz", ".caffemodel")
LARGEST_SIDE = 1024  # of the images that a checkpoint may ask for, in pixels


@dataclass(frozen=True)
class Classifier:
    """A model in evaluation mode, and the form of its inputs and outputs.

    Attributes:
        model: maps normalised images (N, 3, size, size) to logits (N, len(classes)).
        classes: the class names, in label order.
        normalization: `mean` and `std` per channel of the training images, in 0 … 1.
        size: height and width of the images, in pixels.
        dataset: the name of the data set that it was trained on.
        crop: of photographs, the side of the central square divided by the shorter side.
        interpolation: of photographs, how they are resized: "bilinear" or "bicubic".
    """

    model: Module
    classes: tuple[str, ...]
    normalization: dict[str, list[float]]
    size: int
    dataset: str
    crop: float = 0.875
    interpolation: str = "bicubic"

    def view(self, size: int | None = None) -> CenterView:
        """Return the view of photographs that the network is measured on, of `size` pixels (None: its own)."""
        return CenterView(size or self.size, self.crop, self.interpolation)

    def top(self, image: Any, count: int = 5) -> list[tuple[str, float]]:
        """Return the most probable classes of a Pillow image (RGB, any size) with their probabilities, largest first.

        A network for photographs sees the view that `minisk evaluate` measures it on. Any other network sees the
        largest square in the image's centre. Raises MiniskError.
        """
        view = self.view()
        square = view.cut(image, (0, 0, *image.size)) if self.dataset == "imagenet" else self._square(image)
        pixels = np.asarray(square).transpose(2, 0, 1)[np.newaxis]
        probability = np.exp(log_probabilities(self.model, normalize(pixels, **self.normalization))[0])
        best = np.argsort(-probability, kind="stable")[:count]
        return [(self.classes[i], float(probability[i])) for i in best]

    def _square(self, image: Any) -> Any:
        """Return the largest square in the centre of a Pillow image, at the network's size."""
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return image.crop((left, top, left + side, top + side)).resize([self.size] * 2, Image.Resampling.LANCZOS)


def load_classifier(path: str | Path, device: str = "auto") -> Classifier:
    """Return the classifier stored in a checkpoint of training; with averaged weights if there are any.

    Args:
        path: a file, or one of models.TRAINED.
        device: "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        CheckpointError: the file is missing, damaged or incomplete.
        DeviceError: the device is not available.
    """
    if os.path.isdir(path):
        raise CheckpointError(f"checkpoint {path} is a folder: give a file in it, such as best.safetensors")
    if os.path.isfile(path) and Path(path).suffix in _FOREIGN:
        raise CheckpointError(f"{path} is a file of another framework: make a checkpoint of it with `minisk convert`")
    arrays, about = load_checkpoint(models.TRAINED.get(str(path), path))
    try:
        config, classes = about["config"], _class_names(about["classes"])
        normalization = {name: [float(value) for value in about["normalization"][name]] for name in ("mean", "std")}
        size = _image_side(about.get("image_size", [models.input_size(config["model"])]))
        pixels = CenterView(size, float(about.get("crop", 0.875)), str(about.get("interpolation", "bicubic")))
        weights = weights_of(arrays, "average") or weights_of(arrays)
        model = _model(config["model"], len(classes), weights, config.get("options", {}))
    except MiniskError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from None
    except MemoryError as error:
        raise CheckpointError(f"checkpoint {path}: not enough memory for its model") from error
    # The header is untrusted input: it may hold lists for numbers, deeply nested brackets, or nothing.
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {path} has a damaged description: {error!r}") from error
    mean, std = normalization.values()
    if not (len(mean) == len(std) == 3 and min(std) > 0 and all(map(math.isfinite, mean + std))):
        raise CheckpointError(f"checkpoint {path} has normalization {normalization}, expected 3 numbers, std above 0")
    model, dataset = model.to(resolve_device(device)), str(config["dataset"])
    return Classifier(model, classes, normalization, size, dataset, pixels.share, pixels.interpolation)


def _class_names(saved: Any) -> tuple[str, ...]:
    if not isinstance(saved, list) or not saved or not all(isinstance(name, str) for name in saved):
        raise CheckpointError("its classes are not a list of names")
    if any(len(name) > _LONGEST_NAME for name in saved):
        raise CheckpointError(f"a class has a name of more than {_LONGEST_NAME} characters")
    return tuple(saved)


def _image_side(saved: Any) -> int:
    """Return the shorter side of the training images. A larger one than 1,024 pixels would fill the memory."""
    if not isinstance(saved, list) or not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in saved):
        raise CheckpointError(f"its image_size is {reprlib.repr(saved)}, expected sides of 1 to {LARGEST_SIDE} pixels")
    return int(min(saved))


def _model(name: str, classes: int, weights: dict[str, Array], options: dict[str, bool]) -> Module:
    """Return the model with these weights, in evaluation mode.

    The layer of the classes is compared with the weights before it is made: its size depends on the file, and a file
    of 4 MB could ask for 8 GB. An auxiliary classifier is smaller than it; the size of every other layer depends on
    the model's name only.

    Raises:
        CheckpointError: names or shapes of the weights are not the model's.
    """
    with init.skipped():
        model = models.create(name, 1)
    expected = (classes, model.classifier.weight.shape[1])
    if "classifier.weight" not in weights:
        raise CheckpointError("1 missing: classifier.weight")
    found = weights["classifier.weight"].shape
    if found != expected:
        raise CheckpointError(f"wrong shape: classifier.weight {found} instead of {expected} for {classes} classes")
    with init.skipped():
        model = models.create(name, classes, **options)
    model.load_state_dict(weights)
    return model.eval()
