"""A run on photographs, from a tree and from shards: the same bits however it is read, stopped and resumed."""

import numpy as np
import pytest
from photographs import make_tree
from PIL import Image
from tiny_run import tiny_net

import minisk as ms
import minisk.__main__
from minisk import models
from minisk.cli.recipes import PROGRAMS
from minisk.cli.train import main
from minisk.data import CenterView, ImageFolder, RandomResizedView, write_shards
from minisk.evaluation import load_classifier, measure
from minisk.serialization import load_checkpoint
from minisk.training import Config, SettingError, Trainer

TRAIN, VAL, SIZE = 12, 4, 24


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "create", tiny_net)
    monkeypatch.setenv("MINISK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "tree", TRAIN, VAL)


def config(root, **settings):
    given = {"dataset": "imagenet", "data_dir": str(root), "image_size": SIZE, "batch_size": 8, "epochs": 2, "lr": 0.1}
    return Config(**{**given, "device": "cpu", **settings})


def weights(folder):
    return load_checkpoint(folder / "last.safetensors")[0]


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("kind", ["tree", "shards"])
def test_run_has_the_same_bits_with_workers_and_after_a_stop_within_an_epoch(tree, tmp_path, kind):
    root = tree
    if kind == "shards":
        root = tmp_path / "shards"
        for split in ("train", "test"):
            write_shards(ImageFolder(tree, split, RandomResizedView(1)), split, root, photographs=5)
    settings = {"jitter": 0.4, "lighting": 0.1}
    list(Trainer(config(root, **settings), tmp_path / "whole").run(progress=False))
    steps = iter([False, True])
    list(Trainer(config(root, **settings), tmp_path / "parts").run(progress=False, stop=lambda: next(steps, True)))
    resumed = Trainer(config(root, **settings), tmp_path / "parts", resume=True, workers=2)
    assert 0 < resumed.state.position.step < len(resumed.train_loader)
    list(resumed.run(progress=False))
    assert_same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_checkpoint_is_evaluated_as_pillow_and_numpy_would(tree, tmp_path):
    list(Trainer(config(tree), tmp_path / "run").run(progress=False))
    classifier = load_classifier(tmp_path / "run" / "best.safetensors", "cpu")
    assert classifier.size == SIZE
    found = measure(classifier.model, ImageFolder(tree, "test", CenterView(SIZE)), classifier.normalization)
    pixels, labels = [], []
    for label, folder in enumerate(sorted((tree / "val").iterdir())):
        for path in sorted(folder.iterdir()):
            image, shorter = Image.open(path).convert("RGB"), int(SIZE / 0.875)
            scale = shorter / min(image.size)
            sides = [shorter if side == min(image.size) else int(side * scale) for side in image.size]
            left, top = (round((side - SIZE) / 2) for side in sides)
            square = image.resize(sides, Image.Resampling.BICUBIC).crop((left, top, left + SIZE, top + SIZE))
            pixels.append(np.asarray(square).transpose(2, 0, 1) / 255)
            labels.append(label)
    mean, std = (np.array(values).reshape(3, 1, 1) for values in classifier.normalization.values())
    logits = classifier.model(ms.tensor(((np.array(pixels) - mean) / std).astype(np.float32))).numpy()
    assert found.accuracy == pytest.approx(100 * np.mean(logits.argmax(1) == labels))
    assert found.top5 == 100.0  # of three classes


def test_photographs_that_cannot_be_read_are_left_out_of_training_and_evaluation(tree, tmp_path):
    (tree / "train" / "n01" / "n01_3.JPEG").write_bytes(b"no image")
    (tree / "val" / "n02" / "n02_1.JPEG").write_bytes(b"")
    trainer = Trainer(config(tree, max_broken=1), tmp_path / "run")
    list(trainer.run(progress=False))
    assert len(trainer.train_loader.broken) == len(trainer.test_loader.broken) == 1
    found = measure(trainer.model, trainer.test_loader.dataset, trainer.normalization, max_broken=1)
    assert found.confusion.sum() == 3 * VAL - 1
    assert set(found.broken) == {5}
    assert 5 not in {mistake.position for mistake in found.mistakes}


def test_program_trains_and_evaluates_at_two_sizes(tree, tmp_path, capsys):
    out = tmp_path / "run"
    flags = [
        "--data-dir",
        tree,
        "--out",
        out,
        "--image-size",
        SIZE,
        "--batch-size",
        8,
        "--epochs",
        1,
        "--device",
        "cpu",
    ]
    assert main([*map(str, flags), "--device", "cpu"], "train_imagenet") == 0
    saved = load_checkpoint(out / "last.safetensors")[1]["config"]
    assert (saved["dataset"], saved["model"], saved["weight_decay"], saved["step_epochs"]) == (
        "imagenet",
        "sknet50",
        1e-4,
        30,
    )
    capsys.readouterr()
    command = ["evaluate", "--weights", out / "best.safetensors", "--data-dir", tree, "--size", 24, 32]
    assert minisk.__main__.main([str(part) for part in command]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [" at 24 pixels" in lines[0], " at 32 pixels" in lines[1], len(lines)] == [True, True, 2]


def test_other_optimizer_or_schedule_does_not_take_the_paper_settings_of_sgd():
    defaults = PROGRAMS["train_imagenet"].defaults_for({"optimizer": "adamw", "schedule": "cosine"})
    made = Config(**{**defaults, "optimizer": "adamw", "schedule": "cosine"})
    assert (made.lr, made.weight_decay) == (1e-3, 1e-2)


@pytest.mark.parametrize(
    "settings",
    [
        {"image_size": 64},
        {"least_area": 0.5},
        {"lighting": 0.1},
        {"max_broken": 3},
        {"dataset": "imagenet", "crop_padding": 2},
        {"dataset": "imagenet", "small_epochs": 2},
        {"step_epochs": 3},
    ],
)
def test_settings_without_effect_are_refused(settings):
    with pytest.raises(SettingError, match="has no effect"):
        Config(**settings)


def test_paper_schedule_falls_every_thirty_epochs(tree, tmp_path):
    trainer = Trainer(config(tree, epochs=100, schedule="step", step_epochs=30), tmp_path / "run")
    steps = len(trainer.train_loader)
    rates = [trainer.schedule.rate(epoch * steps, 0.1) for epoch in (0, 29, 30, 60, 90, 99)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 1e-3, 1e-4, 1e-4])
