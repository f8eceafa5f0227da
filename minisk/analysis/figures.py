"""Figures of a run: curves, confusion matrix, mistakes and predictions, each written as one PNG file.

matplotlib draws them (the extra `plot`). The functions take numbers, names and pixels, not models or data sets. A file
is replaced as a whole.
"""

import importlib
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MiniskError, ShapeError
from ..serialization import atomic_write

# Okabe and Ito's colours, which colour-blind readers can distinguish: https://jfly.uni-koeln.de/color/
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
INK, _PALE = "#222222", "#E4E4E4"

# title of the panel; key in the rows and colour of each line
_PANELS = (
    ("loss", {"train_loss": BLUE, "test_loss": ORANGE}),
    ("accuracy, %", {"train_accuracy": BLUE, "test_accuracy": ORANGE}),
    ("learning rate", {"lr": GREEN}),
)
_CAPTION = "train: measured while learning, on augmented images.  test: after the epoch, on whole images."
_OUTLIER = 10  # a loss above this many times the median makes the axis logarithmic
_FEW = 30  # up to this many epochs, each one has a dot
_LARGEST = 1e12  # a larger loss has diverged, and is a gap in the line, as NaN is
_COLUMNS = 6  # of the grid of mistakes
_ROW = 170  # pixels of height for each image of draw_predictions


