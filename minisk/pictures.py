"""Pictures of a run: curves, confusion matrix, worst mistakes, and what a network says about one image.

Pillow draws them all; the curves are matplotlib's where that is installed (the extra `plot`). Nothing here knows of
models or data sets: numbers, names and pixels come in, and one PNG file goes out, replaced as a whole.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import itertools
import math
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .checkpoint import atomic_write
from .errors import ShapeError

Point = tuple[float, float]

# Okabe and Ito's colours, which colour-blind readers tell apart: https://jfly.uni-koeln.de/color/
_BLUE, _ORANGE, _GREEN = "#0072B2", "#D55E00", "#009E73"
_INK, _GREY, _PALE = "#222222", "#666666", "#E4E4E4"

# title; then a line each: key in the rows, name in the legend, colour
_PANELS = (
    ("loss", (("train_loss", "train", _BLUE), ("test_loss", "test", _ORANGE))),
    ("accuracy, %", (("train_accuracy", "train", _BLUE), ("test_accuracy", "test", _ORANGE))),
    ("learning rate", (("lr", "", _GREEN),)),
)
_PANEL_WIDTH, _PANEL_HEIGHT = 400, 300
_FEW = 30  # up to so many epochs each has a dot of its own
_LARGEST = 1e12  # a diverged loss beyond this is a gap in the line, as NaN is

_SCALE = 3


def draw_curves(rows: Sequence[Mapping[str, float]], path: str | Path) -> None:
    """Draw loss, accuracy and learning rate over the epochs, and write them as a PNG.

    rows: one per epoch, with `epoch`, `lr`, and `train_` and `test_` `loss` (nats) and `accuracy` (percent). A value
    that is missing, NaN or infinite is a gap. Raises OSError.
    """
    by_matplotlib = importlib.util.find_spec("matplotlib") is not None
    atomic_write(path, _curves_by_matplotlib(rows) if by_matplotlib else _curves_by_pillow(rows))


def draw_confusion(matrix: NDArray[np.int64], classes: Sequence[str], path: str | Path) -> None:
    """Draw a confusion matrix as a heat map, and write it as a PNG.

    matrix: (K, K) counts, one row per true class, one column per predicted one; classes: K names. A cell's colour is
    its share of its row. Counts are written into the cells while there is room, names beside up to about 100 classes.
    Raises ShapeError, OSError.
    """
    k = len(classes)
    if matrix.shape != (k, k) or k == 0:
        raise ShapeError(f"draw_confusion: matrix is {matrix.shape}, expected ({k}, {k}) for {k} classes, at least one")
    totals = matrix.sum(axis=1)
    share = matrix / np.maximum(1, totals)[:, np.newaxis]
    cell = max(2, min(56, 1100 // k))
    size = min(13.0, cell * 0.85)
    names = list(classes) if cell >= 10 else [""] * k
    margin = 44 + min(150, max(_text_width(name, size) for name in names))
    top, side = margin + 30, cell * k
    title = f"{100 * np.trace(matrix) / max(1, matrix.sum()):.2f} % of {matrix.sum():,} right"
    caption = "predicted class (colour: share of the row)"
    width = max(margin + side + 70, 32 + _text_width(title, 15), margin + 16 + _text_width(caption, 12))
    canvas = _Canvas(round(width), round(top + side + 16))
    canvas.text(16, 20, title, 15)
    canvas.text(margin, 46, caption, 12, _GREY)
    canvas.text(20, top + side / 2, "true class", 12, _GREY, anchor="mm", upright=True)
    canvas.box(margin - 1, top - 1, margin + side + 1, top + side + 1, _PALE)
    canvas.pixels(_heat(share), margin, top, side, side, smooth=False)
    for i, name in enumerate(names):
        middle = cell * (i + 0.5)
        canvas.text(margin - 6, top + middle, name, size, anchor="rm", width=150)
        canvas.text(margin + middle, top - 6, name, size, anchor="mb", width=150, upright=True)
        if name and totals[i]:
            canvas.text(margin + side + 6, top + middle, f"{100 * share[i, i]:.0f} %", size, _GREY)
    size = max(6.0, min(13.0, 1.5 * (cell - 4) / len(f"{matrix.max():,}")))
    for i, j in np.argwhere(matrix) if cell >= 24 else ():
        colour = "white" if share[i, j] > 0.3 else _INK
        canvas.text(margin + cell * (j + 0.5), top + cell * (i + 0.5), f"{matrix[i, j]:,}", size, colour, anchor="mm")
    atomic_write(path, canvas.png())


def draw_mistakes(
    mistakes: Sequence[tuple[NDArray[np.uint8], str, str, float]], path: str | Path, title: str = "Mistakes"
) -> None:
    """Draw wrongly classified images as a grid, and write it as a PNG.

    mistakes: (image, uint8 (3, H, W); its true class; the predicted class; that one's probability in 0 … 1) each.
    Raises OSError.
    """
    columns, side, gap = 6, 128, 12
    pitch, rows = side + 56, math.ceil(len(mistakes) / columns)
    canvas = _Canvas(gap + columns * (side + gap), 52 + rows * pitch)
    canvas.text(gap, 24, title, 15)
    for i, (image, true, predicted, probability) in enumerate(mistakes):
        left, top = gap + i % columns * (side + gap), 48 + i // columns * pitch
        canvas.pixels(image.transpose(1, 2, 0), left, top, side, side, smooth=True)
        canvas.text(left, top + side + 12, f"is {true}", 12, _BLUE, width=side)
        percent = f"  {100 * probability:.1f} %"
        room = side - _text_width(percent, 12)
        end = canvas.text(left, top + side + 29, f"said {predicted}", 12, _ORANGE, width=room)
        canvas.text(left + end, top + side + 29, percent, 12, _GREY)
    atomic_write(path, canvas.png())


def draw_prediction(image: Any, top: Sequence[tuple[str, float]], path: str | Path) -> None:
    """Draw a picture with the likeliest classes beside it, a bar each, and write it as a PNG.

    image: a Pillow image, RGB; top: (class, probability in 0 … 1), likeliest first. Raises OSError.
    """
    scale = min(480 / image.width, 360 / image.height)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    tall = max(height, 46 * len(top)) + 32
    canvas = _Canvas(width + 316, tall)
    canvas.pixels(np.asarray(image), 16, (tall - height) // 2, width, height, smooth=True)
    for i, (name, probability) in enumerate(top):
        left, right, y = width + 40, width + 300, tall / 2 + 46 * (i - len(top) / 2) + 4
        canvas.text(left, y + 9, name, 14, width=190)
        canvas.text(right, y + 9, f"{100 * probability:.1f} %", 14, _GREY, anchor="rm")
        canvas.box(left, y + 22, right, y + 30, _PALE)
        canvas.box(left, y + 22, left + (right - left) * probability, y + 30, _BLUE if i == 0 else "#7FB8D8")
    atomic_write(path, canvas.png())


class _Canvas:
    """A white picture, drawn several times too large and then reduced, which smooths lines and letters alike."""

    def __init__(self, width: int, height: int) -> None:
        from PIL import Image, ImageDraw

        self.image = Image.new("RGB", (width * _SCALE, height * _SCALE), "white")
        self.draw = ImageDraw.Draw(self.image)

    def line(self, points: Sequence[Point], colour: str, width: float = 1) -> None:
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self.draw.line(scaled, fill=colour, width=round(width * _SCALE), joint="curve")

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """Fill a rectangle, unless it is thinner than a pixel of the large picture."""
        corners = [round(value * _SCALE) for value in (left, top, right, bottom)]
        if corners[2] > corners[0]:
            self.draw.rectangle((corners[0], corners[1], corners[2] - 1, corners[3] - 1), fill=colour)

    def dot(self, x: float, y: float, colour: str, radius: float = 2.5) -> None:
        corners = [value * _SCALE for value in (x - radius, y - radius, x + radius, y + radius)]
        self.draw.ellipse(corners, fill=colour)

    def text(
        self, x: float, y: float, text: str, size: float, colour: str = _INK, anchor: str = "lm",
        width: float = math.inf, upright: bool = False,
    ) -> float:  # fmt: skip
        """Write at (x, y), cut to a width; upright: turned to be read from below. Returns the width it took."""
        from PIL import Image, ImageDraw

        shown, font = _shortened(text, size, width), _font(size)
        if not upright:
            self.draw.text((x * _SCALE, y * _SCALE), shown, fill=colour, font=font, anchor=anchor)
        elif shown:
            # Turned by 90 degrees the text's end is above: "mb" leaves its beginning just over (x, y).
            length, thick = math.ceil(font.getlength(shown)), math.ceil(size * _SCALE * 1.5)
            mask = Image.new("L", (length, thick))
            ImageDraw.Draw(mask).text((0, thick / 2), shown, fill=255, font=font, anchor="lm")
            above = length if anchor == "mb" else length / 2
            corner = (round(x * _SCALE - thick / 2), round(y * _SCALE - above))
            self.image.paste(colour, corner, mask.transpose(Image.Transpose.ROTATE_90))
        return font.getlength(shown) / _SCALE

    def pixels(
        self, pixels: NDArray[np.uint8], left: float, top: float, width: float, height: float, smooth: bool
    ) -> None:
        """Paste uint8 (H, W, 3), resized to the given width and height."""
        from PIL import Image

        size = (round(width * _SCALE), round(height * _SCALE))
        how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
        resized = Image.fromarray(np.ascontiguousarray(pixels)).resize(size, how)
        self.image.paste(resized, (round(left * _SCALE), round(top * _SCALE)))

    def png(self) -> bytes:
        buffer = io.BytesIO()
        self.image.reduce(_SCALE).save(buffer, "PNG", optimize=True)
        return buffer.getvalue()


class _Axes:
    """A frame with ticks and numbers over the epochs, whose range fits the values under the given keys."""

    def __init__(
        self, canvas: _Canvas, box: tuple[float, float, float, float], rows: Sequence[Mapping[str, float]],
        keys: Sequence[str],
    ) -> None:  # fmt: skip
        self.canvas, (self.left, self.top, self.right, self.bottom) = canvas, box
        points = [point for key in keys for point in _points(rows, key)]
        epochs = [row["epoch"] for row in rows] or [1]
        self.x_range = (min(epochs), max(epochs)) if min(epochs) < max(epochs) else (epochs[0] - 1, epochs[0] + 1)
        ticks = _ticks([y for _, y in points if not math.isnan(y)] or [0.0, 1.0])
        self.y_range = (ticks[0], ticks[-1])
        for value in ticks:
            y = self._place(self.x_range[0], value)[1]
            canvas.line([(self.left, y), (self.right, y)], _PALE)
            canvas.text(self.left - 7, y, f"{value:.6g}", 12, _GREY, anchor="rm")
        for value in _ticks(self.x_range, smallest_step=1.0):
            if self.x_range[0] <= value <= self.x_range[1]:
                x = self._place(value, ticks[0])[0]
                canvas.line([(x, self.bottom), (x, self.bottom + 4)], _GREY)
                canvas.text(x, self.bottom + 14, f"{value:g}", 12, _GREY, anchor="mm")
        canvas.line([(self.left, self.bottom), (self.right, self.bottom)], _GREY)
        canvas.text((self.left + self.right) / 2, self.bottom + 32, "epoch", 12, _GREY, anchor="mm")

    def _place(self, x: float, y: float) -> Point:
        across = (x - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        up = (y - self.y_range[0]) / (self.y_range[1] - self.y_range[0])
        return self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top)

    def curve(self, points: Sequence[Point], colour: str, dots: bool) -> None:
        """Join the points, but for those that are NaN; a point with no neighbour is a dot in any case."""
        for missing, group in itertools.groupby(points, key=lambda point: math.isnan(point[1])):
            run = [] if missing else [self._place(x, y) for x, y in group]
            if len(run) > 1:
                self.canvas.line(run, colour, 2)
            for x, y in run if dots or len(run) == 1 else ():
                self.canvas.dot(x, y, colour)


def _curves_by_pillow(rows: Sequence[Mapping[str, float]]) -> bytes:
    canvas = _Canvas(_PANEL_WIDTH * len(_PANELS), _PANEL_HEIGHT)
    for number, (title, series) in enumerate(_PANELS):
        left, end = number * _PANEL_WIDTH + 56, (number + 1) * _PANEL_WIDTH - 16.0
        canvas.text(left, 22, title, 15)
        axes = _Axes(canvas, (left, 40, end, _PANEL_HEIGHT - 44), rows, [key for key, _, _ in series])
        for key, name, colour in reversed(series):
            axes.curve(_points(rows, key), colour, dots=len(rows) <= _FEW)
            if name:
                end -= canvas.text(end, 22, name, 13, colour, anchor="rm") + 6
                canvas.line([(end - 18, 22), (end, 22)], colour, 2)
                end -= 30
    return canvas.png()


def _points(rows: Sequence[Mapping[str, float]], key: str) -> list[Point]:
    """Pair each epoch with its value, NaN for one that cannot be drawn."""
    values = [float(row.get(key, math.nan)) for row in rows]
    return [(row["epoch"], v if abs(v) < _LARGEST else math.nan) for row, v in zip(rows, values, strict=True)]


def _ticks(values: Sequence[float], smallest_step: float = 0.0) -> list[float]:
    """Return round numbers, 1, 2 or 5 times a power of ten apart, that enclose all values."""
    low, high = min(values), max(values)
    if high - low < 1e-6 * max(abs(low), abs(high), 1e-6):
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if abs(high) > 1e-30 else (0.0, 1.0)
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(smallest_step, next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9)))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def _heat(share: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Map 0 … 1 to white … dark blue, uint8 (…, 3). By the square root, so that an error of 1 % can be seen."""
    stops, colours = [0, 0.5, 1], [(255, 255, 255), (107, 174, 214), (8, 48, 107)]
    channels = [np.interp(np.sqrt(share), stops, [colour[i] for colour in colours]) for i in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


@functools.cache
def _font(size: float) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size * _SCALE)


def _text_width(text: str, size: float) -> float:
    return float(_font(size).getlength(_drawable(text))) / _SCALE


def _drawable(text: str) -> str:
    """Spell a text in the letters that Pillow's own font has: accents are dropped, other scripts become '?'."""
    plain = unicodedata.normalize("NFKD", text)
    ascii_text = "".join(c for c in plain if not unicodedata.combining(c)).encode("ascii", "replace").decode()
    return "".join(c if c.isprintable() else "?" for c in ascii_text)


def _shortened(text: str, size: float, width: float) -> str:
    """Cut a text to a width, ending in '…' if something is lost."""
    whole = _drawable(text)[:200]
    if _text_width(whole, size) <= width:
        return whole
    font = _font(size)
    fits = max((n for n in range(len(whole)) if font.getlength(whole[:n] + "…") <= width * _SCALE), default=0)
    return whole[:fits].rstrip() + "…"


def _curves_by_matplotlib(rows: Sequence[Mapping[str, float]]) -> bytes:
    # A Figure of its own, without pyplot: no window, no backend chosen, no state left behind.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.3), dpi=100, layout="constrained")
    for axes, (title, series) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        for key, name, colour in series:
            points = _points(rows, key)
            marker = "o" if len(rows) <= _FEW else None
            axes.plot([x for x, _ in points], [y for _, y in points], color=colour, label=name, marker=marker, ms=4)
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(color=_PALE)
        axes.spines[["top", "right"]].set_visible(False)
        if len(series) > 1:
            axes.legend(frameon=False)
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
