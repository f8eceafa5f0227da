"""minisk.predict and `minisk evaluate`: counts known beforehand, from a model that reads its answer off the colours."""

import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

import minisk as ms
from minisk import models, nn
from minisk.__main__ import main
from minisk.data import ImageDataset
from minisk.errors import MiniskError, ShapeError
from minisk.evaluation import measure, report_run
from minisk.serialization import save_checkpoint

CLASSES = ("ant", "bee", "cat")
UNCHANGED = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}


class Reader(nn.Module):
    """Logits of class k: the mean of colour plane k, in 0 … 1, times 10."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(np.eye(3, dtype=np.float32) * 10)
        self.batches = []

    def forward(self, x):
        self.batches.append((x.shape[0], self.training))
        return x.mean(axis=(2, 3)) @ self.weight


def dataset(planes, labels, classes=CLASSES):
    """Images of one colour each: planes holds (red, green, blue) in 0 … 255."""
    images = np.broadcast_to(np.array(planes, dtype=np.uint8)[:, :, None, None], (len(planes), 3, 4, 4)).copy()
    return ImageDataset(images, np.array(labels, dtype=np.int64), classes, "colours")


# ant right, ant taken for bee (surely), bee taken for cat (barely), bee right; no image of a cat
PLANES = [(255, 0, 0), (0, 255, 0), (0, 100, 110), (0, 255, 0)]
LABELS = [0, 0, 1, 1]


def softmax(planes):
    logits = 10 * np.array(planes) / 255
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_the_numbers_are_those_counted_by_hand():
    result = measure(Reader(), dataset(PLANES, LABELS), UNCHANGED)
    assert result.confusion.tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert result.accuracy == 50.0
    assert result.loss == pytest.approx(-np.log(softmax(PLANES)[range(4), LABELS]).mean(), rel=1e-5)


def test_mistakes_come_surest_first():
    result = measure(Reader(), dataset(PLANES[::-1], LABELS[::-1]), UNCHANGED)
    assert [(m.position, m.true, m.predicted) for m in result.mistakes] == [(2, "ant", "bee"), (1, "bee", "cat")]
    assert [m.probability for m in result.mistakes] == pytest.approx(softmax(PLANES)[[1, 2], [1, 2]], rel=1e-5)


def test_every_image_is_seen_once_in_evaluation_mode_and_the_mode_comes_back(tmp_path):
    model = Reader()
    model.train()
    report_run(model, dataset(PLANES * 100, LABELS * 100), UNCHANGED, tmp_path)
    assert model.batches == [(256, False), (144, False)]
    assert model.training


def test_a_report_is_two_pictures_and_json(tmp_path):
    result = report_run(Reader(), dataset(PLANES, LABELS), UNCHANGED, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["confusion.png", "evaluation.json", "mistakes.png"]
    for name in ("confusion.png", "mistakes.png"):
        with Image.open(tmp_path / name) as image:
            image.load()
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written == result.as_json()
    assert [row["accuracy"] for row in written["classes"]] == [50.0, 50.0, None]


def test_a_model_without_mistakes_has_a_report_too(tmp_path):
    result = report_run(Reader(), dataset(PLANES[:1], LABELS[:1]), UNCHANGED, tmp_path)
    assert result.mistakes == [] and (tmp_path / "mistakes.png").exists()


def test_outputs_that_are_not_numbers_are_an_error_and_leave_the_mode_alone():
    model = Reader()
    with ms.no_grad():
        model.weight[...] = np.inf
    with pytest.raises(MiniskError, match="outputs are not numbers"):
        measure(model, dataset(PLANES, LABELS), UNCHANGED)
    assert model.training


def test_a_model_of_other_classes_is_refused():
    with pytest.raises(ShapeError, match="has 3 classes, but colours has 4"):
        measure(Reader(), dataset(PLANES, LABELS, (*CLASSES, "dog")), UNCHANGED)


# --- The command --------------------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path):
    ms.manual_seed(1)
    arrays = {f"model.{k}": v.numpy() for k, v in models.create("sknet_small", 3).state_dict().items()}
    about = {"config": {"model": "sknet_small", "dataset": "cifar10"}, "classes": CLASSES, "normalization": UNCHANGED}
    save_checkpoint(tmp_path / "best.safetensors", arrays, about)
    return tmp_path / "best.safetensors"


@pytest.fixture
def tree(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for number, name in enumerate(CLASSES):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for i in range(number + 1):
                Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "data"


def test_evaluate_prints_totals_and_classes_and_writes_the_report(weights, tree, tmp_path, capsys):
    out = tmp_path / "new" / "report"
    assert main(["evaluate", "--weights", str(weights), "--data-dir", str(tree), "--out", str(out)]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    written = json.loads((out / "evaluation.json").read_text())
    assert first.endswith(f"loss {written['loss']:.4f}, accuracy {written['accuracy']:.2f} % of 6 images")
    assert [row.split()[:3] for row in rows] == [["ant", "1", "images"], ["bee", "2", "images"], ["cat", "3", "images"]]


def test_evaluate_as_csv_prints_a_line_per_class(weights, tree, capsys):
    assert main(["evaluate", "--weights", str(weights), "--data-dir", str(tree), "--csv"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "class,images,accuracy"
    assert [row.split(",")[:2] for row in rows] == [["ant", "1"], ["bee", "2"], ["cat", "3"]]


def test_evaluate_without_out_writes_nothing(weights, tree, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert main(["evaluate", "--weights", str(weights), "--data-dir", str(tree)]) == 0
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "shapes"], "was trained on [0-9]+ classes, but shapes has 10"),
        (["--dataset", "mnist"], "unknown data set 'mnist'"),
        ([], "no folder was given: --data-dir"),
        (["--data-dir", "gone"], "'gone' is not a folder"),
        (
            ["--data-dir", "data", "--out", "best.safetensors"],
            "best.safetensors can't be written to: File exists",
        ),
        (["--data-dir", "data", "--device", "tpu"], "device 'tpu' is not known"),
        (["--weights", "gone"], "checkpoint gone does not exist"),
        (["--weights", "."], "checkpoint . is a folder: give a file in it"),
        (["--data-dir", "data", "--out", ""], "--out is empty"),
    ],
)
def test_an_error_of_evaluate_is_one_sentence(weights, tree, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--weights", str(weights), *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and re.match(rf"minisk evaluate: .*(?:{message})", err), err


def test_without_matplotlib_the_report_is_numbers_and_a_line_of_the_log(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = report_run(Reader(), dataset(PLANES, LABELS), UNCHANGED, tmp_path)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == result.as_json()
    assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]
    assert 'pictures need matplotlib: pip install "minisk[plot]"' in caplog.text
