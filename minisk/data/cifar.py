"""CIFAR-10 and CIFAR-100 from disk: the official binary archive, unpacked, or a tree of image files.

Both give the same ImageDataset, in an order that depends on the files alone. Nothing is downloaded and
nothing is written. Source of the binary layout: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import ImageDataset, check_split

SIDE = 32
_PIXEL_BYTES = 3 * SIDE * SIDE
_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class _Archive:
    """One official archive. A record is ``label_bytes`` bytes, of which the last counts, and the pixels."""

    folder: str
    names: str
    splits: dict[str, tuple[str, ...]]
    classes: int
    label_bytes: int


_ARCHIVES = {
    "cifar10": _Archive(
        folder="cifar-10-batches-bin",
        names="batches.meta.txt",
        splits={
            "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
            "test": ("test_batch.bin",),
        },
        classes=10,
        label_bytes=1,
    ),
    "cifar100": _Archive(
        folder="cifar-100-binary",
        names="fine_label_names.txt",
        splits={"train": ("train.bin",), "test": ("test.bin",)},
        classes=100,
        label_bytes=2,  # coarse, then fine
    ),
}


def load_cifar(name: str, data_dir: str | Path, split: str) -> ImageDataset:
    """Load one split of "cifar10" or "cifar100" (its fine labels) from whichever layout is there.

    data_dir: the folder of the unpacked binary archive or its parent, or a folder with
    ``train/<class>/*.png|jpg|jpeg`` and ``test/<class>/…`` of 32 by 32 images, whose class names come from
    ``train``, sorted. Returns images uint8 (N, 3, 32, 32). Raises DataError if there is neither, or if a
    file is missing, damaged or of the wrong size.
    """
    if name not in _ARCHIVES:
        raise DataError(f"load_cifar: unknown data set {name!r}, expected one of {', '.join(_ARCHIVES)}")
    check_split(name, split)
    archive, root = _ARCHIVES[name], Path(data_dir)
    for folder in (root / archive.folder, root):
        if (folder / archive.names).is_file() or (folder / archive.splits[split][0]).is_file():
            return _load_archive(name, archive, folder, split)
    if (root / "train").is_dir():
        return _load_tree(name, root, split)
    raise DataError(
        f"{name}: found no data in {str(root)!r}; looked for the unpacked binary archive"
        f" ({archive.folder}/ with {archive.names} and {archive.splits[split][0]}, or those files themselves)"
        f" and for an image tree (train/<class>/*.png and test/<class>/*.png)"
    )


def _load_archive(name: str, archive: _Archive, folder: Path, split: str) -> ImageDataset:
    for wanted in (archive.names, *archive.splits[split]):
        if not (folder / wanted).is_file():
            raise DataError(f"{name}: {folder / wanted} is missing from the archive")
    text = (folder / archive.names).read_text(encoding="utf-8")
    classes = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(classes) != archive.classes:
        raise DataError(f"{name}: {folder / archive.names} names {len(classes)} classes, expected {archive.classes}")
    records = np.concatenate([_read_records(name, archive, folder / file) for file in archive.splits[split]])
    labels = records[:, archive.label_bytes - 1].astype(np.int64)
    images = np.ascontiguousarray(records[:, archive.label_bytes :]).reshape(-1, 3, SIDE, SIDE)
    return ImageDataset(images, labels, classes, name)


def _read_records(name: str, archive: _Archive, path: Path) -> NDArray[np.uint8]:
    """Return the file as uint8 (records, label bytes + pixel bytes), sizes and labels checked."""
    record = archive.label_bytes + _PIXEL_BYTES
    data = np.fromfile(path, dtype=np.uint8)
    if data.size == 0 or data.size % record:
        raise DataError(f"{name}: {path} has {data.size} bytes, expected a multiple of {record}")
    records = data.reshape(-1, record)
    wrong = np.flatnonzero(records[:, archive.label_bytes - 1] >= archive.classes)
    if wrong.size:
        label = records[wrong[0], archive.label_bytes - 1]
        raise DataError(f"{name}: {path} has label {label} in record {wrong[0]}, expected 0 to {archive.classes - 1}")
    return records


def _load_tree(name: str, root: Path, split: str) -> ImageDataset:
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
    images = np.empty((len(paths), 3, SIDE, SIDE), dtype=np.uint8)
    for image, path in zip(images, paths, strict=True):
        image[...] = _decode(name, path).transpose(2, 0, 1)
    return ImageDataset(images, np.array(labels, dtype=np.int64), tuple(classes), name)


def _class_folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")


def _image_files(folder: Path) -> list[Path]:
    names = sorted(entry.name for entry in os.scandir(folder))
    return [folder / name for name in names if name[0] != "." and name.lower().endswith(_SUFFIXES)]


def _decode(name: str, path: Path) -> NDArray[np.uint8]:
    """Return one image file as RGB, uint8 (32, 32, 3)."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DataError(f"{name}: reading image files such as {path} needs Pillow") from error
    try:
        with Image.open(path) as image:
            if image.size == (SIDE, SIDE):
                return np.asarray(image.convert("RGB"))
            width, height = image.size
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's three ways to say that a file is damaged
        raise DataError(f"{name}: cannot read image {path}: {error}") from error
    raise DataError(f"{name}: {path} is {width} by {height} pixels, expected {SIDE} by {SIDE}")
