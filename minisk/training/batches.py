"""From a Config to batches: the one place that knows how settings of augmentation become a Loader."""

from __future__ import annotations

import numpy as np

from ..data import ImageDataset, Loader, random_crop, random_mirror
from ..data.transforms import Augmentation, Images
from ..errors import MiniskError
from .config import Config

TEST_BATCH = 256


def make_loaders(
    config: Config, train_set: ImageDataset, test_set: ImageDataset, workers: int = 0
) -> tuple[Loader, Loader]:
    """Make the loaders of training and test images, both normalised by the training images' mean and deviation.

    workers: processes that prepare batches; no bit depends on it. Raises MiniskError, DataError.
    """
    absent = [name for name in ("cutout", "jitter", "mixup", "cutmix") if getattr(config, name)]
    absent += ["workers"] if workers else []
    if absent:
        raise MiniskError(f"{', '.join(absent)}: not available yet")
    if config.batch_size > len(train_set):
        raise MiniskError(f"batch_size {config.batch_size} is more than the {len(train_set)} training images")
    mean, std = (values.tolist() for values in train_set.mean_std())
    train = Loader(
        train_set, config.batch_size, shuffle=True, augment=_augmentation(config), seed=config.seed, drop_last=True,
        mean=mean, std=std,
    )  # fmt: skip
    return train, Loader(test_set, TEST_BATCH, mean=mean, std=std)


def _augmentation(config: Config) -> Augmentation | None:
    if not config.crop_padding and not config.mirror:
        return None

    def augment(images: Images, rng: np.random.Generator) -> Images:
        if config.crop_padding:
            images = random_crop(images, rng, config.crop_padding)
        return random_mirror(images, rng) if config.mirror else images

    return augment
