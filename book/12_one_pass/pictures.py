"""The pictures of chapter 12."""

from book.drawing import arrow, rectangle, svg, text

# Steps of `minisk steps softmax`, which the text prints: sectors, exponentials.
STEPS = (
    ("three passes", ("max", "Σ", "y"), "800 sectors, 3,200 exponentials"),
    ("online", ("max, Σ", "y"), "600 sectors, 10,944 exponentials"),
    ("in registers", ("max, Σ, y",), "400 sectors, 2,048 exponentials"),
)


def passes():
    """Draw a row that is read three times, twice and once; each pass is an arrow over the row."""
    parts = []
    for row, (name, reads, counts) in enumerate(STEPS):
        top = 26 + 96 * row
        parts.append(text(20, top + 4, name, bold=True))
        parts.append(text(20, top + 24, counts, size=12, colour="grey"))
        for cell in range(12):
            parts.append(rectangle(270 + 30 * cell, top + 44, 28, 18, "pale-blue"))
        for number, label in enumerate(reads):
            y = top + 34 - 18 * number
            last = number == len(reads) - 1
            parts.append(arrow((270, y), (626, y), colour="orange" if last else "blue"))
            parts.append(text(636, y + 4, label, size=12))
    parts.append(
        text(
            270,
            312,
            "a row of x; an arrow: one pass that reads it; orange: the pass that writes y",
            size=12,
            colour="grey",
        )
    )
    return svg(710, 326, "A softmax that reads its row three times, twice, and once, with the counts of each", parts)


def pictures():
    return {"passes.svg": passes()}
