"""Recipes: named sets of training settings, for `train_cifar.py --recipe NAME`."""

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
    # Half an hour on two cores, to 86.2 % on CIFAR-10: the trained network that comes with the package.
    "quick": {
        "model": "sknet_small",
        "epochs": 21,
        "small_epochs": 11,
        "batch_size": 128,
        "optimizer": "sgd",
        "lr": 0.4,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "onecycle",
        "warmup_epochs": 0.0,
        "label_smoothing": 0.1,
        "crop_padding": 4,
        "mirror": True,
    },
}
