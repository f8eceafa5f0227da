"""A folder of images, ``train/<class>/*.png|jpg|jpeg``, as an ImageDataset: decoded once, all in memory."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import ImageDataset

_SUFFIXES = (".png", ".jpg", ".jpeg")
_FORMATS = ("PNG", "JPEG")  # whatever a file is named: Pillow would run Ghostscript for PostScript
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # 8 bits; Pillow would clip 16 to 8


def load_image_tree(name: str, root: Path, split: str, side: int) -> ImageDataset:
    """Load ``root/<split>/<class>/*.png|jpg|jpeg``, images of ``side`` by ``side``; uint8 (N, 3, side, side).

    Classes are the folders of ``root/train``, sorted. Greyscale, CMYK and palettes become RGB, alpha is dropped.
    Raises DataError for a class without images, and for an image that is damaged, animated, of more than 8 bits
    a channel, or of another size.
    """
    classes = _class_folders(root / "train")
    present = _class_folders(root / split)
    unknown = sorted(set(present) - set(classes))
    if unknown:
        raise DataError(f"{name}: {root / split / unknown[0]} is a class that {root / 'train'} lacks")
    paths: list[Path] = []
    labels: list[int] = []
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
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Image size")  # Pillow only warns of a middling decompression bomb
        for image, path in zip(images, paths, strict=True):
            image[...] = _decode(name, path, side).transpose(2, 0, 1)
    return ImageDataset(images, np.array(labels, dtype=np.int64), tuple(classes), name)


def _class_folders(folder: Path) -> list[str]:
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in entries if path.is_dir() and path.name[0] != ".")


def _image_files(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if path.is_file())  # a pipe would be read for ever
    return [path for path in paths if path.name[0] != "." and path.name.lower().endswith(_SUFFIXES)]


def _decode(name: str, path: Path, side: int) -> NDArray[np.uint8]:
    """Return one image file as RGB, uint8 (side, side, 3)."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"{name}: reading image files such as {path} needs Pillow") from error
    try:
        image: Image.Image
        with Image.open(path, formats=_FORMATS) as image:
            if image.size != (side, side):
                width, height = image.size
                raise DataError(f"it is {width} by {height} pixels, expected {side} by {side}")
            if getattr(image, "is_animated", False):
                raise DataError(f"it is animated, with {getattr(image, 'n_frames', 0)} frames, expected one")
            if image.mode not in _MODES:
                raise DataError(f"its mode is {image.mode}, expected 8 bits a channel")
            if image.mode == "P":  # the way that Pillow asks for where a palette has transparent colours
                image = image.convert("RGBA")
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow has no closed list of how a damaged file shows
        raise DataError(f"{name}: cannot read image {path}: {error or type(error).__name__}") from error
