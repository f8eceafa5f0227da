"""A training run that is small enough for a test: 64 images of shapes and a network of 8 channels, in this process."""

import itertools

from minisk import models, nn
from minisk.data import make_shapes
from minisk.models.sknet import ResidualNet, Stage, cifar_stem
from minisk.training import Config, Trainer, images

SPLITS = {"train": make_shapes(64, seed=1), "test": make_shapes(32, seed=2)}


def tiny_net(name, num_classes):
    """Return a network with one selective-kernel unit on 4×4 pixels, for any name."""
    assert name in models.NAMES

    def unit(inputs, width, outputs, stride, project):
        return models.SKUnit(inputs, width, outputs, stride, project, [(3, 1, 4), (3, 2, 4)], L=4)

    stem = nn.Sequential(cifar_stem(8), nn.AvgPool2d(4))
    return ResidualNet(stem, 8, [Stage(8, 8, 1, 2)], unit, num_classes)


def use_tiny(monkeypatch):
    monkeypatch.setattr(images, "load_dataset", lambda name, data_dir, split, size_limit, view: SPLITS[split])
    monkeypatch.setattr(models, "create", tiny_net)


def config(**settings):
    return Config(**{"epochs": 1, "batch_size": 16, "lr": 0.1, "device": "cpu", **settings})


def trained(out, resume=False, stop_after=None, **settings):
    """Train to the end, or stop after so many epochs as if the process had ended there."""
    trainer = Trainer(config(**settings), out, resume)
    list(itertools.islice(trainer.run(progress=False), stop_after))
    return trainer


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def kept(folder):
    """Return the files that a failure must not change: all but the log and the lock."""
    return {name: content for name, content in contents(folder).items() if name not in ("log.jsonl", "lock")}


def weights(trainer):
    return {name: value.numpy().copy() for name, value in trainer.model.state_dict().items()}


def assert_same_bits(one, other):
    assert one.keys() == other.keys()
    assert [name for name in one if one[name].tobytes() != other[name].tobytes()] == []
