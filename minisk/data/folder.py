"""Load a tree of image files, `train/<class>/*.png|jpg|…` and `test/<class>/…`, as an ImageDataset in memory."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..errors import DataError, escaped
from .dataset import ImageDataset, spread_indices
from .decode import read_image

log = logging.getLogger("minisk")

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm")
_SECONDS_WITHOUT_BAR = 1.0


def load_image_tree(
    name: str, root: Path, split: str, size: tuple[int, int] | None = None, size_limit: int | None = None
) -> ImageDataset:
    """Load ``root/<split>/<class>/*``, image files of one size.

    A progress bar is shown on a terminal if reading takes longer than a second.

    Args:
        name: of the data set, for reports and errors.
        root: the folder that holds `train` and `test`.
        split: "train" or "test".
        size: width and height of the images; by default those of the first training image.
        size_limit: the largest number of images, spread evenly over the sorted paths; no other file is read.

    Returns:
        Images uint8 (N, 3, height, width), RGB as `read_image` returns them. The classes are the folders of
        ``root/train``, sorted; within a class, images are sorted by name.

    Raises:
        DataError: a class has no images; a link leads nowhere; an image is damaged, no regular file or of another size.
    """
    try:
        paths, labels, classes = _labelled_files(name, root, split)
        if size is None:
            first = paths if split == "train" else _image_files(name, root / "train" / classes[0])[0]
            size = read_image(first[0]).size
    except OSError as error:
        raise DataError(f"{name}: can't read {root / split}: {error.strerror or error}") from error
    kept = spread_indices(len(paths), size_limit)
    paths, labels = [paths[index] for index in kept], [labels[index] for index in kept]
    images = np.empty((len(paths), 3, size[1], size[0]), dtype=np.uint8)
    # In one thread: for 32 by 32 pixels most of the time is Pillow's Python code, which holds the GIL.
    bar = tqdm(
        paths, f"reading {escaped(split)}", unit=" images", delay=_SECONDS_WITHOUT_BAR, leave=False, disable=None
    )
    with bar:
        for pixels, path in zip(images, bar, strict=True):
            pixels[...] = np.asarray(read_image(path, size)).transpose(2, 0, 1)
    return ImageDataset(images, np.array(labels, dtype=np.int64), tuple(classes), name)


def _labelled_files(name: str, root: Path, split: str) -> tuple[list[Path], list[int], list[str]]:
    """Return the image files of a split, the label of each, and the class names."""
    classes = class_folders(name, root / "train")
    present = class_folders(name, root / split)
    warn_of_loose_images(root / split)
    if unknown := sorted(set(present) - set(classes)):
        raise DataError(f"{name}: {root / split / unknown[0]} is a class that {root / 'train'} lacks")
    paths, labels = list[Path](), list[int]()
    for class_name in present:
        found, others = _image_files(name, root / split / class_name)
        warn_of_others(root / split / class_name, [path.name for path in others])
        paths += found
        labels += [classes.index(class_name)] * len(found)
    if not paths:
        raise DataError(f"{name}: no images, {root / split} has no class folder")
    return paths, labels, classes


def warn_of_others(folder: Path, others: Sequence[str]) -> None:
    """Log a warning that counts the entries of a class folder that are no image files, if there are any."""
    if others:
        where, example = escaped(str(folder)), escaped(others[0])
        log.warning("%s: %d entries are no image files and are left out, such as %s", where, len(others), example)


def warn_of_loose_images(folder: Path) -> None:
    """Log a warning that counts the image files directly in a folder of class folders, if there are any."""
    paths = folder.iterdir() if folder.is_dir() else ()
    loose = sorted(path.name for path in paths if path.name.lower().endswith(SUFFIXES) and path.is_file())
    if loose:
        where, example = escaped(str(folder)), escaped(loose[0])
        log.warning(
            "%s: %d image files lie in no class folder and are left out, such as %s", where, len(loose), example
        )


def class_folders(name: str, folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted. Raises DataError for a link that leads nowhere."""
    entries = [path for path in folder.iterdir() if path.name[0] != "."] if folder.is_dir() else []
    for path in entries:
        if not path.exists():  # without this check the class would be left out silently
            raise DataError(f"{name}: {path} is a link to a folder that does not exist")
    return sorted(path.name for path in entries if path.is_dir())


def _image_files(name: str, folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the sorted entries of a class with the suffix of an image, readable or not, and the other entries."""
    entries = sorted(path for path in folder.iterdir() if path.name[0] != ".")
    paths = [path for path in entries if path.name.lower().endswith(SUFFIXES)]
    if not paths:
        kinds = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise DataError(f"{name}: class folder {folder} has no image file ({kinds})")
    return paths, [path for path in entries if not path.name.lower().endswith(SUFFIXES)]
