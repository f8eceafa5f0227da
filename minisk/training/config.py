"""Config: every setting that decides the numbers of a run, with its meaning, unit and bounds.

The command line, config.json, the checks and the help text are all made from this one table.
"""

import dataclasses
import math
import operator
import reprlib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import models
from ..data import DATASETS, Augment
from ..errors import MiniskError

SCHEDULES = ("onecycle", "cosine", "step")
OPTIMIZERS = ("sgd", "adamw", "muon")
_LARGEST = 10**15  # of a number: a float holds every whole number up to 9·10¹⁵
GROUPS = ("data", "model", "optimizer", "schedule", "run")

# Defaults that depend on the optimizer, used where a setting is None.
_OPTIMIZER_DEFAULTS = {
    "sgd": {"lr": 0.2, "weight_decay": 5e-4},
    "adamw": {"lr": 1e-3, "weight_decay": 1e-2},
    "muon": {"lr": 0.06, "weight_decay": 0.03},
}
# Settings that an optimizer ignores: one that is not at its default is an error.
_IGNORED_BY = {"sgd": ("beta1", "beta2"), "adamw": ("momentum",), "muon": ("beta1", "beta2")}
# Settings that older runs lack, with the values that those runs used.
_VALUES_BEFORE_ADDED = {
    "optimizer": "sgd",
    "beta1": 0.9,
    "beta2": 0.999,
    "freeze_bn": False,
    "least_area": 0.08,
    "lighting": 0.0,
    "max_broken": 0,
    "step_epochs": 0,
    "precision": "float32",
    "sync_bn": True,
}

# Settings that may change when a run is resumed. The images of data_dir are compared by content instead.
_FREE_TO_CHANGE = ("device", "data_dir")
# Settings that concern photographs of any size alone, and those that concern images of one size alone.
_FOR_PHOTOS = ("image_size", "least_area", "lighting", "max_broken")
_FOR_IMAGES = ("crop_padding", "small_epochs")

_BOUNDS: dict[str, Callable[[Any, Any], bool]] = {
    "above": operator.gt,
    "at_least": operator.ge,
    "below": operator.lt,
    "at_most": operator.le,
}


class SettingError(MiniskError):
    """A setting has a value that cannot work. The message starts with the setting's name.

    Attributes:
        setting: the name.
        problem: the rest of the sentence; the command line puts the flag in front of it.
    """

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting} {problem}")
        self.setting, self.problem = setting, problem


def _setting(
    group: str, default: Any, help: str, metavar: str = "N", choices: tuple[str, ...] = (), **bounds: float
) -> Any:
    about = {"group": group, "help": help, "metavar": metavar, "choices": choices, "bounds": bounds}
    return dataclasses.field(default=default, metadata=about)


