"""What a data set is in minisk: uint8 images and integer labels in two NumPy arrays, checked once.

Nothing here knows of Tensors or of files: `cifar` reads data sets, `shapes` draws one, `loader` cuts
them into batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

SPLITS = ("train", "test")

_HISTOGRAM_IMAGES = 1024  # bincount widens its input to int64: a few images at a time keep that copy small


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Labelled images in memory. Raises DataError when the arrays do not fit together.

    images: uint8 (N, 3, H, W), RGB planes, N ≥ 1.
    labels: int64 (N,), each in 0 … len(classes) - 1.
    classes: the class names, in label order.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise DataError(f"{self.name}: images are {images.dtype} {images.shape}, expected uint8 (N, 3, H, W)")
        if images.size == 0:
            raise DataError(f"{self.name}: no images, their shape is {images.shape}")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise DataError(f"{self.name}: labels are {labels.dtype} {labels.shape}, expected int64 ({len(images)},)")
        if labels.min() < 0 or labels.max() >= len(self.classes):
            found, most = f"{labels.min()} to {labels.max()}", len(self.classes) - 1
            raise DataError(f"{self.name}: labels run from {found}, expected 0 to {most}")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def subset(self, indices: Sequence[int] | NDArray[np.integer]) -> "ImageDataset":
        """Copy the images at ``indices``, in that order. Raises IndexError; DataError if none."""
        chosen = np.asarray(indices, dtype=np.int64)
        return ImageDataset(self.images[chosen], self.labels[chosen], self.classes, self.name)

    def mean_std(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each channel over all pixels: float64 (3,), in units of 0 … 1.

        Exact, and without a float copy of the images: a byte has 256 values, so counting them is enough.
        """
        counts = np.zeros((3, 256))
        for first in range(0, len(self), _HISTOGRAM_IMAGES):
            some = self.images[first : first + _HISTOGRAM_IMAGES]
            for channel in range(3):
                counts[channel] += np.bincount(some[:, channel].ravel(), minlength=256)
        share = counts / counts.sum(axis=1, keepdims=True)
        values = np.arange(256) / 255
        mean = share @ values
        return mean, np.sqrt((share * (values - mean[:, np.newaxis]) ** 2).sum(axis=1))


def check_split(name: str, split: str) -> None:
    """Raise DataError unless ``split`` is "train" or "test"."""
    if split not in SPLITS:
        raise DataError(f"{name}: unknown split {split!r}, expected 'train' or 'test'")
