"""Decode untrusted image files to one form, upright 8-bit RGB; load folders of them.

A tree ``train/<class>/*.png|jpg|jpeg`` is an ImageDataset: decoded once, all in memory.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError, MiniskError
from .dataset import ImageDataset

log = logging.getLogger("minisk")

# Pillow knows more: PostScript among them, which it hands to another program to run.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
_SUFFIXES = (".png", ".jpg", ".jpeg")  # of files in a tree


def read_image(path: str | Path) -> Any:
    """Read a file as an upright Pillow image, 8-bit RGB: alpha over white, 16 bits rounded, the first frame.

    Raises DataError if it is no regular file, no image, damaged, or larger than Pillow's limit of 89 million pixels.
    """
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


def load_image_tree(name: str, root: Path, split: str, side: int) -> ImageDataset:
    """Load ``root/<split>/<class>/*.png|jpg|jpeg``, images of ``side`` by ``side``; uint8 (N, 3, side, side).

    Classes are the folders of ``root/train``, sorted; images become RGB as in `read_image`. Raises DataError for a
    class without images, and for an image that is damaged or of another size.
    """
    classes = _class_folders(root / "train")
    present = _class_folders(root / split)
    if unknown := sorted(set(present) - set(classes)):
        raise DataError(f"{name}: {root / split / unknown[0]} is a class that {root / 'train'} lacks")
    paths, labels = list[Path](), list[int]()
    for class_name in present:
        found = _image_files(root / split / class_name)
        if not found:
            raise DataError(f"{name}: class folder {root / split / class_name} has no png, jpg or jpeg file")
        paths += found
        labels += [classes.index(class_name)] * len(found)
    if not paths:
        raise DataError(f"{name}: no images, {root / split} has no class folder")
    # One by one: at 32 by 32 most of the time is Pillow's Python, holding the GIL, so threads gain nothing.
    images = np.empty((len(paths), 3, side, side), dtype=np.uint8)
    for pixels, path in zip(images, paths, strict=True):
        image = read_image(path)
        if image.size != (side, side):
            raise DataError(f"{name}: {path} is {image.width} by {image.height} pixels, expected {side} by {side}")
        pixels[...] = np.asarray(image).transpose(2, 0, 1)
    return ImageDataset(images, np.array(labels, dtype=np.int64), tuple(classes), name)


def _class_folders(folder: Path) -> list[str]:
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in entries if path.is_dir() and path.name[0] != ".")


def _image_files(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if path.is_file())  # a pipe would be read for ever
    return [path for path in paths if path.name[0] != "." and path.name.lower().endswith(_SUFFIXES)]
