"""Augmentation and normalisation of a whole batch at once: NumPy in, NumPy out, no loop over images.

Augmentations map (uint8 images, generator) to uint8 images: bytes are a quarter of the traffic of floats,
so `normalize` comes last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..errors import DataError

Images = NDArray[np.uint8]
Augmentation = Callable[[Images, np.random.Generator], Images]


def random_crop(images: Images, rng: np.random.Generator, padding: int = 4, fill: ArrayLike = 0) -> Images:
    """Pad every side by ``padding`` pixels, then cut each image's own random window of the original size.

    images: uint8 (N, 3, H, W); returns the same shape. fill: the padding's value in 0 … 255, one or one
    per channel. Each of the (2·padding + 1)² offsets is equally likely. Raises DataError.
    """
    if padding < 0:
        raise DataError(f"random_crop: padding is {padding}, expected at least 0")
    fill_value = _per_channel(fill, "random_crop: fill")
    if not ((fill_value >= 0) & (fill_value <= 255)).all():
        raise DataError(f"random_crop: fill is {fill!r}, expected 0 to 255")
    n, channels, height, width = images.shape
    padded = np.empty((n, channels, height + 2 * padding, width + 2 * padding), dtype=np.uint8)
    padded[...] = fill_value
    padded[:, :, padding : padding + height, padding : padding + width] = images
    top, left = rng.integers(2 * padding + 1, size=(2, n))
    # A view of every window there is, (N, C, 2·padding + 1, 2·padding + 1, H, W): only the chosen are copied.
    windows = sliding_window_view(padded, (height, width), axis=(2, 3))
    chosen: Images = windows[np.arange(n), :, top, left]
    return chosen


def random_mirror(images: Images, rng: np.random.Generator) -> Images:
    """Mirror each image left to right with probability ½. uint8 (N, 3, H, W) to the same shape, a copy."""
    mirrored = rng.random(len(images)) < 0.5
    out = images.copy()
    out[mirrored] = images[mirrored, :, :, ::-1]
    return out


def standard_augment(images: Images, rng: np.random.Generator) -> Images:
    """CIFAR's usual augmentation: a random crop after padding by 4, then a random mirror."""
    return random_mirror(random_crop(images, rng), rng)


def normalize(images: Images, mean: ArrayLike, std: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return ``(images / 255 - mean) / std`` in ``dtype``; mean and std per channel, in units of 0 … 1.

    images: uint8 (N, 3, H, W). Raises DataError if a std is not positive, as of images of one colour.
    """
    mean_value = _per_channel(mean, "normalize: mean")
    std_value = _per_channel(std, "normalize: std")
    if not (std_value > 0).all():
        raise DataError(f"normalize: std is {std!r}, expected positive numbers")
    # The same as one multiply and one add: images · 1/(255 std) - mean/std.
    scale = (1 / (255 * std_value)).astype(dtype)
    shift = (-mean_value / std_value).astype(dtype)
    out: NDArray[Any] = np.multiply(images, scale, dtype=dtype)
    out += shift
    return out


def _per_channel(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Shape one number, or three, to broadcast over (N, 3, H, W)."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (3,)):
        raise DataError(f"{what} has shape {array.shape}, expected one number or three, one per channel")
    return array.reshape(-1, 1, 1)
