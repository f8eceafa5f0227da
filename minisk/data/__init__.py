"""Data sets as NumPy arrays, augmentation, and a Loader that turns them into batches."""

from .catalogue import DATASETS, load_dataset
from .cifar import load_cifar
from .dataset import ImageDataset
from .download import download_cifar
from .loader import Batch, Loader
from .shapes import SHAPES, make_shapes
from .transforms import Augment, Mix, color_jitter, cutout, normalize, random_crop, random_mirror, standard_augment

__all__ = [
    "DATASETS", "SHAPES", "Augment", "Batch", "ImageDataset", "Loader", "Mix", "color_jitter", "cutout",
    "download_cifar", "load_cifar", "load_dataset", "make_shapes", "normalize", "random_crop",
    "random_mirror", "standard_augment",
]  # fmt: skip
