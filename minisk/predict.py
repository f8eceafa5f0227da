"""A trained network asked about image files: any file that shows a picture is brought to the form it was trained on.

Weights and images may come from strangers: nothing in either is executed, and whatever is wrong is one sentence.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from . import models
from .checkpoint import load_checkpoint
from .data import normalize
from .device import Array, cuda_available, parse_device
from .errors import CheckpointError, MiniskError
from .nn import Module
from .report import log_probabilities


@dataclass(frozen=True)
class Classifier:
    """A model in evaluation mode, and what it was trained on: classes, mean and std (in 0 … 1), input size (pixels)."""

    model: Module
    classes: tuple[str, ...]
    normalization: dict[str, list[float]]
    size: int
    dataset: str

    def top(self, image: Any, count: int = 5) -> list[tuple[str, float]]:
        """Return the likeliest classes of a Pillow image (RGB, any size) with their probabilities, likeliest first.

        What is seen is the largest square in the image's centre. Raises MiniskError.
        """
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side)).resize([self.size] * 2, Image.Resampling.LANCZOS)
        pixels = np.asarray(square).transpose(2, 0, 1)[np.newaxis]
        probability = np.exp(log_probabilities(self.model, normalize(pixels, **self.normalization))[0])
        best = np.argsort(-probability, kind="stable")[:count]
        return [(self.classes[i], float(probability[i])) for i in best]


def load_classifier(path: str | Path, device: str = "auto") -> Classifier:
    """Load a checkpoint written by training, with the averaged weights if it has them, as they are what was tested.

    Raises CheckpointError if it is missing, damaged or incomplete; DeviceError.
    """
    arrays, about = load_checkpoint(path)
    try:
        config, classes = about["config"], tuple(map(str, about["classes"]))
        normalization = {name: [float(value) for value in about["normalization"][name]] for name in ("mean", "std")}
        size, dataset = models.input_size(config["model"]), str(config["dataset"])
        model = models.create(config["model"], len(classes)).eval()
        model.load_state_dict(weights_of(arrays, "average") or weights_of(arrays))
    except MiniskError as error:
        raise CheckpointError(f"checkpoint {path}: {error}") from None
    # Whoever wrote the file chose what its header holds: lists for numbers, a thousand brackets, nothing at all.
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {path} has a damaged description: {error!r}") from error
    mean, std = normalization.values()
    if not (len(mean) == len(std) == 3 and min(std) > 0 and all(map(math.isfinite, mean + std))):
        raise CheckpointError(f"checkpoint {path} has normalization {normalization}, expected 3 numbers, std above 0")
    return Classifier(model.to(resolve_device(device)), classes, normalization, size, dataset)


def weights_of(arrays: dict[str, Array], kind: str = "model") -> dict[str, Array]:
    """Pick arrays of one kind ("model": weights, "average": their moving average) under the model's own names."""
    return {name.removeprefix(f"{kind}."): array for name, array in arrays.items() if name.startswith(f"{kind}.")}


def resolve_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is one, else "cpu". Raises DeviceError for a device that is not there."""
    chosen = ("cuda" if cuda_available() else "cpu") if device == "auto" else device
    parse_device(chosen)
    return chosen
