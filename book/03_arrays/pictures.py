"""The picture of chapter 3."""

import numpy as np

from book.drawing import arrow, rectangle, svg, text

CELL = 56


def grid(left, top, rows, colour):
    """Draw a matrix of numbers."""
    parts = []
    for i, row in enumerate(rows):
        for j, number in enumerate(row):
            parts.append(rectangle(left + CELL * j, top + 40 * i, CELL, 40, colour))
            parts.append(text(left + CELL * (j + 0.5), top + 40 * i + 25, f"{number:g}", anchor="middle"))
    return parts


def broadcast():
    """Draw a row that is repeated twice, and the gradient of the result that is added up."""
    row, dout = np.array([[5, 6, 7]]), np.array([[1, 2, 3], [10, 20, 30]])
    parts = []
    for left, title, above, below, colours in (
        (110, "forward: copies", row, np.broadcast_to(row, (2, 3)), ("pale-blue", "pale-blue")),
        (430, "backward: sums", dout.sum(axis=0, keepdims=True), dout, ("pale-orange", "pale-orange")),
    ):
        parts.append(text(left + 1.5 * CELL, 30, title, anchor="middle", bold=True))
        parts += grid(left, 50, above, colours[0]) + grid(left, 150, below, colours[1])
        for j in range(3):
            x = left + CELL * (j + 0.5)
            down = left < 300
            parts.append(arrow((x, 96 if down else 145), (x, 145 if down else 96)))
    parts.append(text(95, 75, "row (3)", anchor="end", size=13))
    parts.append(text(95, 195, "result (2, 3)", anchor="end", size=13))
    parts.append(text(415, 75, "gradient (3)", anchor="end", size=13))
    parts.append(text(415, 195, "dout (2, 3)", anchor="end", size=13))
    return svg(640, 250, "Broadcasting copies a row into two rows; its gradient is the sum of both rows", parts)


def pictures():
    return {"broadcast.svg": broadcast()}
