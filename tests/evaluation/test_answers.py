"""An evaluation that was ended goes on from the answers it kept, with the result of one that was not."""

import logging

import numpy as np
import pytest
from PIL import Image

import minisk as ms
from minisk import models, nn
from minisk.__main__ import main
from minisk.data import ImageDataset
from minisk.evaluation import measure
from minisk.serialization import load_checkpoint, save_checkpoint

UNCHANGED = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
RNG = np.random.default_rng(0)
COLOURS = ImageDataset(
    RNG.integers(0, 256, (20, 3, 4, 4)).astype(np.uint8), RNG.integers(0, 3, 20), ("red", "green", "blue"), "colours"
)


class Reader(nn.Module):
    """Logits of class k: the mean of colour plane k. Ctrl-C comes before the batch of number `ends_at`."""

    def __init__(self, ends_at: int | None = None, weight: float = 10):
        super().__init__()
        self.weight = nn.Parameter(np.eye(3, dtype=np.float32) * weight)
        self.ends_at, self.batches = ends_at, 0

    def forward(self, x):
        if self.batches == self.ends_at:
            raise KeyboardInterrupt
        self.batches += 1
        return x.mean(axis=(2, 3)) @ self.weight


def measured(model, keep, dataset=COLOURS, resume=True):
    return measure(model, dataset, UNCHANGED, batch_size=3, keep=keep, resume=resume)


def ended(keep, batches=4):
    """Return the file of an evaluation that Ctrl-C ended after some batches."""
    with pytest.raises(KeyboardInterrupt):
        measured(Reader(ends_at=batches), keep)
    return keep


def test_only_what_is_missing_is_measured(tmp_path):
    keep = ended(tmp_path / "answers.safetensors")
    whole, rest = Reader(), Reader()
    expected, found = measured(whole, None, resume=False), measured(rest, keep)
    assert (whole.batches, rest.batches) == (7, 3)
    assert found.as_json() == expected.as_json()
    again = Reader()
    assert measured(again, keep).as_json() == expected.as_json() and again.batches == 0


def test_without_resume_all_is_measured(tmp_path):
    model = Reader()
    measured(model, ended(tmp_path / "answers.safetensors"), resume=False)
    assert model.batches == 7


@pytest.mark.parametrize("what", ["other weights", "other images", "damaged", "of another format", "cut"])
def test_answers_of_others_are_not_taken_over(tmp_path, caplog, what):
    keep, model, dataset = ended(tmp_path / "answers.safetensors"), Reader(), COLOURS
    if what == "other weights":
        model = Reader(weight=9)
    elif what == "other images":
        dataset = COLOURS.subset([*range(19), 0])
    elif what == "damaged":
        keep.write_bytes(b"buy milk")
    elif what == "cut":
        keep.write_bytes(keep.read_bytes()[:-1])
    else:
        arrays, about = load_checkpoint(keep)
        save_checkpoint(keep, {"label": arrays["label"]}, about)
    with caplog.at_level(logging.WARNING, "minisk"):
        measured(model, keep, dataset)
    assert model.batches == 7
    assert len(caplog.messages) == 1 and ("of other weights" in caplog.text) != ("is damaged" in caplog.text)


def test_the_command_goes_on_in_its_folder(tmp_path, capsys):
    ms.manual_seed(1)
    arrays = {f"model.{k}": v.numpy() for k, v in models.create("sknet_small", 3).state_dict().items()}
    about = {"config": {"model": "sknet_small", "dataset": "imagenet"}, "classes": ["n1", "n2", "n3"]}
    save_checkpoint(tmp_path / "best.safetensors", arrays, {**about, "normalization": UNCHANGED})
    for split in ("train", "val"):
        for name in about["classes"]:
            (tmp_path / split / name).mkdir(parents=True)
            image = Image.fromarray(RNG.integers(0, 256, (40, 50, 3)).astype(np.uint8))
            image.save(tmp_path / split / name / "a.png")
    command = ["evaluate", "--weights", str(tmp_path / "best.safetensors"), "--data-dir", str(tmp_path)]
    assert main([*command, "--resume"]) == 1
    assert "--resume has no effect without --out" in capsys.readouterr().err
    command += ["--out", str(tmp_path / "out"), "--size", "32", "40"]
    outputs = []
    for options in ([], ["--resume"]):
        assert main([*command, *options]) == 0
        outputs.append([line.split("images")[0] for line in capsys.readouterr().out.splitlines()])
    assert outputs[0] == outputs[1] and len(outputs[0]) == 2
    assert main([*command, "--resume", "--csv"]) == 0
    assert [line.split(",")[:3] for line in capsys.readouterr().out.splitlines()] == [
        ["size", "class", "images"],
        *[[size, name, "1"] for size in ("32", "40") for name in about["classes"]],
    ]
    assert main([*command, "--size", "5000"]) == 1
    assert "--size 32 40 5000: expected 1 to 1024 pixels" in capsys.readouterr().err
    assert (tmp_path / "out/32/answers.safetensors").exists() and (tmp_path / "out/40/evaluation.json").exists()
