"""A folder of images, ``train/<class>/*.png|jpg|jpeg``, as an ImageDataset: decoded once, all in memory."""

from pathlib import Path

import numpy as np

from ..errors import DataError
from .dataset import ImageDataset
from .images import read_image

_SUFFIXES = (".png", ".jpg", ".jpeg")


def load_image_tree(name: str, root: Path, split: str, side: int) -> ImageDataset:
    """Load ``root/<split>/<class>/*.png|jpg|jpeg``, images of ``side`` by ``side``; uint8 (N, 3, side, side).

    Classes are the folders of ``root/train``, sorted; images become RGB as in `read_image`. Raises DataError for a
    class without images, and for an image that is damaged or of another size.
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
    for pixels, path in zip(images, paths, strict=True):
        image = read_image(path)
        if image.size != (side, side):
            width, height = image.size
            raise DataError(f"{name}: {path} is {width} by {height} pixels, expected {side} by {side}")
        pixels[...] = np.asarray(image).transpose(2, 0, 1)
    return ImageDataset(images, np.array(labels, dtype=np.int64), tuple(classes), name)


def _class_folders(folder: Path) -> list[str]:
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted(path.name for path in entries if path.is_dir() and path.name[0] != ".")


def _image_files(folder: Path) -> list[Path]:
    paths = sorted(path for path in folder.iterdir() if path.is_file())  # a pipe would be read for ever
    return [path for path in paths if path.name[0] != "." and path.name.lower().endswith(_SUFFIXES)]
