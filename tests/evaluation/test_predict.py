"""`minisk predict` and `minisk evaluate`: right answers, tables and files; hostile weights are a sentence each."""

import json
import math
import os
import pickle
import re
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

import minisk as ms
from minisk import models
from minisk.__main__ import main
from minisk.data.decode import read_view
from minisk.errors import CheckpointError
from minisk.evaluation import load_classifier
from minisk.serialization import save_checkpoint

CLASSES = ["ant", "bee", "cat", "dog", "emu", "fox"]
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
ABOUT = {
    "config": {"model": "sknet_small", "dataset": "cifar10"},
    "classes": CLASSES,
    "normalization": {"mean": MEAN, "std": STD},
}


@pytest.fixture(scope="module")
def arrays():
    ms.manual_seed(1)
    state = models.create("sknet_small", len(CLASSES)).state_dict()
    return {f"model.{name}": value.numpy() for name, value in state.items()}


@pytest.fixture(scope="module")
def weights(arrays, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "best.safetensors"
    save_checkpoint(path, arrays, ABOUT)
    return path


@pytest.fixture
def command(capsys):
    """Run `minisk …`; returns exit status, stdout and stderr."""

    def call(*arguments):
        status = main([*map(str, arguments)])
        return status, *capsys.readouterr()

    return call


def picture(path, size=(32, 32), seed=0):
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(256, size=(size[1], size[0], 3), dtype=np.uint8)).save(path)
    return path


# --- Answers ------------------------------------------------------------------------------------------------------


def test_an_image_of_the_models_size_gets_the_softmax_of_its_normalised_pixels(weights, tmp_path):
    classifier = load_classifier(weights, "cpu")
    path = picture(tmp_path / "a.png")
    with Image.open(path) as image:
        top = classifier.top(image, count=6)
        pixels = (np.asarray(image) / 255 - MEAN) / STD
    logits = classifier.model(ms.tensor(pixels.transpose(2, 0, 1)[None].astype(np.float32))).numpy()[0]
    expected = np.exp(logits) / np.exp(logits).sum()
    assert {name: pytest.approx(p, rel=1e-3) for name, p in top} == dict(zip(CLASSES, expected, strict=True))
    assert [name for name, _ in top] == [CLASSES[i] for i in np.argsort(-expected)]


