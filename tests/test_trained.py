"""The network that comes trained: what it answers, and how it is asked."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import minisk as ms
from minisk import models
from minisk.__main__ import main
from minisk.data import make_shapes, normalize
from minisk.predict import load_classifier

NAME = "sknet_small-cifar10"
# Of three generated images, as the network answered when it was trained.
LOGITS = [
    [0.4420, -1.2649, -0.0363, 0.9244, 0.0726, -1.2638, 1.0281, -1.8961, 0.3593, 1.6355],
    [3.1774, -0.7827, 0.1035, 0.7446, -1.1578, -0.2008, 1.4613, -1.2449, -1.2620, -0.8377],
    [-0.3919, -0.8516, 0.2111, 0.9359, 2.9713, -0.0946, 1.1246, -1.3744, -1.3960, -1.1336],
]


def test_the_stored_logits_come_again():
    classifier = load_classifier(NAME)
    images = normalize(make_shapes(3, seed=7).images, **classifier.normalization)
    model = models.load(NAME)
    assert not model.training
    for network in (model, classifier.model):
        with ms.no_grad():
            np.testing.assert_allclose(network(ms.tensor(images)).numpy(), LOGITS, rtol=0, atol=2e-3)


def test_it_is_small_and_knows_its_classes():
    assert models.TRAINED[NAME].stat().st_size < 3_000_000
    assert load_classifier(NAME).classes[:3] == ("airplane", "automobile", "bird")


def test_predict_uses_it_by_default(tmp_path, capsys):
    Image.new("RGB", (40, 60), "navy").save(tmp_path / "photo.png")
    assert main(["predict", str(tmp_path / "photo.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[0].startswith(str(tmp_path / "photo.png")) and lines[0].endswith("%")


def test_a_name_that_is_not_known():
    with pytest.raises(ms.MiniskError, match=r"'resnet152'.*sknet_small-cifar10"):
        models.load("resnet152")
