"""The images of a run: the loaders that a Config describes, and checks that they are the images they should be."""

import logging
from collections.abc import Mapping
from typing import Any

from .. import models
from ..data import IMAGENET_NORMALIZATION, CenterView, Dataset, Loader, Mix, Photos, RandomResizedView, load_dataset
from ..data.cifar import CLASSES
from ..errors import CheckpointError
from .config import Config, SettingError

log = logging.getLogger("minisk")


def load_images(config: Config) -> tuple[Dataset, Dataset]:
    """Return the training and the test images that a Config describes. Raises DataError."""
    train_view = RandomResizedView(config.view_size, config.least_area)
    train_set = load_dataset(config.dataset, config.data_dir, "train", size_limit=config.train_images, view=train_view)
    return train_set, load_test_images(config, CenterView(config.view_size))


def load_test_images(config: Config, view: CenterView) -> Dataset:
    """Return the test images that a Config describes, photographs through a view. Raises DataError."""
    return load_dataset(config.dataset, config.data_dir, "test", size_limit=config.test_images, view=view)


def make_loaders(config: Config, train_set: Dataset, test_set: Dataset, workers: int = 0) -> tuple[Loader, Loader]:
    """Return the loaders of training and test images, both normalised by the training images' mean and deviation.

    Photographs are normalised as the model's published weights expect, or by ImageNet's mean and deviation.

    Args:
        config: batch size, seed and augmentations.
        train_set: shuffled, augmented, without a last batch that is not full.
        test_set: in stored order, not augmented.
        workers: processes that prepare training batches; the bits do not depend on it.

    Raises:
        SettingError: the settings ask for more images than there are, or the batch size is larger than the training
            set, or a shift or cutout larger than the images.
        DataError: an image cannot be read.
    """
    for name, dataset in (("train_images", train_set), ("test_images", test_set)):
        wanted = getattr(config, name)
        if wanted is not None and wanted > len(dataset):
            raise SettingError(name, f"{wanted} is more than the {len(dataset)} images of {dataset.name}")
    if config.batch_size > len(train_set):
        raise SettingError("batch_size", f"{config.batch_size} is more than the {len(train_set)} training images")
    side = min(train_set.image_size)
    for name, value, most in (("crop_padding", config.crop_padding, side - 1), ("cutout", config.cutout, side)):
        if value > most:
            raise SettingError(name, f"{value} must be at most {most}, the images have {side} pixels a side")
    if isinstance(train_set, Photos):
        normalization = models.info(config.model).normalization or IMAGENET_NORMALIZATION
        mean, std = (list(normalization[name]) for name in ("mean", "std"))
    else:
        mean, std = (values.tolist() for values in train_set.mean_std())
    mix = Mix(len(train_set.classes), config.mixup, config.cutmix) if config.mixup or config.cutmix else None
    train = Loader(
        train_set,
        config.batch_size,
        shuffle=True,
        augment=config.augment(1),
        mix=mix,
        seed=config.seed,
        drop_last=True,
        mean=mean,
        std=std,
        workers=workers,
        max_broken=config.max_broken,
    )
    test = Loader(
        test_set,
        test_set.images_at_once,
        mean=mean,
        std=std,
        workers=workers if isinstance(test_set, Photos) else 0,
        max_broken=config.max_broken,
    )
    return train, test


def describe_images(train_set: Dataset, test_set: Dataset) -> dict[str, Any]:
    """Return the checksum of both sets, and the height and width of a training image in pixels."""
    return {"data_checksum": test_set.checksum(train_set.checksum()), "image_size": list(train_set.image_size)}


def check_same_data(about: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Raise CheckpointError unless a checkpoint's data set is this one.

    Args:
        about: the checkpoint's description; one of an older minisk lacks the checksum.
        data: `describe_images` and `normalization` of the data set that was loaded.
    """
    if any(about.get(name, value) != value for name, value in data.items()):
        raise CheckpointError("the run was trained on other images: give its own --data-dir, or choose another --out")


def check_classes(dataset: Dataset) -> None:
    """Log a warning if a data set bears the name of CIFAR but has another number of classes."""
    expected, found = CLASSES.get(dataset.name, len(dataset.classes)), len(dataset.classes)
    if found != expected:
        problem = f"{dataset.name} has {expected} classes, but --data-dir has {found}"
        log.warning("%s; for your own images use --dataset folder", problem)
