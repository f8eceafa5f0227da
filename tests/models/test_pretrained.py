"""The trained networks that come with the package: their logits, their size, their use by `minisk predict`."""

from __future__ import annotations

import numpy as np
import pytest
from foreign_files import pth_of_arrays, write
from PIL import Image

import minisk as ms
from minisk import models
from minisk.__main__ import main
from minisk.data import make_shapes, normalize
from minisk.errors import CheckpointError
from minisk.evaluation import load_classifier

NAME = "sknet_small-cifar10"
# The first logits for three generated images, enlarged by repeating pixels, stored when the network was trained.
LOGITS = {
    NAME: [
        [1.4531, 0.1290, -0.6866, 0.1375, -0.5661, -1.2173, 0.3450, -1.7234, 0.4649, 1.6656],
        [3.0468, -1.0871, 1.7188, 1.3913, -0.5944, -0.2977, 0.4289, -1.6762, -1.2319, -1.6967],
        [-0.2593, -0.6838, 2.0972, 0.8131, 2.2988, -1.4634, 0.9869, -1.6283, -1.4263, -0.7332],
    ],
    "sknet_small-shapes": [
        [-4.1872, 0.2619, 0.7198, 8.0384, -0.3472, -2.0888, -3.5777, -2.1682, 3.4072, -0.1153],
        [-0.6222, -4.8965, -2.2972, -4.2457, 0.0849, 1.9858, 1.0561, 13.8643, 4.0354, -8.8692],
        [3.5536, -7.6838, 14.2995, 1.0385, 2.4622, -0.2254, -5.6700, 0.2714, -4.6267, -3.4070],
    ],
    "sknet_small-tiny-imagenet-25": [
        [5.2947, 1.4058, 1.6441, 0.1360, -0.3062, -0.8182, -0.2087, -2.3935, -0.1179, 2.8700],
        [0.8821, -0.5308, -1.0304, -0.8640, -1.0235, -1.2421, -0.9916, -1.2252, 2.0107, 1.7181],
        [1.4616, -0.7584, 0.3297, 0.7687, -1.0140, -0.4507, 0.3267, -1.0397, -0.4862, 1.8388],
    ],
}
CLASSES = {
    NAME: ("airplane", "automobile", "bird"),
    "sknet_small-shapes": ("disc", "ring", "square"),
    "sknet_small-tiny-imagenet-25": ("goldfish", "black widow", "slug"),
}


@pytest.mark.parametrize("name", models.TRAINED)
def test_the_network_returns_the_stored_logits(name):
    classifier = load_classifier(name)
    images, times = make_shapes(3, seed=7).images, classifier.size // 32
    images = normalize(images.repeat(times, axis=2).repeat(times, axis=3), **classifier.normalization)
    model = models.load(name)
    assert not model.training
    for network in (model, classifier.model):
        with ms.no_grad():
            found = network(ms.tensor(images)).numpy()[:, :10]
        np.testing.assert_allclose(found, LOGITS[name], rtol=0, atol=2e-3)


@pytest.mark.parametrize("name", models.TRAINED)
def test_the_file_is_below_3_mb_and_contains_the_classes(name):
    assert models.TRAINED[name].stat().st_size < 3_000_000
    assert load_classifier(name).classes[:3] == CLASSES[name]


