"""Data sets as NumPy arrays, augmentation, and a Loader that turns them into batches."""

from pathlib import Path

from ..errors import DataError
from .cifar import load_cifar
from .dataset import Dataset, ImageDataset, check_split
from .folder import load_image_tree
from .image_folder import ImageFolder, split_folder
from .loader import Loader
from .photos import Photos
from .processes import Batch
from .shapes import SHAPES, STANDARD_SHAPES, ScaledShapes, make_scaled_shapes, make_shapes
from .shards import ImageShards, write_shards
from .share import Share
from .transforms import (
    Augment,
    Mix,
    color_jitter,
    cutout,
    lighting,
    normalize,
    random_crop,
    random_mirror,
    standard_augment,
)
from .views import CenterView, RandomResizedView, View

DATASETS = ("shapes", "shapes_varied", "cifar10", "cifar100", "folder", "imagenet")
IMAGENET_NORMALIZATION = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # of its training pixels, 0 … 1


def load_dataset(
    name: str, data_dir: str | Path | None, split: str, *, size_limit: int | None = None, view: View | None = None
) -> Dataset:
    """Load one split of a data set by name.

    Args:
        name: one of DATASETS. "shapes" and "shapes_varied" are drawn and read no file; "folder" is your own images.
        data_dir: the folder of "cifar10" or "cifar100", see `load_cifar`. For "folder": holds ``train/<class>/`` and
            ``test/<class>/`` with image files of one size, see `load_image_tree`. For "imagenet": holds ``train`` and
            ``val`` with photographs of any size, see `ImageFolder` and `ImageShards`.
        split: "train" or "test".
        size_limit: the largest number of images to keep, spread evenly over the stored order. (Image trees are sorted
            by class, so their first images would all be of one class.)
        view: the square of each photograph of "imagenet"; by default CenterView(224).

    Raises:
        DataError: an unknown name or split, or files that are missing or damaged.
    """
    if name not in DATASETS:
        raise DataError(f"load_dataset: unknown data set {name!r}, expected one of {', '.join(DATASETS)}")
    if size_limit is not None and size_limit < 1:
        raise DataError(f"load_dataset: size_limit is {size_limit}, expected at least 1")
    check_split(name, split)
    if name in STANDARD_SHAPES:
        drawn = STANDARD_SHAPES[name]
        count, seed = drawn.splits[split]
        return make_shapes(
            count if size_limit is None else min(count, size_limit), seed, drawn.size, drawn.extents, name
        )
    if data_dir is None:
        raise DataError(f"{name} is read from disk, but no folder was given: --data-dir, or data_dir of load_dataset")
    if name == "folder":
        return load_image_tree(name, Path(data_dir), split, size_limit=size_limit)
    if name == "imagenet":
        has_shards = any(split_folder(name, Path(data_dir), split).glob("*.tar"))
        kind = ImageShards if has_shards else ImageFolder
        return kind(data_dir, split, view or CenterView(224), size_limit=size_limit)
    return load_cifar(name, data_dir, split, size_limit=size_limit)


__all__ = [
    "DATASETS",
    "IMAGENET_NORMALIZATION",
    "SHAPES",
    "STANDARD_SHAPES",
    "Augment",
    "Batch",
    "CenterView",
    "Dataset",
    "ImageDataset",
]
__all__ += ["ImageFolder", "ImageShards", "Loader", "Mix", "Photos", "RandomResizedView", "Share", "View"]
__all__ += ["color_jitter", "cutout", "lighting", "load_cifar", "load_dataset", "load_image_tree"]
__all__ += [
    "ScaledShapes",
    "make_scaled_shapes",
    "make_shapes",
    "normalize",
    "random_crop",
    "random_mirror",
    "standard_augment",
    "write_shards",
]
