"""Figures: their pixels show the data, and unusual numbers or names do not break the layout."""

import errno
import math
import sys

import numpy as np
import pytest
from PIL import Image

from minisk.analysis.figures import draw_confusion, draw_curves, draw_mistakes
from minisk.errors import MiniskError, ShapeError

BLUE, ORANGE, GREEN, DARK = (0, 114, 178), (213, 94, 0), (0, 158, 115), (8, 48, 107)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "picture.png"


def row(epoch, loss=1.0, **others):
    accuracies = {"train_accuracy": 60.0, "test_accuracy": 50.0}
    return {"epoch": epoch, "lr": 0.1, "train_loss": loss, "test_loss": 2.0, **accuracies, **others}


def where(path, colour, tolerance=20):
    """Return the pixels (row, column) that have about this colour."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    return np.argwhere(np.abs(pixels - colour).max(axis=2) <= tolerance)


# --- Curves ---------------------------------------------------------------------------------------------------


def test_two_panels_show_train_and_test_in_their_colours_and_the_third_the_learning_rate(path):
    draw_curves([row(1), row(2)], path)
    for colour, panels in ((BLUE, {0, 1}), (ORANGE, {0, 1}), (GREEN, {2})):
        assert set(where(path, colour)[:, 1] // 400) == panels


def test_the_curve_of_a_falling_loss_falls_from_left_to_right(path):
    draw_curves([row(epoch, loss=3.0 - epoch / 4) for epoch in range(1, 9)], path)
    blue = where(path, BLUE)
    line = blue[(blue[:, 1] < 400) & (blue[:, 0] > 40)]  # below the legend
    left, right = line[line[:, 1] < 100], line[line[:, 1] > 350]
    assert left[:, 0].max() < right[:, 0].min()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300, "missing"])
def test_a_value_that_is_missing_or_not_finite_is_a_gap_in_its_line_only(path, bad):
    rows = [row(epoch, bad if epoch == 3 else 1.0) for epoch in range(1, 6)]
    if bad == "missing":
        del rows[2]["train_loss"]
    draw_curves(rows, path)
    # The third of five epochs is in the middle of the panel.
    blue = columns_of_the_lines(path, BLUE)
    middle = (blue.min() + blue.max()) // 2
    assert not set(range(middle - 20, middle + 20)) & set(blue)
    assert set(range(middle - 20, middle + 20)) <= set(columns_of_the_lines(path, ORANGE))


def columns_of_the_lines(path, colour):
    """Return the columns of the first panel that contain the colour, in the row with most of it (not the legend)."""
    found = where(path, colour)
    rows, counts = np.unique(found[found[:, 1] < 400, 0], return_counts=True)
    return found[(found[:, 0] == rows[counts.argmax()]) & (found[:, 1] < 400), 1]


@pytest.mark.parametrize("epochs", [0, 1, 2, 31, 300])
def test_the_figure_has_one_size_for_any_number_of_epochs(path, epochs):
    draw_curves([row(epoch) for epoch in range(1, epochs + 1)], path)
    with Image.open(path) as image:
        assert image.size == (1200, 330)
    assert (len(where(path, GREEN)) > 0) == (epochs > 0)


def test_pyplot_is_never_imported(path):
    draw_curves([row(1), row(2, loss=math.nan), row(3)], path)
    assert "matplotlib.pyplot" not in sys.modules  # pyplot holds matplotlib's global state: backend, figures


def test_without_matplotlib_each_figure_is_an_error_that_names_the_extra(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    drawings = [(draw_curves, []), (draw_confusion, np.eye(1), "a"), (draw_mistakes, [])]
    for draw, *arguments in drawings:
        with pytest.raises(MiniskError, match=r'pictures need matplotlib: pip install "minisk\[plot\]"'):
            draw(*arguments, path)
    assert not path.exists()


# --- Confusion ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 2, 10, 40, 100, 300])
def test_the_cell_of_a_class_without_errors_has_the_darkest_colour(path, classes):
    draw_confusion(np.diag(np.full(classes, 7)), [f"class {i}" for i in range(classes)], path)
    dark = where(path, DARK, tolerance=2)
    columns = np.unique(dark[:, 1])
    last = columns[np.flatnonzero(np.diff(columns, append=10**6) > 5)[0]]
    dark = dark[dark[:, 1] <= last]  # the colour bar is further right
    height, width = np.ptp(dark, axis=0) + 1
    assert height == pytest.approx(width, abs=1) and width > 3 * classes
    assert 0.8 < len(dark) / (height * width / classes) < 1.1  # less the white counts; cells end between pixels


def test_an_error_of_one_percent_is_visible(path):
    draw_confusion(np.array([[99, 1], [0, 100]]), ["cat", "dog"], path)
    tint = where(path, (227, 238, 248), tolerance=3)
    assert len(tint) > 0.7 * 56**2


@pytest.mark.parametrize(
    "names",
    [["x" * 500] * 2, ["", "\n\x1b[2J"], ["猫", "Größe"], ["$x$", r"$\frac{"]],
    ids=["long", "control", "script", "formula"],
)
def test_unusual_class_names_stay_in_the_margin(path, names):
    draw_confusion(np.array([[3, 0], [0, 0]]), names, path)
    with Image.open(path) as image:
        assert image.width < 450 and image.height < 400
    assert len(where(path, DARK, tolerance=2)) > 500


def test_a_class_without_images_has_a_white_row(path):
    draw_confusion(np.zeros((3, 3), dtype=np.int64), list("abc"), path)
    assert len(where(path, DARK, tolerance=2)) == 0


@pytest.mark.parametrize("shape", [(2, 3), (3, 3), (0, 0)])
def test_a_matrix_that_does_not_fit_the_classes_is_an_error(path, shape):
    classes = ["a", "b"][: shape[0]]
    with pytest.raises(ShapeError, match=rf"matrix is \({shape[0]}, {shape[1]}\), expected"):
        draw_confusion(np.zeros(shape, dtype=np.int64), classes, path)


# --- Mistakes and predictions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 6, 7, 24])
def test_every_mistake_is_shown_once_and_enlarged(path, count):
    images = np.zeros((count, 3, 32, 32), dtype=np.uint8)
    images[:, 0] = (100 + 5 * np.arange(count))[:, None, None]
    images[:, 2] = 200
    draw_mistakes([(image, "cat", "a very long name indeed, of a dog", 0.9) for image in images], path)
    for image in images:
        assert len(where(path, image[:, 0, 0], tolerance=1)) > 100**2


def test_a_grid_of_no_mistakes_shows_its_title(path):
    draw_mistakes([], path, "No mistakes")
    with Image.open(path) as image:
        assert image.width > 800
    assert len(where(path, (0, 0, 0), tolerance=60)) > 50


def test_characters_missing_in_the_font_do_not_raise(path):
    draw_confusion(np.eye(2, dtype=np.int64), ("café 猫\n", "a"), path)
    assert path.stat().st_size > 0


# --- Files --------------------------------------------------------------------------------------------------------


def test_the_same_numbers_give_the_same_file(path):
    files = []
    for _ in range(2):
        draw_curves([row(1), row(2)], path)
        files.append(path.read_bytes())
    assert files[0] == files[1]


def test_a_full_disk_leaves_the_earlier_figure_unchanged(path, monkeypatch):
    draw_curves([row(1)], path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        draw_curves([row(1), row(2)], path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]