def test_predict_uses_the_network_by_default(tmp_path, capsys):
    Image.new("RGB", (40, 60), "navy").save(tmp_path / "photo.png")
    assert main(["predict", str(tmp_path / "photo.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[0].startswith(str(tmp_path / "photo.png")) and lines[0].endswith("%")


def test_an_unknown_name_is_an_error_that_lists_the_names():
    with pytest.raises(ms.MiniskError, match=r"'resnet152'.*sknet_small-cifar10"):
        models.load("resnet152")


# --- Files ----------------------------------------------------------------------------------------------------


def small_network(classes=10):
    ms.manual_seed(3)
    return models.create("sknet_small", classes).eval()


def logits(network):
    with ms.no_grad():
        return network(ms.tensor(make_shapes(3, seed=7).images.astype(np.float32))).numpy()


def test_load_reads_the_file_of_a_state_dict(tmp_path):
    network = small_network(4)
    ms.save(network.state_dict(), tmp_path / "x.safetensors")
    found = models.load(tmp_path / "x.safetensors")
    assert not found.training
    np.testing.assert_array_equal(logits(found), logits(network))
    np.testing.assert_array_equal(
        logits(models.load(str(tmp_path / "x.safetensors"), model="sknet_small")), logits(found)
    )


def test_load_reads_a_checkpoint(tmp_path):
    found = models.load(models.TRAINED[NAME])
    np.testing.assert_array_equal(logits(found), logits(models.load(NAME)))


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"model_ema": {f"module.{k}": v for k, v in s.items()}}])
def test_load_reads_a_pth_of_minisks_names(tmp_path, wrap):
    network = small_network(4)
    arrays = {name: value.data for name, value in network.state_dict().items()}
    path = write(tmp_path, "x.pth", pth_of_arrays(arrays, wrap))
    np.testing.assert_array_equal(logits(models.load(path)), logits(network))


def test_another_number_of_classes_keeps_all_but_the_classifier_and_logs_it(tmp_path, caplog):
    network = models.load(NAME, num_classes=25)
    assert "sknet_small-cifar10 has 10 classes, not 25: its classifier is left out" in caplog.text
    assert network.classifier.weight.shape[0] == 25
    kept, before = network.state_dict(), models.load(NAME).state_dict()
    assert kept.keys() == before.keys()
    for name in kept:
        same = kept[name].shape == before[name].shape and (kept[name].numpy() == before[name].numpy()).all()
        assert same == (not name.startswith("classifier."))
    caplog.clear()
    assert models.load(NAME, num_classes=10).classifier.weight.shape[0] == 10
    assert not caplog.text


def test_weights_that_fit_no_model_name_the_closest(tmp_path):
    arrays = {name: value.data for name, value in small_network(4).state_dict().items()}
    arrays["extra.weight"] = np.ones(3, np.float32)
    arrays["stem.0.weight"] = np.ones((3, 3), np.float32)
    del arrays["classifier.bias"]
    ms.save(arrays, tmp_path / "x.safetensors")
    expected = (
        r"weights file .*x\.safetensors: their names are minisk's; the closest is sknet_small: .*1 wrong shape: "
        r"stem\.0\.weight \(3, 3\) instead of .*1 missing: classifier\.bias; 1 unexpected: extra\.weight"
    )
    with pytest.raises(CheckpointError, match=expected):
        models.load(tmp_path / "x.safetensors")
    with pytest.raises(CheckpointError, match="the closest is resnext50: "):
        models.load(tmp_path / "x.safetensors", model="resnext50")


def test_a_model_that_does_not_exist_is_an_error(tmp_path):
    ms.save(small_network(4).state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(ms.MiniskError, match="model 'sknet51' is not known"):
        models.load(tmp_path / "x.safetensors", model="sknet51")


def test_weights_that_take_blue_first_are_turned():
    network = small_network()
    found = models.Pretrained("sknet_small", {k: v.data for k, v in network.state_dict().items()}, "caffe", 10)
    images = make_shapes(3, seed=7).images.astype(np.float32)
    with ms.no_grad():
        turned = models.with_red_first(found).network()(ms.tensor(images[:, ::-1].copy())).numpy()
    np.testing.assert_allclose(turned, logits(network), rtol=0, atol=1e-4)


def test_a_pool_without_padding_is_a_choice_of_some_models_alone():
    assert models.create("sknet26", 3, caffe_pool=True).stem[2].ceil_mode
    with pytest.raises(ms.MiniskError, match="model 'resnext50' has no option 'caffe_pool'"):
        models.create("resnext50", 3, caffe_pool=True)
