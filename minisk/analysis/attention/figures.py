"""Figures of attention, each as SVG and as PNG: effects, classes as in the paper, single images, areas of objects.

An SVG takes the colour of its surroundings: text and lines are `currentColor`, the background is transparent. So one
file is readable on a light and on a dark page. A PNG has a white background.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..figures import GREEN, INK, ORANGE, import_matplotlib, new_figure, plain_label
from .measure import Measurement
from .statistics import AreaEffect, Comparison, Effect
from .views import BLURRED, DRAWN, ENLARGED, ORIGINAL, Condition

# Of a contrast of at least 3 both with white and with the dark page.
_BLUE, _PURPLE = "#2183C4", "#B763A0"
_COMPARISON_COLOURS = {
    "enlarged": ORANGE,
    "blur alone": _PURPLE,
    "size without blur": _BLUE,
    "drawn larger": GREEN,
}
_COMPARISON_NAMES = {
    "enlarged": "enlarged crop against original (the paper's protocol)",
    "blur alone": "blurred original against original",
    "size without blur": "enlarged crop against blurred original",
    "drawn larger": "object drawn larger against original",
}
_SCALE_COLOURS = (_BLUE, ORANGE, _PURPLE, GREEN)
_MOST_NAMED = 30  # classes with their names below the axis
SMOOTHING = 16  # channels, as in the paper
_GRID = {"color": "#888888", "alpha": 0.25, "linewidth": 0.6}
# Only in an SVG file of its own: inside a page, the page decides.
_THEME = "<style>svg{color:#222222}@media(prefers-color-scheme:dark){svg{color:#DDDDDD}}</style>"


class Picture(NamedTuple):
    """One figure. svg: a file of its own; inline: the same for a page of HTML; png: on white."""

    svg: bytes
    inline: str
    png: bytes


class Example(NamedTuple):
    """One image in several views.

    name: of the image. conditions: V views. pixels: uint8 (V, size, size, 3). values: mean over the channels, (V, U).
    equal: the values if all branches had the same weight, (U,); the bars begin there.
    channels: weight of the largest kernel in each channel of one unit, (V, C), 0 … 1. unit: its name.
    """

    name: str
    conditions: tuple[Condition, ...]
    pixels: NDArray[np.uint8]
    values: NDArray[np.float64]
    equal: NDArray[np.float64]
    channels: NDArray[np.float64]
    unit: str


def draw_effects(results: Sequence[tuple[Comparison, Sequence[Effect]]], value_name: str) -> Picture:
    """Draw each unit's mean change and its interval, one panel a scale, one colour a comparison."""
    scales = sorted({comparison.scale for comparison, _ in results})
    units = [effect.unit for effect in results[0][1]]
    names = list(dict.fromkeys(comparison.name for comparison, _ in results))
    figure = new_figure(1000, 150 + max(150, 18 * len(units) * len(names)))
    grid = figure.subplots(1, len(scales), sharey=True, sharex=True, squeeze=False)[0]
    for axes, scale in zip(grid, scales, strict=True):
        axes.axvline(0, color=INK, linewidth=0.8)
        for comparison, effects in results:
            if comparison.scale == scale:
                offset = 0.6 * ((names.index(comparison.name) + 0.5) / len(names) - 0.5)
                _draw_intervals(axes, effects, offset, comparison.name)
        axes.set_title(f"{scale:g}×, n = {results[0][1][0].n:,} images", fontsize=11)
        axes.set_xlabel(f"change of the {value_name}", fontsize=10)
        _style(axes)
        axes.locator_params(axis="x", nbins=5)
    grid[0].set_yticks(range(len(units)), units)
    grid[0].set_ylim(len(units) - 0.5, -0.5)
    handles, _ = grid[0].get_legend_handles_labels()
    figure.legend(
        handles, [_COMPARISON_NAMES[name] for name in names], loc="outside lower center", ncols=2, fontsize=10
    )
    return _pictured(figure, "effects")


def _draw_intervals(axes: Any, effects: Sequence[Effect], offset: float, name: str) -> None:
    colour = _COMPARISON_COLOURS[name]
    y = np.arange(len(effects)) + offset
    axes.hlines(y, [e.low for e in effects], [e.high for e in effects], color=colour, linewidth=1.6)
    for is_found in (True, False):
        chosen = [i for i, effect in enumerate(effects) if effect.is_found == is_found]
        face = colour if is_found else "none"
        axes.plot([effects[i].mean for i in chosen], y[chosen], "o", ms=6, color=colour, markerfacecolor=face)
    axes.plot([], [], "o-", color=colour, label=name)


def draw_classes(measured: Measurement, classes: Sequence[str], shown: Sequence[int], scale: float) -> Picture:
    """Draw each class's mean value in the views of one scale: the paper's three panels, with the control.

    Args:
        measured: of n images.
        classes: the names.
        shown: positions of the units; three have a panel, the first two and the last, as in the paper.
        scale: of the enlarged, blurred and drawn views beside the original.
    """
    present = np.unique(measured.labels)
    means = np.stack([measured.values[measured.labels == label].mean(axis=0) for label in present])
    lines = [(ORIGINAL, INK, "-", "1×")]
    for kind, colour, style in ((ENLARGED, ORANGE, "-"), (BLURRED, _PURPLE, ":"), (DRAWN, GREEN, "--")):
        lines.append((Condition(kind, scale), colour, style, f"{kind} {scale:g}×"))
    marker = "o" if len(present) <= _MOST_NAMED else None
    panels = [*shown[:2], shown[-1]] if len(shown) > 3 else shown
    figure = new_figure(1000, 400 if len(present) <= _MOST_NAMED else 320)
    for axes, unit in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for condition, colour, style, name in lines:
            if condition in measured.conditions:
                y = means[:, measured.conditions.index(condition), unit]
                axes.plot(range(len(y)), y, style, marker=marker, ms=3, color=colour, label=name, linewidth=1.2)
        axes.set_title(measured.units[unit], fontsize=11)
        if len(present) <= _MOST_NAMED:
            size = min(9.0, 190 / max(1, len(present)))
            axes.set_xticks(range(len(present)), [plain_label(classes[label]) for label in present], fontsize=size)
            axes.tick_params(axis="x", rotation=90)
        else:
            axes.set_xlabel("class, in the order of the data set", fontsize=10)
        axes.margins(x=0.03)
        _style(axes)
    figure.axes[0].set_ylabel(measured.value_name, fontsize=10)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), fontsize=10)
    figure.supxlabel(f"n = {len(measured.labels):,} images of {len(present)} classes", fontsize=9)
    return _pictured(figure, "classes")


