"""Config: all that decides the numbers of a run, each setting with its meaning, unit and bounds.

The command line, config.json, the checks and the help are all made from this one table, and so are the Loaders.
"""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import models
from ..data import DATASETS, Augment, ImageDataset, Loader, Mix
from ..errors import MiniskError

TEST_BATCH = 256

SCHEDULES = ("onecycle", "cosine", "step")

_KINDS: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,), "bool": (bool,)}
_BOUNDS = {"above": operator.gt, "at_least": operator.ge, "below": operator.lt, "at_most": operator.le}


def _setting(default: Any, help: str, metavar: str = "N", choices: tuple[str, ...] = (), **bounds: float) -> Any:
    about = {"help": help, "metavar": metavar, "choices": choices, "bounds": bounds}
    return dataclasses.field(default=default, metadata=about)


@dataclass(frozen=True)
class Config:
    """All that decides the numbers of a run; written to config.json, and into every checkpoint. Raises MiniskError."""

    dataset: str = _setting("shapes", "what to train on; shapes is drawn on the spot", choices=DATASETS)
    data_dir: str | None = _setting(None, "unpacked CIFAR archive, or train/CLASS/*.png and test/CLASS/*.png", "DIR")
    train_images: int | None = _setting(None, "train on so many images only, spread evenly", at_least=1)
    test_images: int | None = _setting(None, "test on so many images only, spread evenly", at_least=1)
    model: str = _setting("sknet_small", ", ".join(models.NAMES), "NAME", choices=models.NAMES)
    epochs: int = _setting(6, "passes over the training images", above=0)
    batch_size: int = _setting(128, "images per step", above=0)
    accumulate: int = _setting(1, "parts a batch is computed in, one after the other, to save memory", at_least=1)
    lr: float = _setting(0.2, "peak learning rate", "F", above=0)
    momentum: float = _setting(0.9, "Nesterov momentum, a share", "F", at_least=0, below=1)
    weight_decay: float = _setting(5e-4, "per unit of learning rate; none on batch norm and biases", "F", at_least=0)
    label_smoothing: float = _setting(0.0, "share spread over all classes", "F", at_least=0, at_most=1)
    schedule: str = _setting("onecycle", "of the learning rate; step: ×0.1 at 1/2 and 3/4", choices=SCHEDULES)
    warmup_epochs: float = _setting(0.0, "epochs of linear rise of the learning rate", "F", at_least=0)
    clip_norm: float = _setting(0.0, "longest the gradient of all weights together may be; 0: any", "F", at_least=0)
    ema: float = _setting(0.0, "test averaged weights; the share kept at a step; 0: none", "F", at_least=0, below=1)
    crop_padding: int = _setting(4, "pixels an image is moved by at most", at_least=0)
    small_epochs: int = _setting(0, "epochs that begin the run with windows of ¾ of the images' sides", at_least=0)
    mirror: bool = _setting(True, "mirror half of the images")
    cutout: int = _setting(0, "side in pixels of a square cut out of each image; 0: none", at_least=0)
    jitter: float = _setting(0.0, "strength of random changes of colour, a share", "F", at_least=0, at_most=1)
    mixup: float = _setting(0.0, "mix two images; shape of the beta distribution of shares; 0: none", "F", at_least=0)
    cutmix: float = _setting(0.0, "paste a part of another image; as --mixup; 0: none", "F", at_least=0)
    seed: int = _setting(0, "of every random choice: same seed, same bits", at_least=0)
    device: str = _setting("auto", "where to compute: auto, cpu, cuda or cuda:1", "NAME")

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check(field, getattr(self, field.name))
        if self.accumulate > self.batch_size:
            raise MiniskError(f"accumulate {self.accumulate} must be at most batch_size {self.batch_size}")

    def augment(self, epoch: int) -> Augment:
        """The augmentations of an epoch, from 1. Windows are cut out of small epochs' images as they are, unpadded."""
        padding, share = (0, 0.75) if epoch <= self.small_epochs else (self.crop_padding, 1.0)
        return Augment(padding, self.mirror, self.cutout, self.jitter, share)

    def changes_from(self, before: Mapping[str, Any]) -> list[str]:
        """Name each setting of an earlier run that differs from this Config's; the device may change."""
        now = dataclasses.asdict(self)
        return [f"{k} {before.get(k)!r} is now {now[k]!r}" for k in now if k != "device" and before.get(k) != now[k]]


def kind_of(field: dataclasses.Field[Any]) -> str:
    """Return a setting's type, "int", "float", "str" or "bool", whether or not it may also be None."""
    return str(field.type).removesuffix(" | None")


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    if value is None and str(field.type).endswith("None"):
        return
    kind, choices = kind_of(field), field.metadata["choices"]
    fits: bool = isinstance(value, _KINDS[kind]) and (kind == "bool" or not isinstance(value, bool))
    if not fits:
        raise MiniskError(f"{field.name} {value!r} must be of type {kind}")
    if choices and value not in choices:
        raise MiniskError(f"{field.name} {value!r} must be one of {', '.join(choices)}")
    for name, bound in field.metadata["bounds"].items():
        if not _BOUNDS[name](value, bound):
            raise MiniskError(f"{field.name} {value} must be {name.replace('_', ' ')} {bound:g}")
    if isinstance(value, float) and not math.isfinite(value):
        raise MiniskError(f"{field.name} {value} must be finite")


def make_loaders(
    config: Config, train_set: ImageDataset, test_set: ImageDataset, workers: int = 0
) -> tuple[Loader, Loader]:
    """Make the loaders of training and test images, both normalised by the training images' mean and deviation.

    workers: processes that prepare training batches; no bit depends on it. Raises MiniskError, DataError.
    """
    if config.batch_size > len(train_set):
        raise MiniskError(f"batch_size {config.batch_size} is more than the {len(train_set)} training images")
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
    )
    return train, Loader(test_set, TEST_BATCH, mean=mean, std=std)
