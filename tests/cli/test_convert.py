"""`minisk convert`: a checkpoint that predict can use, what is printed, and errors in one sentence."""

import json

import numpy as np
import pytest
from foreign_files import pth_of_arrays, write
from PIL import Image

import minisk as ms
from minisk import models
from minisk.__main__ import main
from minisk.errors import CheckpointError
from minisk.evaluation import load_classifier
from minisk.serialization import load_checkpoint, save_checkpoint


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run a command in a folder with net.pth, an sknet_small of four classes; return status, output and error."""
    monkeypatch.chdir(tmp_path)
    ms.manual_seed(3)
    arrays = {name: value.data for name, value in models.create("sknet_small", 4).state_dict().items()}
    write(tmp_path, "net.pth", pth_of_arrays(arrays, lambda state: {"state_dict": state}))

    def command(*arguments):
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return command


def test_a_converted_file_is_used_by_predict(run, tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\nhäuschen\nold car\n", encoding="utf-8")
    status, out, _ = run("convert", "net.pth", "net.safetensors", "--classes", "names.txt")
    assert status == 0
    assert "net.pth: sknet_small with the names of minisk, 4 classes" in out
    assert "mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225; crop 0.875, bicubic" in out
    assert "note: the file does not say how pixels are normalised" in out
    Image.new("RGB", (40, 60), "navy").save("photo.png")
    status, out, _ = run("predict", "photo.png", "--weights", "net.safetensors", "--json")
    assert status == 0
    (answer,) = json.loads(out)
    assert {guess["class"] for guess in answer["top"]} == {"cat", "dog", "häuschen", "old car"}
    network = models.load("net.pth")
    x = ms.tensor(np.random.default_rng(0).standard_normal((2, 3, 32, 32)).astype(np.float32))
    with ms.no_grad():
        np.testing.assert_array_equal(load_classifier("net.safetensors").model(x).numpy(), network(x).numpy())
        np.testing.assert_array_equal(models.load("net.safetensors")(x).numpy(), network(x).numpy())


def test_the_description_has_everything_that_evaluation_needs(run):
    pixels = ["--mean", 0.5, 0.4, 0.3, "--std", 0.2, 0.3, 0.4, "--crop", 0.95, "--interpolation", "bilinear"]
    status, out, _ = run("convert", "net.pth", "out.safetensors", "--model", "sknet_small", *pixels)
    assert status == 0 and "note" not in out
    _, about = load_checkpoint("out.safetensors")
    about.pop("format")
    assert about == {
        "config": {"model": "sknet_small", "dataset": "imagenet", "options": {}},
        "classes": ["class 0", "class 1", "class 2", "class 3"],
        "normalization": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]},
        "image_size": [32, 32],
        "crop": 0.95,
        "interpolation": "bilinear",
        "source": {"names": "minisk", "file": "net.pth"},
    }


def test_blue_first_turns_the_first_convolution(run):
    assert run("convert", "net.pth", "out.safetensors", "--bgr")[0] == 0
    before = models.load("net.pth").stem[0].weight.numpy()
    np.testing.assert_array_equal(models.load("out.safetensors").stem[0].weight.numpy(), before[:, ::-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.pth", "out"], "weights file none.pth does not exist"),
        (["net.pth", "net.pth"], "OUT net.pth is FILE itself"),
        (["net.pth", "out", "--model", "vgg"], "model 'vgg' is not known"),
        (["net.pth", "out", "--source", "keras"], "source 'keras' is not known"),
        (["net.pth", "out", "--model", "resnext29"], "the closest is resnext29: load_state_dict: "),
        (["net.pth", "out", "--source", "timm"], "their names are timm's; the closest is "),
        (["net.pth", "out", "--classes", "none.txt"], "--classes none.txt can't be read: No such file"),
        (["net.pth", "out", "--classes", "two.txt"], "2 names of classes were given, but the weights have 4"),
        (["net.pth", "out", "--classes", "net.pth"], "--classes net.pth is not text in UTF-8"),
        (["net.pth", "out", "--crop", "1.5"], "--crop 1.5 must be above 0 and at most 1"),
        (["net.pth", "out", "--std", "0", "1", "1"], "must be finite, the latter above 0"),
        (["net.pth", "no/folder/out"], "could not be written: No such file"),
        (["text.txt", "out"], "weights file text.txt has an unknown format"),
    ],
)
def test_an_error_is_one_sentence_and_writes_nothing(run, tmp_path, arguments, message):
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "text.txt").write_text("hello")
    before = {path.name for path in tmp_path.iterdir()}
    status, out, err = run("convert", *arguments)
    assert status == 1 and out == ""
    assert err.startswith("minisk convert: ") and message in err and err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"caffe_pool": True}, "model 'sknet_small' has no option 'caffe_pool'"),
        ({"num_classes": True}, "damaged description"),
        ({"auxiliary": [1]}, "has no option 'auxiliary'"),
        ([1], "damaged description"),
    ],
)
def test_options_of_another_model_are_one_sentence(run, options, message):
    assert run("convert", "net.pth", "a.safetensors")[0] == 0
    arrays, about = load_checkpoint("a.safetensors")
    about["config"]["options"] = options
    save_checkpoint("a.safetensors", arrays, about)
    with pytest.raises(ms.MiniskError):
        models.load("a.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_classifier("a.safetensors")


def test_predict_asks_for_a_conversion_first(run):
    Image.new("RGB", (40, 60), "navy").save("photo.png")
    status, _, err = run("predict", "photo.png", "--weights", "net.pth")
    assert status == 1
    assert (
        err == "minisk predict: net.pth is a file of another framework: make a checkpoint of it with `minisk convert`\n"
    )


def test_a_checkpoint_is_not_converted_again(run):
    assert run("convert", "net.pth", "a.safetensors")[0] == 0
    status, _, err = run("convert", "a.safetensors", "b.safetensors")
    assert status == 1 and "a.safetensors is a checkpoint of minisk already" in err
