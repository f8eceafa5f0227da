"""`folder`: own images of any classes and any one size, from a tree of files."""

import numpy as np
import pytest
from data_samples import make_tree
from PIL import Image

from minisk.data import decode, folder, load_dataset
from minisk.errors import DataError


def tree_of(root, size, classes=("ant", "bee", "cat")):
    for split in ("train", "test"):
        for shade, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for suffix in ("png", "bmp", "tiff"):
                Image.new("RGB", size, (shade, 7, 9)).save(root / split / name / f"a.{suffix}")
    return root


def test_a_folder_may_have_any_classes_and_any_one_size(tmp_path):
    tree_of(tmp_path, (20, 12))
    for split in ("train", "test"):
        dataset = load_dataset("folder", tmp_path, split)
        assert dataset.images.shape == (9, 3, 12, 20)
        assert (dataset.name, dataset.classes) == ("folder", ("ant", "bee", "cat"))
        assert dataset.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        np.testing.assert_array_equal(dataset.images[:, :, 0, 0], [[label, 7, 9] for label in dataset.labels])


def test_test_images_have_the_size_of_the_training_images(tmp_path):
    tree_of(tmp_path, (20, 12))
    Image.new("RGB", (20, 13)).save(tmp_path / "test" / "bee" / "b.png")
    with pytest.raises(DataError, match=r"b\.png is 20 by 13 pixels, expected 20 by 12"):
        load_dataset("folder", tmp_path, "test")


def test_a_folder_needs_a_place(tmp_path):
    with pytest.raises(DataError, match="folder is read from disk, but no folder was given: --data-dir"):
        load_dataset("folder", None, "train")
    with pytest.raises(DataError, match=r"no images, .*train has no class folder"):
        load_dataset("folder", tmp_path, "train")


def test_images_that_a_size_limit_leaves_out_are_not_read(tmp_path, monkeypatch):
    make_tree(tmp_path, "train", {"cat": 30, "dog": 30})
    read = []

    def noting(path, size):
        read.append(path.name)
        return decode.read_image(path, size)

    monkeypatch.setattr(folder, "read_image", noting)
    some = load_dataset("cifar10", tmp_path, "train", size_limit=4)
    assert read == ["0000.png", "0015.png", "0000.png", "0015.png"]
    monkeypatch.undo()
    everything = load_dataset("cifar10", tmp_path, "train")
    np.testing.assert_array_equal(some.images, everything.images[[0, 15, 30, 45]])
    assert some.labels.tolist() == [0, 0, 1, 1]


def test_entries_that_are_no_images_are_counted_and_named(tmp_path, caplog):
    tree_of(tmp_path, (8, 8))
    (tmp_path / "train" / "bee" / "nested").mkdir()
    (tmp_path / "train" / "bee" / "notes\x1b[2J.txt").write_text("not an image")
    (tmp_path / "train" / "bee" / ".hidden").write_text("")
    assert len(load_dataset("folder", tmp_path, "train")) == 9
    [line] = [record.getMessage() for record in caplog.records]
    assert line.endswith("bee: 2 entries are no image files and are left out, such as nested")


def test_reading_shows_its_progress_on_a_terminal(tmp_path, monkeypatch, capsys):
    make_tree(tmp_path, "train", {"cat": 3})
    monkeypatch.setattr(folder, "_SECONDS_WITHOUT_BAR", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    load_dataset("cifar10", tmp_path, "train")
    assert "reading train: " in capsys.readouterr().err
