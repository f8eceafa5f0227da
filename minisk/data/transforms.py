"""Augmentation and normalisation of a whole batch at once: NumPy in, NumPy out, no loop over images.

Augmentations map (uint8 images, generator) to uint8 images: bytes are a quarter of the traffic of floats,
so `normalize` comes last. Only `Mix`, mixup and cutmix, blends what is normalised already, and the labels with it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]
Random = np.random.Generator
Augmentation = Callable[[Images, Random], Images]

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # how bright red, green and blue look: ITU-R BT.601


def random_crop(images: Images, rng: Random, padding: int = 4, share: float = 1.0) -> Images:
    """Pad every side by ``padding`` black pixels, then cut each image's own random window.

    images: uint8 (N, 3, H, W); share: of the sides H and W that a window's are, rounded down; returns (N, 3, H·share,
    W·share). Each offset is equally likely: with share 1 there are (2·padding + 1)². Raises DataError.
    """
    if padding < 0 or not 0 < share <= 1:
        raise DataError(f"random_crop: padding is {padding}, share {share}, expected at least 0, and 0 to 1")
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    # A view of every window there is, (N, C, offsets down, offsets right, H, W): only the chosen are copied.
    windows = sliding_window_view(padded, [max(1, int(side * share)) for side in images.shape[2:]], axis=(2, 3))
    top, left = (rng.integers(offsets, size=len(images)) for offsets in windows.shape[2:4])
    return windows[np.arange(len(images)), :, top, left]


def random_mirror(images: Images, rng: Random) -> Images:
    """Mirror each image left to right with probability ½. uint8 (N, 3, H, W) to the same shape, a copy."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, np.newaxis, np.newaxis, np.newaxis], images[..., ::-1], images)


def cutout(images: Images, rng: Random, size: int) -> Images:
    """Make one square of ``size`` pixels per image grey; its centre is any pixel, so that it may stick out.

    images: uint8 (N, 3, H, W); returns the same shape, a copy. Grey is about what the paper's zero after normalising
    means. Raises DataError. Source: DeVries & Taylor 2017, arXiv:1708.04552.
    """
    if size < 0:
        raise DataError(f"cutout: size is {size}, expected at least 0")
    n, _, height, width = images.shape
    return np.where(_rectangles(rng, n, (height, width), (size, size)), np.uint8(127), images)


def color_jitter(images: Images, rng: Random, strength: float) -> Images:
    """Change each image's brightness, contrast and saturation by factors uniform in 1 ± ``strength``.

    images: uint8 (N, 3, H, W); returns the same shape. In this order: x·b; towards the image's mean grey by c;
    towards each pixel's grey by s; clipped and rounded once, at the end. Raises DataError.
    Source: Howard 2013, arXiv:1312.5402.
    """
    if not 0 <= strength <= 1:
        raise DataError(f"color_jitter: strength is {strength}, expected 0 to 1")
    low, high = 1 - strength, 1 + strength
    b, c, s = rng.uniform(low, high, size=(3, len(images), 1, 1, 1)).astype(np.float32)
    values = images.astype(np.float32)
    grey = np.einsum("nchw,c->nhw", values, _LUMA)[:, np.newaxis]
    mean = grey.mean(axis=(2, 3), keepdims=True)
    # The three steps are linear, so they are one: s·c·b·x + (1 − s)·c·b·grey + (1 − c)·b·mean.
    values *= s * c * b
    grey *= (1 - s) * c * b
    grey += (1 - c) * b * mean
    values += grey
    return np.rint(values.clip(0, 255, out=values), out=values).astype(np.uint8)


@dataclass(frozen=True)
class Augment:
    """The augmentations of a run, one after the other; called as ``augment(images, rng)``; can be pickled.

    crop_padding, crop_share: of `random_crop`. mirror: whether to `random_mirror`. jitter: strength of `color_jitter`.
    cutout: side of the square, in pixels. Zero, or a share of 1 without padding, leaves a step out. Called with a
    number out of range, raises DataError.
    """

    crop_padding: int = 4
    mirror: bool = True
    cutout: int = 0
    jitter: float = 0.0
    crop_share: float = 1.0

    def __call__(self, images: Images, rng: Random) -> Images:
        if self.crop_padding or self.crop_share != 1:
            images = random_crop(images, rng, self.crop_padding, self.crop_share)
        if self.mirror:
            images = random_mirror(images, rng)
        if self.jitter:
            images = color_jitter(images, rng, self.jitter)
        if self.cutout:
            images = cutout(images, rng, self.cutout)
        return images


