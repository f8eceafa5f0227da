"""Load CIFAR-10 and CIFAR-100 from disk: either official archive, unpacked, or a tree of image files.

The result is an ImageDataset whose order depends on the files only. Nothing is written, and the pickles of the Python
version are not executed. Source: https://www.cs.toronto.edu/~kriz/cifar.html
"""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import ImageDataset, check_split
from .folder import load_image_tree
from .unpickle import unpickle

SIDE = 32
MAX_BYTES = 256 << 20  # the official archives, packed and unpacked, are smaller
_MAX_NAMES_BYTES = 1 << 20  # of the files with the class names
_PIXEL_BYTES = 3 * SIDE * SIDE


class Layout(NamedTuple):
    """One official archive, unpacked.

    Attributes:
        folder: its folder.
        names: the file with the class names.
        train, test: the files of each split.
        label_bytes: binary version only: label bytes at the start of a record; the last of them is the label.
        labels, label_names: Python version only: the keys of the labels and of the class names.
    """

    folder: str
    names: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    label_bytes: int = 0
    labels: str = ""
    label_names: str = ""


CLASSES = {"cifar10": 10, "cifar100": 100}
_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
BINARY = {
    "cifar10": Layout(
        "cifar-10-batches-bin", "batches.meta.txt", tuple(f"{name}.bin" for name in _BATCHES), ("test_batch.bin",), 1
    ),
    # labels: coarse, then fine
    "cifar100": Layout("cifar-100-binary", "fine_label_names.txt", ("train.bin",), ("test.bin",), 2),
}
PYTHON = {
    "cifar10": Layout("cifar-10-batches-py", "batches.meta", _BATCHES, ("test_batch",), 0, "labels", "label_names"),
    "cifar100": Layout("cifar-100-python", "meta", ("train",), ("test",), 0, "fine_labels", "fine_label_names"),
}


def load_cifar(name: str, data_dir: str | Path, split: str, *, size_limit: int | None = None) -> ImageDataset:
    """Load one split of "cifar10" or "cifar100" (its fine labels) from the layout that is found.

    Args:
        name: "cifar10" or "cifar100".
        data_dir: the folder of the unpacked binary or Python archive, or its parent; or a folder with
            ``train/<class>/*.png|jpg|…`` and ``test/<class>/…`` of 32 by 32 images, see `load_image_tree`.
        split: "train" or "test".
        size_limit: the largest number of images to keep, spread evenly over the stored order.

    Returns:
        Images uint8 (N, 3, 32, 32).

    Raises:
        DataError: there is no data, or a file is missing, damaged, hostile or of the wrong size.
    """
    if name not in BINARY:
        raise DataError(f"load_cifar: unknown data set {name!r}, expected one of {', '.join(BINARY)}")
    check_split(name, split)
    root, looked_for = Path(data_dir), []
    for layout in (BINARY[name], PYTHON[name]):
        files: tuple[str, ...] = getattr(layout, split)
        for folder in (root / layout.folder, root):
            if os.path.isfile(folder / layout.names) or os.path.isfile(folder / files[0]):
                dataset = _load_archive(name, layout, folder, files)
                return dataset if size_limit is None else dataset.spread(size_limit)
        looked_for.append(f"{layout.folder}/ with {layout.names} and {files[0]}, or those files themselves")
    if os.path.isdir(root / "train"):
        return load_image_tree(name, root, split, (SIDE, SIDE), size_limit)
    problem = f"found no data in {str(root)!r}" if os.path.isdir(root) else f"{str(root)!r} is not a folder"
    raise DataError(
        f"{name}: {problem}; looked for the unpacked archives ({'; '.join(looked_for)})"
        f" and for an image tree (train/<class>/*.png and test/<class>/*.png)"
    )


def _load_archive(name: str, layout: Layout, folder: Path, files: tuple[str, ...]) -> ImageDataset:
    binary, count = layout.label_bytes > 0, CLASSES[name]
    classes = (_binary_names if binary else _python_names)(layout, folder / layout.names)
    if len(classes) != count:
        raise DataError(f"{name}: {folder / layout.names} names {len(classes)} classes, expected {count}")
    images, labels = [], []
    for path in (folder / file for file in files):
        batch_images, batch_labels = (_binary_batch if binary else _python_batch)(layout, path)
        wrong = np.flatnonzero((batch_labels < 0) | (batch_labels >= count))
        if wrong.size:
            found = batch_labels[wrong[0]]
            raise DataError(f"{path} has label {found} in record {wrong[0]}, expected 0 to {count - 1}")
        images.append(batch_images)
        labels.append(batch_labels.astype(np.int64))
    pixels = np.concatenate(images).reshape(-1, 3, SIDE, SIDE)
    return ImageDataset(pixels, np.concatenate(labels), classes, name)


def _binary_names(layout: Layout, path: Path) -> tuple[str, ...]:
    try:
        lines = _read_bytes(path, _MAX_NAMES_BYTES).decode().splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file of class names") from error
    return tuple(line.strip() for line in lines if line.strip())


def _binary_batch(layout: Layout, path: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return images (N, 3072) and labels (N,); the caller checks the labels."""
    record = layout.label_bytes + _PIXEL_BYTES
    data = np.frombuffer(_read_bytes(path), dtype=np.uint8)
    if data.size == 0 or data.size % record:
        raise DataError(f"{path} has {data.size} bytes, expected a multiple of {record}")
    records = data.reshape(-1, record)
    return records[:, layout.label_bytes :], records[:, layout.label_bytes - 1]


def _python_names(layout: Layout, path: Path) -> tuple[str, ...]:
    names = _read_pickle(path, _MAX_NAMES_BYTES).get(layout.label_names)
    if not isinstance(names, list) or not all(isinstance(one, str | bytes) for one in names):
        raise DataError(f"{path} has no list of names in {layout.label_names!r}")
    return tuple(one if isinstance(one, str) else one.decode("utf-8", "replace") for one in names)


def _python_batch(layout: Layout, path: Path) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return images (N, 3072) and labels (N,); the caller checks the labels."""
    batch = _read_pickle(path)
    images, labels = batch.get("data"), batch.get(layout.labels)
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.shape[1] != _PIXEL_BYTES or not len(images):
        raise DataError(f"{path} has no array (images, {_PIXEL_BYTES}) of bytes in 'data'")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels) or len(labels) != len(images):
        raise DataError(f"{path} has no list of {len(images)} whole numbers in {layout.labels!r}")
    return images, np.array(labels, dtype=object)  # object: a number may exceed int64


def _read_pickle(path: Path, most: int = MAX_BYTES) -> dict[str, Any]:
    content = unpickle(_read_bytes(path, most), str(path))
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}, expected a dictionary")
    return content


def _read_bytes(path: Path, most: int = MAX_BYTES) -> bytes:
    """Return the content of a file of an unpacked archive.

    Raises:
        DataError: it is missing, no regular file, unreadable, or has more than `most` bytes.
    """
    if not path.is_file():  # reading a pipe or a device could wait for ever
        raise DataError(f"{path} is {'not a regular file' if path.exists() else 'missing from the archive'}")
    try:
        if (size := path.stat().st_size) > most:
            raise DataError(f"{path} has {size} bytes, expected at most {most}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
