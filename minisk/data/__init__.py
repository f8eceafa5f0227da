"""Data sets as NumPy arrays, augmentation, and a Loader that turns them into batches."""

from .cifar import load_cifar
from .dataset import DATASETS, ImageDataset, load_dataset
from .loader import Batch, Loader, make_batch
from .shapes import SHAPES, make_shapes
from .transforms import Augmentation, normalize, random_crop, random_mirror, standard_augment

__all__ = [
    "DATASETS",
    "SHAPES",
    "Augmentation",
    "Batch",
    "ImageDataset",
    "Loader",
    "load_cifar",
    "load_dataset",
    "make_batch",
    "make_shapes",
    "normalize",
    "random_crop",
    "random_mirror",
    "standard_augment",
]
