"""From a Config to batches: the one place that knows how settings of augmentation become a Loader."""

from __future__ import annotations

from ..data import Augment, ImageDataset, Loader, Mix
from ..errors import MiniskError
from .config import Config

TEST_BATCH = 256


def make_loaders(
    config: Config, train_set: ImageDataset, test_set: ImageDataset, workers: int = 0
) -> tuple[Loader, Loader]:
    """Make the loaders of training and test images, both normalised by the training images' mean and deviation.

    workers: processes that prepare training batches; no bit depends on it. Raises MiniskError, DataError.
    """
    if config.batch_size > len(train_set):
        raise MiniskError(f"batch_size {config.batch_size} is more than the {len(train_set)} training images")
    mean, std = (values.tolist() for values in train_set.mean_std())
    augment = Augment(config.crop_padding, config.mirror, config.cutout, config.jitter)
    mix = Mix(len(train_set.classes), config.mixup, config.cutmix) if config.mixup or config.cutmix else None
    train = Loader(
        train_set, config.batch_size, shuffle=True, augment=augment, mix=mix, seed=config.seed, drop_last=True,
        mean=mean, std=std, workers=workers,
    )  # fmt: skip
    return train, Loader(test_set, TEST_BATCH, mean=mean, std=std)