@pytest.mark.parametrize("size", [(96, 32), (32, 96), (300, 100)])
def test_only_the_square_in_the_centre_is_seen(weights, size):
    classifier = load_classifier(weights, "cpu")
    image = Image.new("RGB", size, "red")
    side = min(size)
    image.paste("green", ((size[0] - side) // 2, (size[1] - side) // 2, (size[0] + side) // 2, (size[1] + side) // 2))
    assert classifier.top(image) == classifier.top(Image.new("RGB", (32, 32), "green"))


@pytest.mark.parametrize(("crop", "interpolation"), [(0.875, "bicubic"), (0.5, "bilinear")])
def test_a_network_for_photographs_sees_the_view_that_it_is_measured_on(arrays, tmp_path, crop, interpolation):
    path = tmp_path / "weights.safetensors"
    config = {"model": "sknet_small", "dataset": "imagenet"}
    path.write_bytes(described(config=config, crop=crop, interpolation=interpolation)(arrays))
    classifier = load_classifier(path, "cpu")
    pixels = read_view(picture(tmp_path / "a.png", (150, 90)), classifier.view(), np.random.default_rng(0))
    with Image.open(tmp_path / "a.png") as image:
        shorter = int(32 / crop)
        resized = image.resize((150 * shorter // 90, shorter), Image.Resampling[interpolation.upper()])
        left, top = round((resized.width - 32) / 2), round((resized.height - 32) / 2)
        expected = resized.crop((left, top, left + 32, top + 32))
        np.testing.assert_array_equal(pixels, np.asarray(expected).transpose(2, 0, 1))
        seen = classifier.top(image)
    config["dataset"] = "cifar10"
    path.write_bytes(described(config=config)(arrays))
    assert load_classifier(path, "cpu").top(expected) == seen


def test_a_checkpoint_gives_the_size_of_its_training_images(arrays, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(described(image_size=[48, 64])(arrays))
    assert load_classifier(path, "cpu").size == 48
    path.write_bytes(described()(arrays))
    assert load_classifier(path, "cpu").size == 32


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (33, 31), (1000, 700)])
def test_every_size_has_five_answers_likeliest_first(weights, command, tmp_path, size):
    status, out, err = command("predict", picture(tmp_path / "a.png", size), "--weights", weights)
    assert (status, err) == (0, "")
    probabilities = [float(line.split()[-2]) for line in out.splitlines()]
    assert len(probabilities) == 5 and probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) <= 100.05


def test_a_table_is_aligned_and_names_each_image_once(weights, command, tmp_path):
    paths = [picture(tmp_path / name) for name in ("a.png", "much_longer.png")]
    status, out, _ = command("predict", *paths, "--weights", weights)
    assert status == 0
    assert len({len(line) for line in out.splitlines()}) == 1
    assert [out.count(str(path)) for path in paths] == [1, 1]


def test_json_holds_the_same_answers_and_errors(weights, command, tmp_path):
    path = picture(tmp_path / "a.png")
    status, out, err = command("predict", path, tmp_path / "gone.png", "--weights", weights, "--json")
    good, bad = json.loads(out)
    assert status == 1 and err.count("\n") == 1
    assert bad == {"image": str(tmp_path / "gone.png"), "error": f"{tmp_path / 'gone.png'} does not exist"}
    expected = load_classifier(weights, "cpu").top(Image.open(path))
    assert [(answer["class"], answer["probability"]) for answer in good["top"]] == expected


def test_a_bad_image_is_reported_and_the_others_are_still_classified(weights, command, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"buy milk")
    paths = [picture(tmp_path / "a.png"), tmp_path / "bad.png", tmp_path, picture(tmp_path / "b.png", seed=1)]
    status, out, err = command("predict", *paths, "--weights", weights)
    assert status == 1 and len(out.splitlines()) == 10
    first, second = err.splitlines()
    assert re.match(r"minisk predict: .*bad\.png can't be read as an image", first)
    assert re.match(r"minisk predict: .* is not a regular file", second)


def test_names_that_would_drive_a_terminal_are_escaped(weights, command, tmp_path):
    name = tmp_path / "\x1b[2Jnice\n.png"
    status, out, err = command("predict", picture(tmp_path / "a.png"), name, "--weights", weights)
    assert status == 1 and "\x1b" not in out + err and err.count("\n") == 1
    picture(name)
    status, out, err = command("predict", name, "--weights", weights)
    assert (status, err) == (0, "") and "\x1b" not in out and len(out.splitlines()) == 5


def test_a_drawing_must_be_a_png(weights, command, tmp_path):
    status, _, err = command("predict", picture(tmp_path / "a.png"), "--weights", weights, "--draw", "p.xyz")
    assert (status, err) == (1, "minisk predict: --draw p.xyz: expected a name that ends in .png\n")


def test_draw_writes_a_picture_of_images_and_their_classes(weights, command, tmp_path):
    paths = [picture(tmp_path / name) for name in ("a.png", "b.png")]
    out = tmp_path / "drawn.png"
    status, _, err = command("predict", *paths, "--weights", weights, "--draw", out)
    assert (status, err) == (0, "")
    with Image.open(out) as image:
        assert image.size == (640, 340)


# --- Hostile or damaged weights -----------------------------------------------------------------------------------


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def described(**changes):
    """A checkpoint like the good one, but for its description; a value of None leaves the entry out."""
    about = {"format": 1, **ABOUT, **changes}
    return lambda arrays: save(arrays, {"minisk": json.dumps({k: v for k, v in about.items() if v is not None})})


def with_weight(change):
    """A checkpoint like the good one, but for its first weight."""

    def make(arrays):
        name = next(iter(arrays))
        return save({**arrays, name: change(arrays[name])}, {"minisk": json.dumps({"format": 1, **ABOUT})})

    return make


def as_text(text):
    return lambda arrays: save(arrays, {"minisk": text})


HOSTILE = {
    "empty": (lambda arrays: b"", "is damaged or not a safetensors file"),
    "text": (lambda arrays: b"buy milk", "is damaged or not a safetensors file"),
    "pickle": (lambda arrays: pickle.dumps(Payload()), "is damaged or not a safetensors file"),
    "cut in half": (lambda arrays: described()(arrays)[:1_000_000], "is damaged or not a safetensors file"),
    "cut by a byte": (lambda arrays: described()(arrays)[:-1], "is damaged or not a safetensors file"),
    "giant header": (lambda arrays: struct.pack("<Q", 2**63) + b"{}", "is damaged or not a safetensors file"),
    "no description": (lambda arrays: save(arrays), "was not written by minisk"),
    "description of words": (as_text("buy milk"), "is damaged"),
    "description a list": (as_text("[1]"), "was not written by minisk"),
    "a mile of brackets": (as_text("[" * 200_000), "damaged"),
    "newer format": (described(format=99), "has format 99"),
    "format a word": (described(format="new"), "was not written by minisk"),
    "no config": (described(config=None), "damaged description: KeyError"),
    "config a number": (described(config=3), "damaged description"),
    "unknown model": (described(config={"model": "os.system", "dataset": "x"}), "'os.system' is not known"),
    "model a list": (
        described(config={"model": ["sknet_small"], "dataset": "x"}),
        r"model \['sknet_small'\] is not known",
    ),
    "no classes": (described(classes=None), "damaged description: KeyError"),
    "classes a number": (described(classes=10**9), "classes are not a list of names"),
    "classes a text": (described(classes="abcdef"), "classes are not a list of names"),
    "classes numbers": (described(classes=[1, 2, 3, 4, 5, 6]), "classes are not a list of names"),
    "one class too many": (described(classes=[*CLASSES, "gnu"]), r"wrong shape: .* instead of"),
    "a class with a long name": (described(classes=[*CLASSES[:5], "x" * 201]), "a name of more than 200 characters"),
    "no class at all": (described(classes=[]), "classes are not a list of names"),
    "a million classes": (described(classes=["x"] * 1_000_000), r"wrong shape: classifier\.weight .* instead of"),
    "images of a million pixels a side": (described(image_size=[10**6, 10**6]), "image_size is .* of 1 to 1024 pixels"),
    "images without a side": (described(image_size=[]), "damaged description"),
    "images of a side of words": (described(image_size=["32", "32"]), "image_size is"),
    "a crop of nothing": (described(crop=0), "share above 0"),
    "a crop of words": (described(crop="all"), "damaged description"),
    "an unknown interpolation": (described(interpolation="nearest"), "expected the interpolation bilinear or bicubic"),
    "no normalization": (described(normalization=None), "damaged description: KeyError"),
    "mean of words": (described(normalization={"mean": ["a", "b", "c"], "std": STD}), "damaged description"),
    "mean of two": (described(normalization={"mean": [0, 0], "std": STD}), "expected 3 numbers, std above 0"),
    "std of zero": (described(normalization={"mean": MEAN, "std": [1, 0, 1]}), "expected 3 numbers, std above 0"),
    "mean not a number": (described(normalization={"mean": [math.nan, 0, 0], "std": STD}), "expected 3 numbers"),
    "mean past all floats": (described(normalization={"mean": [10**400, 0, 0], "std": STD}), "damaged description"),
    "weights not numbers": (with_weight(lambda weight: weight * np.nan), "outputs are not numbers"),
    "weights infinite": (with_weight(lambda weight: weight + np.float32(np.inf)), "outputs are not numbers"),
    "weights gone": (lambda arrays: described()({"model.nothing": np.zeros(3)}), "missing"),
    "weights of another shape": (with_weight(lambda weight: weight[:1].copy()), "wrong shape"),
}


@pytest.mark.parametrize(("make", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_or_damaged_weights_are_a_sentence_and_execute_nothing(
    arrays, command, tmp_path, monkeypatch, make, message
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(make(arrays))
    image = picture(tmp_path / "a.png")
    status, out, err = command("predict", image, "--weights", path)
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert re.match(rf"minisk predict: .*(?:{message})", err), err
    assert sorted(tmp_path.iterdir()) == [image, path]


@pytest.mark.parametrize("rows", [6, 300_000])
def test_a_small_file_never_makes_a_large_layer(arrays, tmp_path, rows):
    # The layer of 300,000 classes would have 77 million elements; the file has one element a class.
    path = tmp_path / "weights.safetensors"
    large = {**arrays, "model.classifier.weight": np.zeros((rows, 1), np.float16)}
    path.write_bytes(described(classes=["x"] * 300_000)(large))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match="wrong shape"):
            load_classifier(path)
        assert tracemalloc.get_traced_memory()[1] < 100 << 20
    finally:
        tracemalloc.stop()


def test_memory_that_is_not_there_is_a_sentence(weights, monkeypatch):
    monkeypatch.setattr(models, "create", lambda *arguments: (_ for _ in ()).throw(MemoryError))
    with pytest.raises(CheckpointError, match="not enough memory"):
        load_classifier(weights)


def test_names_in_a_checkpoint_reach_no_terminal_raw_and_are_cut(arrays, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(described()({**arrays, "model.\x1b]0;title\x07" + "n" * 100_000: np.zeros(3)}))
    with pytest.raises(CheckpointError) as caught:
        load_classifier(path)
    assert "\\x1b]0;title\\x07" in str(caught.value) and str(caught.value).isprintable()
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize("cut", range(0, 4000, 397))
def test_weights_cut_anywhere_in_their_header_are_a_sentence(arrays, tmp_path, cut):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(described()(arrays)[:cut])
    with pytest.raises(CheckpointError, match="is damaged or not a safetensors file"):
        load_classifier(path)


@pytest.mark.parametrize("name", ["gone.safetensors", "."])
def test_weights_that_are_no_file_are_a_sentence(command, tmp_path, name):
    status, _, err = command("predict", picture(tmp_path / "a.png"), "--weights", tmp_path / name)
    assert status == 1 and re.fullmatch(r"minisk predict: checkpoint .* (does not exist|is a folder: .*)\n", err)
