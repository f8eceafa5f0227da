"""Augmentation and normalisation of a whole batch at once: NumPy in, NumPy out, no loop over images.

Shapes: images are (N, 3, H, W). Augmentations map (uint8 images, generator) to uint8 images, because bytes need a
quarter of the memory traffic of float32. `normalize` follows them. `Mix` (mixup and cutmix) comes after `normalize`: it
blends normalised images and their labels.
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

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # brightness of red, green and blue: ITU-R BT.601


def random_crop(images: Images, rng: Random, padding: int = 4, share: float = 1.0) -> Images:
    """Return a random window of each image, after padding every side with black.

    Each offset is equally likely; with share 1 there are (2·padding + 1)² of them.

    Args:
        images: uint8 (N, 3, H, W).
        rng: draws the offsets.
        padding: pixels added to every side.
        share: the window's height and width as a share of H and W, rounded down.

    Returns:
        uint8 (N, 3, H·share, W·share).

    Raises:
        DataError: padding or share is out of range.
    """
    if padding < 0 or not 0 < share <= 1:
        raise DataError(f"random_crop: padding is {padding}, share {share}, expected at least 0, and 0 to 1")
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    # A view of all windows, (N, C, offsets down, offsets right, H, W); indexing copies only the chosen ones.
    windows = sliding_window_view(padded, [max(1, int(side * share)) for side in images.shape[2:]], axis=(2, 3))
    top, left = (rng.integers(offsets, size=len(images)) for offsets in windows.shape[2:4])
    return windows[np.arange(len(images)), :, top, left]


def random_mirror(images: Images, rng: Random) -> Images:
    """Return a copy of the images, uint8 (N, 3, H, W); each is mirrored left to right with probability ½."""
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, np.newaxis, np.newaxis, np.newaxis], images[..., ::-1], images)


def cutout(images: Images, rng: Random, size: int) -> Images:
    """Return a copy of the images with one grey square in each. Its centre is any pixel, so it may be cut off.

    Grey is close to the paper's zero after normalisation. Source: DeVries & Taylor 2017, arXiv:1708.04552.

    Args:
        images: uint8 (N, 3, H, W).
        rng: draws the centres.
        size: side of the square, in pixels.

    Raises:
        DataError: size is negative.
    """
    if size < 0:
        raise DataError(f"cutout: size is {size}, expected at least 0")
    n, _, height, width = images.shape
    return np.where(_rectangles(rng, n, (height, width), (size, size)), np.uint8(127), images)


def color_jitter(images: Images, rng: Random, strength: float) -> Images:
    """Return the images with random brightness, contrast and saturation, each a factor uniform in 1 ± ``strength``.

    In this order: multiply by b; blend with the image's mean grey by c; blend with each pixel's grey by s. Values are
    clipped and rounded once, at the end. Source: Howard 2013, arXiv:1312.5402.

    Args:
        images: uint8 (N, 3, H, W).
        rng: draws b, c and s for each image.
        strength: 0 to 1.

    Raises:
        DataError: strength is out of range.
    """
    if not 0 <= strength <= 1:
        raise DataError(f"color_jitter: strength is {strength}, expected 0 to 1")
    low, high = 1 - strength, 1 + strength
    b, c, s = rng.uniform(low, high, size=(3, len(images), 1, 1, 1)).astype(np.float32)
    values = images.astype(np.float32)
    grey = np.einsum("nchw,c->nhw", values, _LUMA)[:, np.newaxis]
    mean = grey.mean(axis=(2, 3), keepdims=True)
    # The three steps are linear, so they combine to: s·c·b·x + (1 − s)·c·b·grey + (1 − c)·b·mean.
    values *= s * c * b
    grey *= (1 - s) * c * b
    grey += (1 - c) * b * mean
    values += grey
    return np.rint(values.clip(0, 255, out=values), out=values).astype(np.uint8)


# Principal components of the pixels of ImageNet, RGB in 0 … 1: each row a direction, and its deviation.
_LIGHT_DIRECTIONS = np.array(
    [[-0.5675, -0.5808, -0.5836], [0.7192, -0.0045, -0.6948], [0.4009, -0.8140, 0.4203]], dtype=np.float32
)
_LIGHT_DEVIATIONS = np.array([0.2175, 0.0188, 0.0045], dtype=np.float32)


def lighting(images: Images, rng: Random, deviation: float) -> Images:
    """Return the images with a colour added to each, drawn along the principal components of natural colours.

    Source: Krizhevsky et al. 2012, section 4.1, with deviation 0.1; the components are those of fb.resnet.torch.

    Args:
        images: uint8 (N, 3, H, W).
        rng: draws three factors for each image, normal with mean 0.
        deviation: of the factors, at least 0.

    Raises:
        DataError: deviation is out of range.
    """
    if not 0 <= deviation < np.inf:
        raise DataError(f"lighting: deviation is {deviation}, expected at least 0")
    factors = deviation * rng.standard_normal((len(images), 3)).astype(np.float32)
    colour = 255 * (factors * _LIGHT_DEVIATIONS) @ _LIGHT_DIRECTIONS
    values = images + colour[:, :, np.newaxis, np.newaxis]
    return np.rint(values.clip(0, 255, out=values), out=values).astype(np.uint8)


@dataclass(frozen=True)
class Augment:
    """The augmentations of a run, one after the other: call it as ``augment(images, rng)``. It can be pickled.

    A step is skipped if its argument is 0 or False; the crop is skipped if padding is 0 and share 1.

    Args:
        crop_padding, crop_share: padding and share of `random_crop`.
        mirror: whether to `random_mirror`.
        jitter: strength of `color_jitter`.
        cutout: side of the square of `cutout`, in pixels.
        lighting: deviation of `lighting`.

    Raises:
        DataError: when called with a number out of range.
    """

    crop_padding: int = 4
    mirror: bool = True
    cutout: int = 0
    jitter: float = 0.0
    crop_share: float = 1.0
    lighting: float = 0.0

    def __call__(self, images: Images, rng: Random) -> Images:
        if self.crop_padding or self.crop_share != 1:
            images = random_crop(images, rng, self.crop_padding, self.crop_share)
        if self.mirror:
            images = random_mirror(images, rng)
        if self.jitter:
            images = color_jitter(images, rng, self.jitter)
        if self.lighting:
            images = lighting(images, rng, self.lighting)
        if self.cutout:
            images = cutout(images, rng, self.cutout)
        return images


standard_augment = Augment()  # CIFAR's usual augmentation: a random crop after padding by 4, then a random mirror


@dataclass(frozen=True)
class Mix:
    """Blend each image of a normalised batch with another image of the batch. It can be pickled.

    With both mixup and cutmix, each is chosen for half of the batches. A batch has one λ and one rectangle, as in the
    authors' code. Sources: mixup, Zhang et al. 2018, arXiv:1710.09412; cutmix, Yun et al. 2019, arXiv:1905.04899.

    Args:
        num_classes: columns of the targets.
        mixup, cutmix: α of the distribution Beta(α, α) of the share λ; 0 switches it off.

    Raises:
        DataError: a number is out of range.
    """

    num_classes: int
    mixup: float = 0.0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        if self.num_classes < 1 or not (0 <= self.mixup < np.inf and 0 <= self.cutmix < np.inf):
            raise DataError(f"{self} is out of range, expected num_classes from 1, mixup and cutmix from 0")

    def __call__(self, images: Floats, labels: NDArray[np.int64], rng: Random) -> tuple[Floats, Floats]:
        """Return new images (n, 3, H, W) and targets (n, num_classes), float32, each row of sum 1."""
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
    """Return ``(images / 255 - mean) / std`` as float32.

    Args:
        images: uint8 (N, 3, H, W).
        mean, std: one number, or three, one per channel; in units of 0 … 1.

    Raises:
        DataError: a std is not positive; images of a single colour have a std of 0.
    """
    mean_value = _per_channel(mean, "normalize: mean")
    std_value = _per_channel(std, "normalize: std")
    if not (std_value > 0).all():
        raise DataError(f"normalize: std is {std!r}, expected positive numbers")
    # Equal to one multiplication and one addition: images · 1/(255 std) - mean/std.
    scale = (1 / (255 * std_value)).astype(np.float32)
    shift = (-mean_value / std_value).astype(np.float32)
    out = np.multiply(images, scale, dtype=np.float32)
    out += shift
    return out


def _per_channel(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """Return one number, or three, in a shape that broadcasts over (N, 3, H, W). Raises DataError."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape not in ((), (3,)):
        raise DataError(f"{what} has shape {array.shape}, expected one number or three, one per channel")
    return array.reshape(-1, 1, 1)


def _rectangles(rng: Random, count: int, extent: tuple[int, int], sides: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels are covered by rectangles around random pixels: (count, 1, height, width).

    extent: height and width of the image; sides: height and width of each rectangle.
    """
    inside = []
    for size, side in zip(extent, sides, strict=True):
        first = rng.integers(size, size=(count, 1)) - side // 2
        positions = np.arange(size)
        inside.append((positions >= first) & (positions < first + side))
    rows, columns = inside
    return rows[:, np.newaxis, :, np.newaxis] & columns[:, np.newaxis, np.newaxis, :]