def draw_example(example: Example, units: Sequence[str], shown: Sequence[int], value_name: str) -> Picture:
    """Draw one image: its views, the largest kernel's attention in each channel of one unit, bars of several units."""
    views = len(example.conditions)
    figure = new_figure(1000, 300)
    figure.suptitle(plain_label(example.name, 60), x=0.01, ha="left", fontsize=11)
    widths = [1.0] * views + [0.15 + views, 0.15 + views]
    *pictures, curves, bars = figure.subplots(1, views + 2, width_ratios=widths)
    colours = _SCALE_COLOURS[:views]
    for axes, pixels, condition, colour in zip(pictures, example.pixels, example.conditions, colours, strict=False):
        axes.imshow(pixels, interpolation="nearest")
        axes.set_title(f"{condition.scale:g}×", fontsize=11, color=colour)
        axes.axis("off")
    for channels, condition, colour in zip(example.channels, example.conditions, colours, strict=False):
        smooth = smoothed(channels)
        middle = (len(channels) - len(smooth)) / 2
        curves.plot(middle + np.arange(len(smooth)), smooth, color=colour, label=f"{condition.scale:g}×", linewidth=1.3)
    curves.set_title(f"{example.unit}, weight of the largest kernel", fontsize=10)
    curves.set_xlabel(f"channel (mean of {min(SMOOTHING, example.channels.shape[1])} neighbours)", fontsize=9)
    width, start = 0.8 / views, example.equal[list(shown)]
    for k, (condition, colour) in enumerate(zip(example.conditions, colours, strict=False)):
        places = np.arange(len(shown)) + (k - (views - 1) / 2) * width
        height = example.values[k, list(shown)] - start
        bars.bar(places, height, width, start, color=colour, label=f"{condition.scale:g}×")
    bars.hlines(start, np.arange(len(shown)) - 0.5, np.arange(len(shown)) + 0.5, color=INK, linewidth=0.8)
    bars.set_xticks(range(len(shown)), [units[i] for i in shown], fontsize=9)
    bars.set_title(value_name, fontsize=10)
    bars.ticklabel_format(axis="y", useOffset=False)
    for axes in (curves, bars):
        _style(axes)
        axes.tick_params(labelsize=9)
    return _pictured(figure, f"example {example.name}")


def draw_areas(effects: Sequence[AreaEffect]) -> Picture:
    """Draw each unit's rank correlation with the true area of the object, and its interval."""
    figure = new_figure(1000, 130 + max(100, 26 * len(effects)))
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=0.8)
    for i, effect in enumerate(effects):
        axes.hlines(i, effect.low, effect.high, color=_BLUE, linewidth=1.6)
        axes.plot(effect.correlation, i, "o", ms=6, color=_BLUE, markerfacecolor=_BLUE if effect.is_found else "none")
    axes.set_yticks(range(len(effects)), [effect.unit for effect in effects])
    axes.set_ylim(len(effects) - 0.5, -0.5)
    most = max(0.1, *(abs(bound) for effect in effects for bound in (effect.low, effect.high)))
    axes.set_xlim(-1.1 * most, 1.1 * most)
    axes.set_xlabel(f"rank correlation with the area of the object, n = {effects[0].n:,} images", fontsize=10)
    _style(axes)
    return _pictured(figure, "areas")


def smoothed(values: NDArray[np.float64], width: int = SMOOTHING) -> NDArray[np.float64]:
    """Return the means of `width` neighbours of (C,) values, (C - width + 1,); of all, if there are fewer."""
    width = min(width, len(values))
    return np.convolve(values, np.full(width, 1 / width), mode="valid")


def _style(axes: Any) -> None:
    axes.grid(**_GRID)
    axes.set_axisbelow(True)
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[:].set_color(INK)
    axes.tick_params(colors=INK)


def _pictured(figure: Any, name: str) -> Picture:
    """Return a figure as files. name: makes the ids in the SVG, the same at every run."""
    for text in figure.findobj(import_matplotlib("matplotlib.text").Text):
        if text.get_color() == "black":
            text.set_color(INK)
    for legend in figure.legends:
        legend.set_frame_on(False)
    with warnings.catch_warnings(), import_matplotlib("matplotlib").rc_context({"svg.hashsalt": name}):
        warnings.filterwarnings("ignore", "Glyph")  # a letter missing in the font is drawn as a box
        png, svg = io.BytesIO(), io.BytesIO()
        figure.savefig(png, format="png", dpi=150)
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    text = svg.getvalue().decode()
    inline = text[text.index("<svg") :].replace(INK, "currentColor")
    start = inline.index(">") + 1
    return Picture(f"{inline[:start]}{_THEME}{inline[start:]}".encode(), inline, png.getvalue())
