"""`minisk attention` in this process, with the trained network of the package and small images."""

import json

import pytest
from photographs import jpeg, make_tree, photograph

from minisk.__main__ import main
from minisk.analysis.attention.measure import AttentionMeter

NETWORK = "sknet_small-cifar10"


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.jpg").write_bytes(jpeg(photograph(i)))
    (folder / "3.jpg").write_bytes(b"no image at all")
    (folder / "5.jpg").write_bytes(jpeg(photograph(5))[:200])
    return folder


def test_broken_images_are_skipped_named_and_counted(photos, tmp_path, capsys):
    out = tmp_path / "report"
    options = ["--scales", "2", "--examples", "0", "--out", str(out)]
    assert main(["attention", NETWORK, "--images", str(photos), *options]) == 0
    printed = capsys.readouterr().out
    assert "4 images in 3 views, 5 units" in printed
    assert "3.jpg" in printed
    assert "5.jpg" in printed
    assert "could not be read: 2 of 6 images" in printed
    numbers = json.loads((out / "attention.json").read_text(encoding="utf-8"))
    assert (numbers["images"], len(numbers["broken"])) == (4, 2)
    assert "Could not be read: 2 images" in (out / "index.html").read_text(encoding="utf-8")


def test_ctrl_c_leaves_no_report(photos, tmp_path, monkeypatch):
    def interrupt(self, strips):
        raise KeyboardInterrupt

    monkeypatch.setattr(AttentionMeter, "attention", interrupt)
    out = tmp_path / "out" / "report"
    assert main(["attention", NETWORK, "--images", str(photos), "--out", str(out)]) == 130
    assert not out.parent.exists()


def test_a_tree_of_photographs_with_boxes_is_measured_by_area(tmp_path, capsys):
    root = make_tree(tmp_path / "tree", train=1, val=2)
    lines = [f"{name.parent.name},{name.name},0,0,{i + 1},9" for i, name in enumerate((root / "val").rglob("*.JPEG"))]
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(["class,file,x0,y0,x1,y1", *lines]))
    command = ["attention", NETWORK, "--dataset", "imagenet", "--data", str(root), "--boxes", str(boxes)]
    assert main([*command, "--scales", "1.5", "--examples", "1", "--out", str(tmp_path / "report")]) == 0
    capsys.readouterr()
    numbers = json.loads((tmp_path / "report" / "attention.json").read_text(encoding="utf-8"))
    assert [row["n"] for row in numbers["areas"]] == [6] * 5
    names = {path.name for path in (tmp_path / "report").glob("*.svg")}
    assert names == {"effects.svg", "classes-1.5.svg", "example-1.svg", "areas.svg"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["small_plain", "--images", "."], "the network has no selective kernel with several branches"),
        ([NETWORK, "--images", ".", "--boxes", "b.csv"], "--images stand alone"),
        ([NETWORK, "--dataset", "shapes", "--limit", "0"], "--limit 0 must be at least 1"),
        ([NETWORK, "--dataset", "shapes", "--scales", "0.5"], "scales are [0.5], expected numbers above 1"),
        ([NETWORK, "--dataset", "shapes", "--out", ""], "--out is empty"),
        (["gone.safetensors"], "checkpoint gone.safetensors does not exist"),
        ([NETWORK], "cifar10 is read from disk, but no folder was given"),
    ],
)
def test_an_error_is_one_sentence(arguments, problem, photos, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    assert main(["attention", *arguments]) == 1
    assert problem in capsys.readouterr().err
    assert not (photos / "attention").exists()
