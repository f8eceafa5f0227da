"""Data sets: labelled uint8 images, fetched by index. This package works on NumPy arrays and does not import Tensor.

`Dataset` is the interface that the Loader and evaluation use. `ImageDataset` holds all images in memory.
`cifar` reads data sets from disk, `shapes` draws one, `loader` makes batches.
"""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

SPLITS = ("train", "test")

Indices = Sequence[int] | NDArray[np.integer]

_CHECKSUM_IMAGES = 4096  # per update
_HISTOGRAM_IMAGES = 1024  # bincount converts its input to int64: small blocks keep that copy small


class Drawn(NamedTuple):
    """Images for a batch.

    images: uint8 (n, 3, H, W). labels: int64 (n,).
    broken: the index of each image that could not be read, and why; it is not among the n.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    broken: tuple[tuple[int, str], ...] = ()


class Dataset(ABC):
    """Labelled images that are fetched by index, so that a subclass may read or decode them on demand.

    A subclass must be picklable if it is used with worker processes.

    Attributes:
        name: shown in reports and errors.
        classes: the class names, in label order.
    """

    name: str
    classes: tuple[str, ...]
    images_at_once = 256  # in evaluation, unless the caller says otherwise

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def fetch(self, indices: Indices) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return copies of the images, uint8 (n, 3, H, W), and labels, int64 (n,), at these n indices, in that order.

        Raises IndexError for an index out of range, DataError for an image that cannot be read.
        """

    def draw(self, indices: Indices, rng: np.random.Generator, needed: Indices | None = None) -> Drawn:
        """Return images for a batch; by default what `fetch` returns.

        A subclass may draw a part of each image from rng, leave out images that it can't read, and return black for
        those at positions that are not `needed`.
        """
        return Drawn(*self.fetch(indices))

    def order(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the indices in the order of a shuffled epoch; by default any order is equally likely."""
        return rng.permutation(len(self))

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the images, in pixels; by default those of the first one."""
        height, width = self.fetch([0])[0].shape[2:]
        return height, width

    def checksum(self, value: int = 0) -> int:
        """Return a CRC-32 of class names, images and labels, continued from an earlier value: 0.2 s for CIFAR."""
        value = zlib.crc32(repr(self.classes).encode(), value)
        for first in range(0, len(self), _CHECKSUM_IMAGES):
            images, labels = self.fetch(np.arange(first, min(first + _CHECKSUM_IMAGES, len(self))))
            value = zlib.crc32(labels.tobytes(), zlib.crc32(images.tobytes(), value))
        return value

    def mean_std(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean and standard deviation of each channel over all pixels: float64 (3,), in units of 0 … 1.

        The result is exact and needs no float copy of the images: a byte has 256 values, so counting them is enough.
        """
        counts = np.zeros((3, 256))
        for first in range(0, len(self), _HISTOGRAM_IMAGES):
            images, _ = self.fetch(np.arange(first, min(first + _HISTOGRAM_IMAGES, len(self))))
            for channel in range(3):
                counts[channel] += np.bincount(images[:, channel].ravel(), minlength=256)
        share = counts / counts.sum(axis=1, keepdims=True)
        values = np.arange(256) / 255
        mean = share @ values
        return mean, np.sqrt((share * (values - mean[:, np.newaxis]) ** 2).sum(axis=1))


@dataclass(frozen=True, eq=False)
class ImageDataset(Dataset):
    """Labelled images in memory. Raises DataError if the arrays do not fit together.

    Args:
        images: uint8 (N, 3, H, W), RGB planes, N ≥ 1.
        labels: int64 (N,), each in 0 … len(classes) - 1.
        classes: the class names, in label order.
        name: shown in reports and errors.
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
        return len(self.images)

    def fetch(self, indices: Indices) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        chosen = np.asarray(indices, dtype=np.int64)
        return self.images[chosen], self.labels[chosen]

    def subset(self, indices: Indices) -> "ImageDataset":
        """Return a copy of the images at ``indices``, in that order. Raises IndexError; DataError if there are none."""
        images, labels = self.fetch(indices)
        return ImageDataset(images, labels, self.classes, self.name)

    def spread(self, size_limit: int) -> "ImageDataset":
        """Return at most `size_limit` images, spread evenly over the stored order. Trees are sorted by class."""
        return self if size_limit >= len(self) else self.subset(spread_indices(len(self), size_limit))


def spread_indices(count: int, size_limit: int | None) -> NDArray[np.int64]:
    """Return at most `size_limit` indices below count, int64, spread evenly; without a limit, all."""
    kept = count if size_limit is None else min(size_limit, count)
    return np.arange(kept, dtype=np.int64) * count // max(1, kept)


def check_split(name: str, split: str) -> None:
    """Raise DataError unless ``split`` is "train" or "test"."""
    if split not in SPLITS:
        raise DataError(f"{name}: unknown split {split!r}, expected 'train' or 'test'")
