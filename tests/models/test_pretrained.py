"""The trained network that comes with the package: its logits, its size, its use by `minisk predict`."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import minisk as ms
from minisk import models
from minisk.__main__ import main
from minisk.data import make_shapes, normalize
from minisk.evaluation import load_classifier

NAME = "sknet_small-cifar10"
# Logits for three generated images, stored when the network was trained.
LOGITS = [
    [0.6127, 0.8546, -0.6182, -0.1753, -0.7053, -1.3040, -0.7971, -1.3578, 0.1410, 3.3504],
    [2.1564, -0.9837, -0.1520, 0.5081, -1.0379, -0.4368, 0.2713, -1.2494, 1.6009, -0.6758],
    [-0.9279, -1.3104, 0.4068, 1.2394, 3.4987, -0.5208, 1.1326, -1.5418, -1.1109, -0.8647],
]


def test_the_network_returns_the_stored_logits():
    classifier = load_classifier(NAME)
    images = normalize(make_shapes(3, seed=7).images, **classifier.normalization)
    model = models.load(NAME)
    assert not model.training
    for network in (model, classifier.model):
        with ms.no_grad():
            np.testing.assert_allclose(network(ms.tensor(images)).numpy(), LOGITS, rtol=0, atol=2e-3)


def test_the_file_is_below_3_mb_and_contains_the_classes():
    assert models.TRAINED[NAME].stat().st_size < 3_000_000
    assert load_classifier(NAME).classes[:3] == ("airplane", "automobile", "bird")


def test_predict_uses_the_network_by_default(tmp_path, capsys):
    Image.new("RGB", (40, 60), "navy").save(tmp_path / "photo.png")
    assert main(["predict", str(tmp_path / "photo.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[0].startswith(str(tmp_path / "photo.png")) and lines[0].endswith("%")


def test_an_unknown_name_is_an_error_that_lists_the_names():
    with pytest.raises(ms.MiniskError, match=r"'resnet152'.*sknet_small-cifar10"):
        models.load("resnet152")
