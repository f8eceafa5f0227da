"""The pictures of chapter 8."""

from book.drawing import line, svg, text


def grid():
    """Draw the neighbouring float32 numbers at two scales, with data of variance 1 on them."""
    parts = []
    for row, (gap, label, answer) in enumerate(
        (
            (1 / 1024, "near 10,000: the numbers of float32 are 1/1024 apart", ""),
            (8.0, "near 10,000²: the numbers of float32 are 8 apart", "the variance, 1, is this wide"),
        )
    ):
        top = 60 + 130 * row
        parts.append(text(30, top - 22, label, size=15))
        unit = 500 / 5 / gap  # five gaps across the page
        parts.append(line((40, top + 20), (600, top + 20), colour="ink"))
        for k in range(-2, 4):
            x = 270 + k * gap * unit
            parts += [line((x, top + 8), (x, top + 32), colour="ink", width=2)]
            name = "10,000" if row == 0 else "100,000,000"
            suffix = "" if k == 0 else f"{k:+d}/1024" if row == 0 else f"{8 * k:+d}"
            parts.append(text(x, top + 50, name if k == 0 else suffix, size=12, anchor="middle", colour="grey"))
        if row == 0:
            parts.append(
                text(600, top + 74, "the data, 9,999 to 10,001, have 2,048 such gaps: enough", size=13, anchor="end")
            )
        else:
            parts.append(line((270, top + 20), (270 + unit, top + 20), colour="orange", width=7))
            parts.append(text(280, top - 2, answer, colour="orange"))
    return svg(640, 270, "The numbers that float32 has near 10,000 and near 100,000,000", parts)


def pictures():
    return {"grid.svg": grid()}
