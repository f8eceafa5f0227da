"""Mixup and cutmix: a batch blended with itself in another order, and targets that say how much of what is in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError


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

    def __call__(
        self, images: NDArray[np.float32], labels: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
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
            images, share = _paste(images, images[other], share, rng)
        else:
            images = share * images + (1 - share) * images[other]
        return images, share * targets + (1 - share) * targets[other]


def _paste(
    images: NDArray[np.float32], others: NDArray[np.float32], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """Paste a rectangle of about 1 − ``share`` of the area; return the images and the share that is left of them."""
    height, width = images.shape[2:]
    side = np.sqrt(1 - share)
    top, bottom = _span(rng.integers(height), side * height, height)
    left, right = _span(rng.integers(width), side * width, width)
    pasted = images.copy()
    pasted[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return pasted, 1 - (bottom - top) * (right - left) / (height * width)


def _span(centre: np.int64, length: float, extent: int) -> tuple[int, int]:
    first = int(centre) - int(length) // 2
    return max(first, 0), min(first + int(length), extent)
