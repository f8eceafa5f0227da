"""The training programs, train_cifar.py and train_imagenet.py: their defaults, and named sets of settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RECIPES: dict[str, dict[str, Any]] = {
    # ResNeXt-29 on CIFAR (Xie et al., 2017), which SKNet-29 follows; "step" falls at epochs 150 and 225 of 300.
    "paper": {
        "model": "sknet29",
        "epochs": 300,
        "batch_size": 128,
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "step",
        "warmup_epochs": 0.0,
        "crop_padding": 4,
        "mirror": True,
    },
    # Half an hour on two cores, to 87.9 % on CIFAR-10: the network that comes with the package. See docs/recipes.md.
    "quick": {
        "model": "sknet_small",
        "epochs": 20,
        "small_epochs": 13,
        "batch_size": 128,
        "optimizer": "muon",
        "lr": 0.06,
        "momentum": 0.9,
        "weight_decay": 0.03,
        "schedule": "onecycle",
        "warmup_epochs": 0.0,
        "label_smoothing": 0.1,
        "crop_padding": 2,
        "mirror": True,
    },
}

# SKNet on ImageNet (Li et al., 2019, section 4.1), which follows SENet.
_PAPER_IMAGENET: dict[str, Any] = {
    "model": "sknet50",
    "epochs": 100,
    "batch_size": 256,
    "optimizer": "sgd",
    "lr": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "label_smoothing": 0.1,
    "schedule": "step",
    "step_epochs": 30,
    "least_area": 0.08,
    "mirror": True,
}


_BELONG_TO = {"optimizer": ("lr", "momentum", "weight_decay"), "schedule": ("step_epochs",)}


@dataclass(frozen=True)
class Program:
    """A training program.

    description: the first line of its help. recipes: sets of settings by name. defaults: settings that differ from
    those of Config.
    """

    description: str
    recipes: dict[str, dict[str, Any]]
    defaults: dict[str, Any] = field(default_factory=dict)

    def defaults_for(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the defaults that go with the settings given."""
        return _fitting(self.defaults, given)

    def recipe_for(self, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a recipe that go with the settings given."""
        return _fitting(self.recipes[name], given)


def _fitting(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the settings of an optimizer or a schedule if another one is given, which has its own."""
    others = [choice for choice in _BELONG_TO if choice in given and given[choice] != settings.get(choice)]
    ignored = [name for choice in others for name in _BELONG_TO[choice]]
    return {name: value for name, value in settings.items() if name not in ignored}


PROGRAMS = {
    "train_cifar": Program("Train a selective-kernel network on CIFAR, or on generated shapes.", RECIPES),
    "train_imagenet": Program(
        "Train a network on photographs of any size: ImageNet, or your own in train/CLASS and val/CLASS.",
        {"paper": _PAPER_IMAGENET},
        {**_PAPER_IMAGENET, "dataset": "imagenet"},
    ),
}