def draw_curves(rows: Sequence[Mapping[str, float]], path: str | Path, rates: Sequence[float] = ()) -> None:
    """Draw loss, accuracy and learning rate over the epochs, and write them as a PNG.

    Args:
        rows: one per epoch, with `epoch`, `lr`, `train_loss`, `test_loss` (nats), `train_accuracy`, `test_accuracy`
            (percent). A value that is missing, NaN or infinite is a gap, and a cross on the lower edge.
        path: the file to write.
        rates: the learning rate at evenly spaced steps, from the first to the last; drawn instead of `lr`.

    Raises:
        MiniskError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure = new_figure(1200, 330)
    for axes, (title, lines) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        shown: list[float] = []
        for key, colour in lines.items():
            if key == "lr" and rates and rows:
                steps = np.arange(1, len(rates) + 1) * (rows[-1]["epoch"] / len(rates))
                axes.plot(steps, rates, color=colour)
                shown += rates
            else:
                shown += _draw_line(axes, rows, key, colour)
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        style_axes(axes)
        if title == "loss" and shown and max(shown) > _OUTLIER * np.median(shown) > 0:
            axes.set_yscale("log")
            axes.set_title("loss (logarithmic)", fontsize=11)
        if rows and not shown:
            axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", color=INK)
        if len(lines) > 1:
            axes.legend(frameon=False)
    figure.supxlabel(_CAPTION, fontsize=8, color=INK)
    _write(figure, path)


def _draw_line(axes: Any, rows: Sequence[Mapping[str, float]], key: str, colour: str) -> list[float]:
    """Draw one value of each epoch; return those that are finite."""
    epochs = [row["epoch"] for row in rows]
    values = [float(row.get(key, math.nan)) for row in rows]
    shown = [value if abs(value) < _LARGEST else math.nan for value in values]
    marker = "o" if len(rows) <= _FEW else None
    axes.plot(epochs, shown, color=colour, label=key.split("_")[0], marker=marker, ms=4)
    gaps = [epoch for epoch, value in zip(epochs, shown, strict=True) if math.isnan(value)]
    if gaps:
        axes.plot(gaps, [0.02] * len(gaps), "x", color=colour, ms=5, transform=axes.get_xaxis_transform())
    return [value for value in shown if math.isfinite(value)]


def style_axes(axes: Any) -> None:
    """Set the style of all panels with two axes: a pale grid, no frame above and on the right."""
    axes.grid(color=_PALE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def draw_confusion(matrix: NDArray[np.int64], classes: Sequence[str], path: str | Path, subject: str = "") -> None:
    """Draw a confusion matrix as a heat map, and write it as a PNG.

    A cell's colour is its share of its row. Cells large enough contain their count. Up to about 100 classes are named.

    Args:
        matrix: (K, K) int64 counts, one row per true class, one column per predicted class.
        classes: K names.
        path: the file to write.
        subject: the data set's name, for the title.

    Raises:
        ShapeError: the matrix does not fit the classes, or there is no class.
        MiniskError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    k = len(classes)
    if matrix.shape != (k, k) or k == 0:
        raise ShapeError(f"draw_confusion: matrix is {matrix.shape}, expected ({k}, {k}) for {k} classes, at least one")
    totals = matrix.sum(axis=1, keepdims=True)
    share = matrix / np.maximum(1, totals)
    cell = max(2, min(56, 1100 // k))
    figure = new_figure(cell * k + 250, cell * k + 170)
    axes = figure.subplots()
    # The colour is the square root of the share, which makes 1 % visible; the colour bar shows the share itself.
    scale = import_matplotlib("matplotlib.colors").PowerNorm(0.5, vmin=0, vmax=1)
    image = axes.imshow(share, cmap="Blues", norm=scale)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, ticks=[0, 0.01, 0.1, 0.5, 1], format="%g")
    bar.set_label("share of the true class (square-root scale)", fontsize=9)
    bar.outline.set_edgecolor(_PALE)
    right = f"{100 * np.trace(matrix) / max(1, totals.sum()):.2f} % of {totals.sum():,} right"
    axes.set_title(f"{plain_label(subject, 40)}: {right}" if subject else right, fontsize=11)
    axes.set(
        xlabel="predicted class",
        ylabel="true class",
        xticks=[],
        yticks=[],
    )
    axes.spines[:].set_color(_PALE)
    if cell >= 10:
        names, size = [plain_label(name) for name in classes], min(10.0, cell * 0.6)
        axes.set_xticks(range(k), names, rotation=90, fontsize=size)
        axes.set_yticks(range(k), names, fontsize=size)
        axes.tick_params(length=0)
    size = max(5.0, min(10.0, 1.1 * (cell - 4) / len(f"{matrix.max():,}")))
    for i, j in np.argwhere(matrix) if cell >= 24 else ():
        colour = "white" if share[i, j] > 0.3 else INK
        axes.text(j, i, f"{matrix[i, j]:,}", ha="center", va="center", color=colour, fontsize=size)
    _write(figure, path)


def draw_mistakes(
    mistakes: Sequence[tuple[NDArray[np.uint8], str, str, float]], path: str | Path, title: str = "Mistakes"
) -> None:
    """Draw wrongly classified images as a grid, and write it as a PNG.

    Args:
        mistakes: for each, the image, (3, H, W) uint8; the true class; the predicted class; the probability of the
            predicted class, in 0 … 1.
        path: the file to write.
        title: above the grid.

    Raises:
        MiniskError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    rows = max(1, math.ceil(len(mistakes) / _COLUMNS))
    captions, pictures = (60, 180 * rows) if mistakes else (20, 20)
    height = 40 + captions + pictures
    figure = new_figure(860, height)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.get_layout_engine().set(hspace=0.4, rect=(0, captions / height, 1, 1 - captions / height))
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (image, true, predicted, probability) in zip(grid, mistakes, strict=False):
        axes.imshow(image.transpose(1, 2, 0), interpolation="bicubic")
        style = {"fontsize": 8.5, "transform": axes.transAxes, "in_layout": False}
        axes.text(0, -0.14, f"true: {plain_label(true, 16)}", color=BLUE, **style)
        axes.text(0, -0.29, f"predicted: {plain_label(predicted)}", color=ORANGE, **style)
        axes.text(0, -0.44, f"with {100 * probability:.1f} %", color=ORANGE, **style)
    _write(figure, path)


def draw_predictions(predictions: Sequence[tuple[str, Any, Sequence[tuple[str, float]]]], path: str | Path) -> None:
    """Draw one row per image, the image beside bars of its class probabilities, and write it as a PNG.

    Args:
        predictions: for each image its name, the Pillow image (RGB), and (class, probability in 0 … 1), largest first.
        path: the file to write.

    Raises:
        MiniskError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure = new_figure(640, _ROW * len(predictions))
    grid = figure.subplots(len(predictions), 2, squeeze=False, width_ratios=(1, 2))
    for (left, right), (name, image, top) in zip(grid, predictions, strict=True):
        left.imshow(np.asarray(image), interpolation="bicubic")
        left.axis("off")
        left.set_title(plain_label(name, 24), fontsize=9)
        positions = range(len(top))
        right.barh(positions, [100 * probability for _, probability in top], color=BLUE)
        right.set_yticks(positions, [plain_label(class_name) for class_name, _ in top], fontsize=9)
        right.set(xlim=(0, 100))
        right.invert_yaxis()
        right.tick_params(axis="x", labelsize=8)
        style_axes(right)
    grid[-1][1].set_xlabel("probability, %", fontsize=9)
    _write(figure, path)


def draw_errors(panels: Sequence[tuple[str, NDArray[np.float64]]], path: str | Path, title: str) -> None:
    """Draw |analytic - numeric| of each input of a gradient check as a heat map, and write them as one PNG.

    Axes but the last two are laid out in blocks, alternately from top to bottom and from left to right. Values that
    are not finite are red.

    Args:
        panels: for each input a heading, and the absolute errors in its shape.
        path: the file to write.
        title: above the panels.

    Raises:
        MiniskError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure = new_figure(40 + 360 * max(1, len(panels)), 380)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    for axes, (heading, errors) in zip(figure.subplots(1, max(1, len(panels)), squeeze=False)[0], panels, strict=False):
        plane, rows, columns = _plane(errors)
        colours = import_matplotlib("matplotlib").colormaps["Blues"].with_extremes(bad="#CC0000")
        largest = float(np.nanmax(plane, initial=0, where=np.isfinite(plane)))
        image = axes.imshow(plane, cmap=colours, vmin=0, vmax=largest or 1, aspect="auto", interpolation="nearest")
        axes.set_title(plain_label(heading, 60), fontsize=9)
        axes.set_xlabel(columns)
        axes.set_ylabel(rows)
        for axis in (axes.xaxis, axes.yaxis):
            axis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.spines[:].set_color(_PALE)
        if largest:
            figure.colorbar(image, ax=axes, format="%.2g").set_label("|analytic - numeric|", fontsize=9)
    _write(figure, path)


def _plane(array: NDArray[np.float64]) -> tuple[NDArray[np.float64], str, str]:
    """Lay an array out in a plane; return it with the labels of its rows and columns."""
    shape = (1,) * (2 - array.ndim) + array.shape
    added = len(shape) - array.ndim
    # The last axis runs along a row, the one before along a column, and so on alternately.
    columns = list(range(len(shape)))[::-2][::-1]
    rows = list(range(len(shape)))[-2::-2][::-1]
    height, width = (math.prod(shape[axis] for axis in axes) for axes in (rows, columns))
    plane = array.reshape(shape).transpose(*rows, *columns).reshape(height, width)
    named = [[str(axis - added) for axis in axes if axis >= added] for axes in (rows, columns)]
    labels = [
        f"{'index on axis' if len(names) == 1 else 'axes'} {', '.join(names)}" if names else "" for names in named
    ]
    return np.where(np.isfinite(plane), plane, np.nan), labels[0], labels[1]


def new_figure(width: int, height: int) -> Any:
    """Return an empty Figure of this size in pixels. Raises MiniskError."""
    # Not through pyplot, which opens windows, selects a backend and keeps global state.
    figure = import_matplotlib("matplotlib.figure").Figure
    return figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")


def import_matplotlib(module: str) -> Any:
    """Import a module of matplotlib. Raises MiniskError."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MiniskError('pictures need matplotlib: pip install "minisk[plot]"') from error


def _write(figure: Any, path: str | Path) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter missing in the font is drawn as a box
        figure.savefig(buffer, format="png", pil_kwargs={"optimize": True})
    atomic_write(path, buffer.getvalue())


def plain_label(name: str, most: int = 18) -> str:
    """Return a name without control characters or formulas ($), of at most `most` characters."""
    plain = "".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$")
    return plain if len(plain) <= most else plain[: most - 1] + "…"
