"""Figures of a run: curves, confusion matrix, mistakes and predictions, each written as one PNG file.

matplotlib draws them (the extra `plot`). The functions take numbers, names and pixels, not models or data sets. A file
is replaced as a whole.
"""

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
_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"
_INK, _PALE = "#222222", "#E4E4E4"

# title of the panel; key in the rows and colour of each line
_PANELS = (
    ("loss", {"train_loss": _BLUE, "test_loss": _ORANGE}),
    ("accuracy, %", {"train_accuracy": _BLUE, "test_accuracy": _ORANGE}),
    ("learning rate", {"lr": _GREEN}),
)
_FEW = 30  # up to this many epochs, each one has a dot
_LARGEST = 1e12  # a larger loss has diverged, and is a gap in the line, as NaN is
_COLUMNS = 6  # of the grid of mistakes
_ROW = 170  # pixels of height for each image of draw_predictions


def draw_curves(rows: Sequence[Mapping[str, float]], path: str | Path) -> None:
    """Draw loss, accuracy and learning rate over the epochs, and write them as a PNG.

    Args:
        rows: one per epoch, with `epoch`, `lr`, `train_loss`, `test_loss` (nats), `train_accuracy`, `test_accuracy`
            (percent). A value that is missing, NaN or infinite is a gap.
        path: the file to write.

    Raises:
        MiniskError: matplotlib is not installed.
        OSError: the file cannot be written.
    """
    figure = _figure(1200, 330)
    for axes, (title, lines) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        for key, colour in lines.items():
            values = [float(row.get(key, math.nan)) for row in rows]
            shown = [value if abs(value) < _LARGEST else math.nan for value in values]
            marker = "o" if len(rows) <= _FEW else None
            axes.plot([row["epoch"] for row in rows], shown, color=colour, label=key.split("_")[0], marker=marker, ms=4)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(color=_PALE)
        axes.spines[["top", "right"]].set_visible(False)
        if len(lines) > 1:
            axes.legend(frameon=False)
    _write(figure, path)


def draw_confusion(matrix: NDArray[np.int64], classes: Sequence[str], path: str | Path) -> None:
    """Draw a confusion matrix as a heat map, and write it as a PNG.

    A cell's colour is its share of its row. Cells large enough contain their count. Up to about 100 classes are named.

    Args:
        matrix: (K, K) int64 counts, one row per true class, one column per predicted class.
        classes: K names.
        path: the file to write.

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
    figure = _figure(cell * k + 250, cell * k + 170)
    axes = figure.subplots()
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)  # the square root makes a share of 1 % visible
    axes.set_title(f"{100 * np.trace(matrix) / max(1, totals.sum()):.2f} % of {totals.sum():,} right", fontsize=11)
    axes.set(
        xlabel="predicted class (colour: square root of the share of the row)",
        ylabel="true class",
        xticks=[],
        yticks=[],
    )
    axes.spines[:].set_color(_PALE)
    if cell >= 10:
        names, size = [_label(name) for name in classes], min(10.0, cell * 0.6)
        axes.set_xticks(range(k), names, rotation=90, fontsize=size)
        axes.set_yticks(range(k), names, fontsize=size)
        axes.tick_params(length=0)
    size = max(5.0, min(10.0, 1.1 * (cell - 4) / len(f"{matrix.max():,}")))
    for i, j in np.argwhere(matrix) if cell >= 24 else ():
        colour = "white" if share[i, j] > 0.3 else _INK
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
    height = 80 + 180 * rows
    figure = _figure(860, height)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    figure.get_layout_engine().set(hspace=0.4, rect=(0, 40 / height, 1, 1 - 40 / height))
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (image, true, predicted, probability) in zip(grid, mistakes, strict=False):
        axes.imshow(image.transpose(1, 2, 0), interpolation="bicubic")
        style = {"fontsize": 7.5, "transform": axes.transAxes, "in_layout": False}
        axes.text(0, -0.14, f"is {_label(true)}", color=_BLUE, **style)
        axes.text(0, -0.28, f"said {_label(predicted, 11)} {100 * probability:.1f} %", color=_ORANGE, **style)
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
    figure = _figure(640, _ROW * len(predictions))
    grid = figure.subplots(len(predictions), 2, squeeze=False, width_ratios=(1, 2))
    for (left, right), (name, image, top) in zip(grid, predictions, strict=True):
        left.imshow(np.asarray(image), interpolation="bicubic")
        left.axis("off")
        left.set_title(_label(name, 24), fontsize=9)
        positions = range(len(top))
        right.barh(positions, [100 * probability for _, probability in top], color=_BLUE)
        right.set_yticks(positions, [_label(class_name) for class_name, _ in top], fontsize=9)
        right.set(xlim=(0, 100))
        right.invert_yaxis()
        right.tick_params(axis="x", labelsize=8)
        right.spines[["top", "right"]].set_visible(False)
    grid[-1][1].set_xlabel("probability, %", fontsize=9)
    _write(figure, path)


def _figure(width: int, height: int) -> Any:
    """Return an empty Figure of this size in pixels. Raises MiniskError."""
    try:
        # Not through pyplot, which opens windows, selects a backend and keeps global state.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MiniskError('pictures need matplotlib: pip install "minisk[plot]"') from error
    return Figure(figsize=(width / 100, height / 100), dpi=100, layout="constrained")


def _write(figure: Any, path: str | Path) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter missing in the font is drawn as a box
        figure.savefig(buffer, format="png", pil_kwargs={"optimize": True})
    atomic_write(path, buffer.getvalue())


def _label(name: str, most: int = 18) -> str:
    """Return a name without control characters or formulas ($), of at most `most` characters."""
    plain = "".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$")
    return plain if len(plain) <= most else plain[: most - 1] + "…"