@dataclass(frozen=True)
class Config:
    """Every setting that decides the numbers of a run; stored in config.json and in each checkpoint.

    Raises SettingError. The help text of each field is its documentation: `python train_cifar.py --help`.
    """

    dataset: str = _setting(
        "data",
        "shapes",
        "shapes is generated; folder is your own images of one size; imagenet is photographs of any size",
        choices=DATASETS,
    )
    data_dir: str | None = _setting(
        "data",
        None,
        "unpacked CIFAR archive; or images as train/CLASS/*.png and test/CLASS/*.png; or photographs in train and val,"
        " as files or as shards",
        "DIR",
    )
    image_size: int | None = _setting(
        "data",
        None,
        "imagenet: side of the views in pixels (default: the model's input size)",
        at_least=1,
        at_most=1024,
    )
    least_area: float = _setting(
        "data", 0.08, "imagenet: least share of a photograph in a view", "F", above=0, at_most=1
    )
    lighting: float = _setting("data", 0.0, "imagenet: deviation of random lighting; 0.1 is usual", "F", at_least=0)
    max_broken: int = _setting("data", 0, "imagenet: photographs that may be left out as unreadable", at_least=0)
    train_images: int | None = _setting("data", None, "use only this many training images, evenly spaced", at_least=1)
    test_images: int | None = _setting("data", None, "use only this many test images, evenly spaced", at_least=1)
    model: str = _setting("model", "sknet_small", ", ".join(models.NAMES), "NAME", choices=models.NAMES)
    init: str | None = _setting("model", None, "begin with the weights of this checkpoint or foreign file", "FILE")
    freeze_bn: bool = _setting("model", False, "keep batch norm's statistics, scale and bias as they are")
    epochs: int = _setting("schedule", 6, "passes over the training images", above=0)
    batch_size: int = _setting("data", 128, "images per step", above=0)
    accumulate: int = _setting("optimizer", 1, "parts a batch is computed in, one by one, to save memory", at_least=1)
    optimizer: str = _setting("optimizer", "sgd", "sgd and muon: with Nesterov momentum", choices=OPTIMIZERS)
    lr: float = _setting(
        "optimizer", None, "peak learning rate (default: 0.2 with sgd, 0.001 with adamw, 0.06 with muon)", "F", above=0
    )
    momentum: float = _setting("optimizer", 0.9, "momentum of sgd and muon", "F", at_least=0, below=1)
    beta1: float = _setting("optimizer", 0.9, "adamw: decay of the mean gradient", "F", at_least=0, below=1)
    beta2: float = _setting("optimizer", 0.999, "adamw: decay of the mean square", "F", at_least=0, below=1)
    weight_decay: float = _setting(
        "optimizer",
        None,
        "decay per unit of learning rate; none on batch norm and biases (default: 0.0005 with sgd, 0.01 with"
        " adamw, 0.03 with muon)",
        "F",
        at_least=0,
    )
    label_smoothing: float = _setting("optimizer", 0.0, "share spread over all classes", "F", at_least=0, below=1)
    schedule: str = _setting("schedule", "onecycle", "of the learning rate; step: ×0.1 now and then", choices=SCHEDULES)
    step_epochs: int = _setting("schedule", 0, "step: epochs between its falls; 0: at 1/2 and 3/4", at_least=0)
    warmup_epochs: float = _setting("schedule", 0.0, "epochs of linear rise of the learning rate", "F", at_least=0)
    clip_norm: float = _setting("optimizer", 0.0, "largest norm of the whole gradient; 0: no limit", "F", at_least=0)
    ema: float = _setting(
        "optimizer", 0.0, "test averaged weights; the share kept per step; 0: off", "F", at_least=0, below=1
    )
    crop_padding: int = _setting("data", 4, "largest shift of an image, in pixels", at_least=0)
    small_epochs: int = _setting("data", 0, "first epochs that train on windows of ¾ of the image sides", at_least=0)
    mirror: bool = _setting("data", True, "mirror half of the images")
    cutout: int = _setting("data", 0, "side in pixels of a square cut out of each image; 0: off", at_least=0)
    jitter: float = _setting("data", 0.0, "strength of random colour changes, a share", "F", at_least=0, at_most=1)
    mixup: float = _setting("data", 0.0, "blend two images; α of the Beta distribution; 0: off", "F", at_least=0)
    cutmix: float = _setting("data", 0.0, "paste a part of another image; α as for --mixup; 0: off", "F", at_least=0)
    sync_bn: bool = _setting("run", True, "several processes: batch norm over the images of all of them")
    seed: int = _setting("run", 0, "seed of every random choice: same seed, same bits", at_least=0)
    precision: str = _setting(
        "run", "float32", "mixed: products in float16, for GPUs; slow on a CPU", choices=("float32", "mixed")
    )
    device: str = _setting("run", "auto", "device to compute on: auto, cpu, cuda or cuda:1", "NAME")

    def __post_init__(self) -> None:
        for name, value in _OPTIMIZER_DEFAULTS.get(str(self.optimizer), {}).items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            _check(field, value)
            if kind_of(field) is float:
                object.__setattr__(self, field.name, float(value))  # a JSON file may say 1 for 1.0
            if value != field.default and (cause := self._why_ignored(field.name)):
                raise SettingError(field.name, f"{value} has no effect: {cause} ignores it")
        if self.accumulate > self.batch_size:
            raise SettingError("accumulate", f"{self.accumulate} must be at most the batch size, {self.batch_size}")
        if self.freeze_bn and self.init is None:
            raise SettingError("freeze_bn", "needs --init: a new network's batch norms have no statistics yet")
        if self.small_epochs > self.epochs:
            raise SettingError("small_epochs", f"{self.small_epochs} must be at most the epochs, {self.epochs}")
        if self.warmup_epochs > self.epochs:
            raise SettingError("warmup_epochs", f"{self.warmup_epochs} must be at most the epochs, {self.epochs}")

    def _why_ignored(self, name: str) -> str | None:
        """Return the flag of the choice that ignores this setting, or None."""
        if name in _IGNORED_BY.get(str(self.optimizer), ()):
            return f"--optimizer {self.optimizer}"
        if name in (_FOR_IMAGES if self.dataset == "imagenet" else _FOR_PHOTOS):
            return f"--dataset {self.dataset}"
        return f"--schedule {self.schedule}" if name == "step_epochs" and self.schedule != "step" else None

    def augment(self, epoch: int) -> Augment:
        """Return the augmentations of an epoch, counted from 1. Small epochs cut windows out of unpadded images."""
        padding, share = (0, 0.75) if epoch <= self.small_epochs else (self.crop_padding, 1.0)
        if self.dataset == "imagenet":  # the views of photographs are random crops already
            padding = 0
        return Augment(padding, self.mirror, self.cutout, self.jitter, share, self.lighting)

    @property
    def view_size(self) -> int:
        """The side of an image in pixels, of photographs."""
        return self.image_size or models.input_size(self.model)

    def changes_from(self, before: Mapping[str, Any]) -> list[str]:
        """Describe each setting, by its flag, that differs from an earlier run's; device and data_dir may change."""
        earlier = {**_VALUES_BEFORE_ADDED, **before}
        changes = []
        for name, value in dataclasses.asdict(self).items():
            if name not in _FREE_TO_CHANGE and earlier.get(name) != value:
                changes.append(f"--{name.replace('_', '-')} {reprlib.repr(earlier.get(name))} is now {value!r}")
        return changes


def kind_of(field: dataclasses.Field[Any]) -> type:
    """Return a setting's type, int, float, str or bool, whether or not it may also be None."""
    members: tuple[Any, ...] = typing.get_args(field.type) or (field.type,)
    kind: type = members[0]
    return kind


def _check(field: dataclasses.Field[Any], value: Any) -> None:
    kind, about, shown = kind_of(field), field.metadata, reprlib.repr(value)
    if value is None and type(None) in typing.get_args(field.type):
        return
    accepted = (int, float) if kind is float else (kind,)
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        raise SettingError(field.name, f"{shown} must be of type {kind.__name__}")
    if about["choices"] and value not in about["choices"]:
        raise SettingError(field.name, f"{shown} must be one of {', '.join(about['choices'])}")
    for name, bound in about["bounds"].items():
        if not _BOUNDS[name](value, bound):
            raise SettingError(field.name, f"{shown} must be {name.replace('_', ' ')} {bound:g}")
    if isinstance(value, float) and not math.isfinite(value):
        raise SettingError(field.name, f"{shown} must be finite")
    if isinstance(value, int | float) and abs(value) > _LARGEST:
        raise SettingError(field.name, f"{shown} must be at most {_LARGEST:.0e}")