standard_augment = Augment()  # CIFAR's usual augmentation: a random crop after padding by 4, then a random mirror


@dataclass(frozen=True)
class Mix:
    """Blend each image of a normalised batch with another of the batch; can be pickled.

    mixup, cutmix: the α of the Beta(α, α) that the share λ is drawn from, 0 to leave it out; with both, a fair coin
    chooses for each batch. One λ, and one rectangle, per batch, as in the authors' code. Raises DataError.
    Sources: mixup, Zhang et al. 2018, arXiv:1710.09412; cutmix, Yun et al. 2019, arXiv:1905.04899.
    """

    num_classes: int
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.num_classes < 1 or not (0 <= self.mixup < np.inf and 0 <= self.cutmix < np.inf):
            raise DataError(f"{self} is out of range, expected num_classes from 1, mixup and cutmix from 0")

    def __call__(self, images: Floats, labels: NDArray[np.int64], rng: Random) -> tuple[Floats, Floats]:
        """Return images (n, 3, H, W) and targets (n, num_classes), float32, each row's sum 1; inputs are left alone."""
        if len(labels) and not 0 <= labels.min() <= labels.max() < self.num_classes:
            raise DataError(f"mix: labels run to {labels.max()}, expected 0 to {self.num_classes - 1}")
        targets = np.eye(self.num_classes, dtype=np.float32)[labels]
        if not (self.mixup or self.cutmix):
            return images, targets
        cut = self.mixup == 0 or (self.cutmix > 0 and rng.random() < 0.5)
        alpha = self.cutmix if cut else self.mixup
        share = float(rng.beta(alpha, alpha))
        other = rng.permutation(len(images))
        if cut:
            height, width = images.shape[2:]
            side = np.sqrt(1 - share)
            pasted = _rectangles(rng, 1, (height, width), (int(side * height), int(side * width)))
            images, share = np.where(pasted, images[other], images), 1 - float(pasted.mean())
        else:
            images = share * images + (1 - share) * images[other]
        return images, share * targets + (1 - share) * targets[other]


def normalize(images: Images, mean: ArrayLike, std: ArrayLike) -> Floats:
    """Return ``(images / 255 - mean) / std`` as float32; mean and std per channel, in units of 0 … 1.

    images: uint8 (N, 3, H, W). Raises DataError if a std is not positive, as of images of one colour.
    """
    mean_value = _per_channel(mean, "normalize: mean")
    std_value = _per_channel(std, "normalize: std")
    if not (std_value > 0).all():
        raise DataError(f"normalize: std is {std!r}, expected positive numbers")
    # The same as one multiply and one add: images · 1/(255 std) - mean/std.
    scale = (1 / (255 * std_value)).astype(np.float32)
    shift = (-mean_value / std_value).astype(np.float32)
    out = np.multiply(images, scale, dtype=np.float32)
    out += shift
    return out


def _per_channel(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Shape one number, or three, to broadcast over (N, 3, H, W)."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (3,)):
        raise DataError(f"{what} has shape {array.shape}, expected one number or three, one per channel")
    return array.reshape(-1, 1, 1)


def _rectangles(rng: Random, count: int, extent: tuple[int, int], sides: tuple[int, int]) -> NDArray[np.bool_]:
    """Place ``count`` rectangles around random pixels; return which pixels each covers, (count, 1, height, width)."""
    inside = []
    for size, side in zip(extent, sides, strict=True):
        first = rng.integers(size, size=(count, 1)) - side // 2
        positions = np.arange(size)
        inside.append((positions >= first) & (positions < first + side))
    rows, columns = inside
    return rows[:, np.newaxis, :, np.newaxis] & columns[:, np.newaxis, np.newaxis, :]
