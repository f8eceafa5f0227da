"""Data sets as NumPy arrays, augmentation, and a Loader that turns them into batches."""

from pathlib import Path

import numpy as np

from ..errors import DataError
from .cifar import load_cifar
from .dataset import ImageDataset, check_split
from .loader import Batch, Loader
from .shapes import SHAPES, STANDARD_SPLITS, make_shapes
from .transforms import Augment, Mix, color_jitter, cutout, normalize, random_crop, random_mirror, standard_augment

DATASETS = ("shapes", "cifar10", "cifar100")


def load_dataset(name: str, data_dir: str | Path | None, split: str, *, size_limit: int | None = None) -> ImageDataset:
    """Load a data set by name: "cifar10" and "cifar100" from ``data_dir``, "shapes" from nothing at all.

    split: "train" or "test". size_limit: keep at most so many images, spread evenly over the stored
    order (image trees are sorted by class, so their first images would all be of one class).
    Raises DataError.
    """
    if name not in DATASETS:
        raise DataError(f"load_dataset: unknown data set {name!r}, expected one of {', '.join(DATASETS)}")
    if size_limit is not None and size_limit < 1:
        raise DataError(f"load_dataset: size_limit is {size_limit}, expected at least 1")
    check_split(name, split)
    if name == "shapes":
        count, seed = STANDARD_SPLITS[split]
        return make_shapes(count if size_limit is None else min(count, size_limit), seed)
    if data_dir is None:
        raise DataError(f"load_dataset: {name} is read from disk, but no data directory was given")
    dataset = load_cifar(name, data_dir, split)
    if size_limit is None or size_limit >= len(dataset):
        return dataset
    return dataset.subset(np.arange(size_limit) * len(dataset) // size_limit)


__all__ = [
    "DATASETS",
    "SHAPES",
    "Augment",
    "Batch",
    "ImageDataset",
    "Loader",
    "Mix",
    "color_jitter",
    "cutout",
    "load_cifar",
    "load_dataset",
    "make_shapes",
    "normalize",
    "random_crop",
    "random_mirror",
    "standard_augment",
]
