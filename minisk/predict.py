"""A trained network asked about image files: any file that shows a picture is brought to the form it was trained on.

Weights and images may come from strangers: nothing in either is executed, and whatever is wrong is one sentence.
"""

import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import models
from .checkpoint import load_checkpoint
from .data import ImageDataset, normalize
from .device import Array, cuda_available, parse_device
from .errors import CheckpointError, DataError, MiniskError
from .nn import Module
from .report import log_probabilities

log = logging.getLogger("minisk")

# Pillow knows more: PostScript among them, which it hands to another program to run.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


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
        from PIL import Image

        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, top, left + side, top + side)).resize([self.size] * 2, Image.Resampling.LANCZOS)
        pixels = np.asarray(square).transpose(2, 0, 1)[np.newaxis]
        probability = np.exp(log_probabilities(self.model, normalize(pixels, **self.normalization))[0])
        best = np.argsort(-probability, kind="stable")[:count]
        return [(self.classes[i], float(probability[i])) for i in best]


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


def load_classifier(path: str | Path, device: str = "auto") -> Classifier:
    """Load a checkpoint written by training. Raises CheckpointError if it is missing, damaged or incomplete."""
    try:
        model, about = load_model(path)
        normalization = {name: [float(value) for value in about["normalization"][name]] for name in ("mean", "std")}
        config, classes = about["config"], tuple(map(str, about["classes"]))
        size, dataset = models.input_size(config["model"]), str(config["dataset"])
    except MiniskError:
        raise
    # Whoever wrote the file chose what its header holds: lists for numbers, a thousand brackets, nothing at all.
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {path} has a damaged description: {error}") from error
    mean, std = normalization.values()
    if not (len(mean) == len(std) == 3 and min(std) > 0 and all(map(math.isfinite, mean + std))):
        raise CheckpointError(f"checkpoint {path} has normalization {normalization}, expected 3 numbers, std above 0")
    return Classifier(model.to(resolve_device(device)), classes, normalization, size, dataset)


def check_classes(path: str | Path, classes: Sequence[str], dataset: ImageDataset) -> None:
    """Raise CheckpointError unless the classes of a checkpoint are those of a data set, in their order."""
    if tuple(classes) != dataset.classes:
        found = f"{dataset.name} has {len(dataset.classes)} ({dataset.classes[0]}, …)"
        raise CheckpointError(f"checkpoint {path} tells apart {len(classes)} classes ({classes[0]}, …), but {found}")


def weights_of(arrays: dict[str, Array], kind: str = "model") -> dict[str, Array]:
    """Pick arrays of one kind ("model": weights, "average": their moving average) under the model's own names."""
    return {name.removeprefix(f"{kind}."): array for name, array in arrays.items() if name.startswith(f"{kind}.")}


def resolve_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is one, else "cpu". Raises DeviceError for a device that is not there."""
    chosen = ("cuda" if cuda_available() else "cpu") if device == "auto" else device
    parse_device(chosen)
    return chosen


def read_image(path: str | Path) -> Any:
    """Read a file as an upright Pillow image, 8-bit RGB: alpha over white, 16 bits rounded, the first frame.

    Raises DataError if it is no regular file, no image, damaged, or larger than Pillow's limit of 89 million pixels.
    """
    from PIL import Image

    file = Path(path)
    if not file.is_file():  # a pipe or a device would be waited for, or read, for ever
        raise DataError(f"{path} {'is not a regular file' if file.exists() else 'does not exist'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which no pixel depends on
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=_FORMATS) as image:
                if getattr(image, "is_animated", False):
                    log.warning("%s has several frames: only the first is looked at", path)
                return _as_rgb(image)
    except MiniskError:
        raise
    except Exception as error:  # a decoder given a stranger's bytes may raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} can't be read as an image: {reason}") from error


def _as_rgb(image: Any) -> Any:
    from PIL import Image, ImageOps

    if image.mode == "F":
        raise DataError(f"{image.filename} holds floating-point pixels of unknown range, expected 8 or 16 bits")
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):
        # Pillow would clip 16 bits to 8: everything but black would become white.
        return Image.fromarray((np.clip(np.asarray(upright), 0, 65535) / 257).round().astype(np.uint8)).convert("RGB")
    if upright.has_transparency_data:
        over_white = Image.new("RGBA", upright.size, "white")
        over_white.alpha_composite(upright.convert("RGBA"))
        return over_white.convert("RGB")
    return upright.convert("RGB")
