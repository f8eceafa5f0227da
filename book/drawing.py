"""Pictures as SVG text: no library is needed, and the same numbers always give the same text.

A picture has colours for a light and for a dark page; the reader's browser chooses. A chapter's pictures.py defines
`pictures() -> dict[str, str]`: file name → SVG.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

# class: (on a light page, on a dark page). Blue, orange and green are Okabe and Ito's, which colour-blind readers can
# distinguish: https://jfly.uni-koeln.de/color/
COLOURS = {
    "page": ("#ffffff", "#161b22"),
    "ink": ("#1f2328", "#e6edf3"),
    "grey": ("#59636e", "#9aa4b0"),
    "line": ("#8c959f", "#6b7683"),
    "pale": ("#f0f2f5", "#262d36"),
    "blue": ("#0072b2", "#58a6e0"),
    "orange": ("#d55e00", "#f0883e"),
    "green": ("#009e73", "#3fc59a"),
    "pale-blue": ("#ddeafb", "#1d3a57"),
    "pale-orange": ("#fdeccf", "#54371a"),
    "pale-green": ("#d9f2e6", "#1b4434"),
}
FONT = "Helvetica, Arial, sans-serif"


def _style() -> str:
    light, dark = (
        "".join(f".{name}{{fill:{pair[i]}}}.s-{name}{{stroke:{pair[i]}}}" for name, pair in COLOURS.items())
        for i in range(2)
    )
    return f"<style>text{{font-family:{FONT}}}{light}@media (prefers-color-scheme:dark){{{dark}}}</style>"


def text(
    x: float, y: float, content: str, *, size: int = 14, anchor: str = "start", colour: str = "ink", bold: bool = False
) -> str:
    """Return a text whose baseline begins (anchor "start"), is centred ("middle") or ends ("end") at (x, y)."""
    weight = " font-weight='bold'" if bold else ""
    place = f"x='{x:g}' y='{y:g}' font-size='{size}' text-anchor='{anchor}'"
    return f"<text {place}{weight} class='{colour}'>{escape(content)}</text>"


def rectangle(x: float, y: float, width: float, height: float, colour: str = "pale", round: float = 0) -> str:
    """Return a filled rectangle with an outline."""
    size = f"x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}' rx='{round:g}'"
    return f"<rect {size} class='{colour} s-line'/>"


def box(x: float, y: float, width: float, height: float, lines: Sequence[str], colour: str = "pale") -> str:
    """Return a rectangle with centred lines of text: the first in ink, the others smaller and grey."""
    parts = [rectangle(x, y, width, height, colour, 5)]
    top = y + height / 2 - 8.5 * (len(lines) - 1) + 5
    for i, line in enumerate(lines):
        look = {"size": 14, "colour": "ink"} if i == 0 else {"size": 12, "colour": "grey"}
        parts.append(text(x + width / 2, top + 17 * i, line, anchor="middle", **look))  # type: ignore[arg-type]
    return "\n".join(parts)


def line(*points: tuple[float, float], colour: str = "line", width: float = 1.5, dashed: bool = False) -> str:
    """Return a line through the points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = " stroke-dasharray='5 4'" if dashed else ""
    return f"<polyline points='{path}' fill='none' stroke-width='{width:g}'{dash} class='s-{colour}'/>"


def arrow(*points: tuple[float, float], colour: str = "ink", width: float = 1.5) -> str:
    """Return a line through the points with an arrowhead at its end."""
    (x0, y0), (x1, y1) = points[-2:]
    angle = math.atan2(y1 - y0, x1 - x0)
    corners = [(x1, y1)]
    corners += [(x1 - 9 * math.cos(angle + turn), y1 - 9 * math.sin(angle + turn)) for turn in (0.42, -0.42)]
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    # The line ends within the head, so that its square end does not stand out at the tip.
    end = x1 - 5 * math.cos(angle), y1 - 5 * math.sin(angle)
    return line(*points[:-1], end, colour=colour, width=width) + f"<polygon points='{head}' class='{colour}'/>"


def dot(x: float, y: float, colour: str = "blue", radius: float = 4) -> str:
    """Return a filled circle."""
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius:g}' class='{colour}'/>"


def svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """Return a whole SVG document. The title describes the picture to readers who cannot see it."""
    size = f"width='{width:g}' height='{height:g}' viewBox='0 0 {width:g} {height:g}'"
    opening = f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img'>"
    page = f"<rect width='{width:g}' height='{height:g}' class='page'/>"
    return "\n".join([opening, f"<title>{escape(title)}</title>", _style(), page, *parts, "</svg>"]) + "\n"


class Axes:
    """A frame with two axes, linear or logarithmic, that places numbers on the page.

    Args:
        x, y: the first and the last number of each axis.
        x_ticks, y_ticks: where a number is written: number → label.
        log: the axes that are logarithmic: "", "x", "y" or "xy".
        left, top, width, height: the frame on the page.
    """

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        x_ticks: dict[float, str],
        y_ticks: dict[float, str],
        log: str = "",
        left: float = 70,
        top: float = 40,
        width: float = 420,
        height: float = 260,
    ) -> None:
        self.x, self.y, self.log = x, y, log
        self.x_ticks, self.y_ticks = x_ticks, y_ticks
        self.left, self.top, self.width, self.height = left, top, width, height

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place of (x, y) on the page."""
        across = _share(x, self.x, "x" in self.log)
        return self.left + across * self.width, self.top + (1 - _share(y, self.y, "y" in self.log)) * self.height

    def frame(self, x_label: str, y_label: str) -> str:
        """Return the frame, its grid, the numbers of both axes and their labels."""
        right, bottom = self.left + self.width, self.top + self.height
        parts = [rectangle(self.left, self.top, self.width, self.height, "pale")]
        for value, label in self.x_ticks.items():
            x, _ = self.at(value, self.y[0])
            parts += [line((x, self.top), (x, bottom), width=0.5)]
            parts += [text(x, bottom + 18, label, size=12, anchor="middle", colour="grey")]
        for value, label in self.y_ticks.items():
            _, y = self.at(self.x[0], value)
            parts += [line((self.left, y), (right, y), width=0.5)]
            parts += [text(self.left - 8, y + 4, label, size=12, anchor="end", colour="grey")]
        parts.append(text((self.left + right) / 2, bottom + 38, x_label, anchor="middle", size=13))
        parts.append(text(self.left - 50, self.top - 14, y_label, size=13))
        return "\n".join(parts)

    def curve(self, xs: Iterable[float], ys: Iterable[float], colour: str = "blue", width: float = 2) -> str:
        """Return a line through the points (x, y)."""
        points = [self.at(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
        return line(*points, colour=colour, width=width)

    def dots(self, xs: Iterable[float], ys: Iterable[float], colour: str = "blue", radius: float = 3.5) -> str:
        """Return a dot at each point (x, y)."""
        pairs = zip(xs, ys, strict=True)
        return "\n".join(dot(*self.at(float(x), float(y)), colour=colour, radius=radius) for x, y in pairs)


def _share(value: float, ends: tuple[float, float], is_log: bool) -> float:
    """Return where a value lies between the ends of an axis: from 0 to 1, values beyond are moved to the end."""
    low, high = ends
    if is_log:
        value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
    return min(max((value - low) / (high - low), 0.0), 1.0)
