"""The pictures of chapter 7, drawn from the views of its build."""

import numpy as np

import book
from book.drawing import arrow, rectangle, svg, text

BUILD = book.build(7)
CELL = 26


def seen_by(size, place, kernel=3, stride=1, dilation=1):
    """Return the input pixels that the output at (place, place) sees, as the views of `taps` say."""
    numbers = np.arange(size * size).reshape(1, 1, size, size)
    outputs = (size - dilation * (kernel - 1) - 1) // stride + 1
    views = BUILD.taps(numbers, (outputs, outputs), (kernel, kernel), stride, dilation)
    return {int(view[0, 0, place, place]) for _, _, view in views}


def taps():
    """Draw 7 × 7 images with the pixels that one or two outputs see: plain, stride 2, dilation 2."""
    size, parts = 7, []
    panels = (
        ("stride 1, dilation 1", [(0, 1, 1, "blue"), (1, 1, 1, "orange")]),
        ("stride 2", [(0, 2, 1, "blue"), (1, 2, 1, "orange")]),
        ("dilation 2", [(0, 1, 2, "blue")]),
    )
    for k, (title, outputs) in enumerate(panels):
        left, top = 20 + 215 * k, 44
        parts.append(text(left + size * CELL / 2, 28, title, anchor="middle", bold=True))
        seen = [(seen_by(size, place, 3, stride, dilation), colour) for place, stride, dilation, colour in outputs]
        for pixel in range(size * size):
            x, y = left + CELL * (pixel % size), top + CELL * (pixel // size)
            colours = [colour for pixels, colour in seen if pixel in pixels]
            both = "green" if len(colours) == 2 else (colours or ["pale"])[0]
            parts.append(rectangle(x, y, CELL, CELL, both if both == "pale" else f"pale-{both}"))
            if colours:
                parts.append(rectangle(x + 8, y + 8, CELL - 16, CELL - 16, both, 5))
    legend = (
        ("first output", "blue", 60),
        ("output one place on, down and right", "orange", 190),
        ("both", "green", 470),
    )
    for label, colour, x in legend:
        parts.append(rectangle(x, 242, 14, 14, colour, 4) + text(x + 22, 254, label, size=13))
    return svg(640, 270, "Which pixels an output sees: stride moves the window further, dilation spreads it", parts)


def columns():
    """Draw a 3 × 3 image whose four windows of 2 × 2 become four columns."""
    image = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    matrix = BUILD.columns_of(image, (2, 2))
    parts, cell = [], 34
    for (i, j), number in np.ndenumerate(image[0, 0]):
        first = i < 2 and j < 2
        parts.append(rectangle(30 + cell * j, 70 + cell * i, cell, cell, "pale-blue" if first else "pale"))
        parts.append(text(30 + cell * (j + 0.5), 70 + cell * (i + 0.65), f"{number:g}", anchor="middle"))
    parts.append(text(81, 40, "image", anchor="middle", bold=True))
    parts.append(arrow((150, 120), (290, 120)))
    parts.append(text(220, 108, "4 windows", anchor="middle", size=13, colour="grey"))
    for (i, j), number in np.ndenumerate(matrix):
        parts.append(rectangle(440 + cell * j, 55 + cell * i, cell, cell, "pale-blue" if j == 0 else "pale"))
        parts.append(text(440 + cell * (j + 0.5), 55 + cell * (i + 0.65), f"{number:g}", anchor="middle"))
    parts.append(text(508, 40, "columns", anchor="middle", bold=True))
    for j in range(4):
        parts.append(rectangle(300 + 30 * j, 105, 30, 30, "pale-orange"))
    parts.append(text(360, 40, "weights", anchor="middle", bold=True))
    parts.append(text(430, 127, "·", anchor="middle", size=20))
    return svg(620, 210, "Each window becomes a column; weights times columns is the convolution", parts)


def pictures():
    return {"taps.svg": taps(), "columns.svg": columns()}
