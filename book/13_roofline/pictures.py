"""The pictures of chapter 13."""

import book
from book.drawing import Axes, dot, rectangle, svg, text

ROOF = book.build(13).roof
# Operations and sectors of `minisk steps matmul` and `conv`, which the text prints.
MATMUL = ((327_680, 89_088), (327_680, 20_992), (327_680, 3_072), (327_680, 1_792))
CONV = ((552_960, 169_872), (552_960, 56_768), (589_824, 12_040), (589_824, 3_792))


def roofline():
    """Draw the roof of an H100's data sheet, and the intensity of each step on it."""
    axes = Axes(
        (0.05, 200),
        (1e11, 1e14),
        {0.1: "0.1", 1: "1", 10: "10", 20: "20", 100: "100"},
        {1e11: "0.1", 1e12: "1", 1e13: "10", 67e12: "67"},
        log="xy",
        left=76,
        top=72,
        width=520,
    )
    parts = [axes.frame("operations for each byte of a moved sector", "10¹² operations a second, at most")]
    parts.append(axes.curve((0.05, 20, 200), (ROOF(0.05), ROOF(20), ROOF(200)), "ink", 3))
    for colour, steps, above in (("blue", MATMUL, True), ("orange", CONV, False)):
        for number, (operations, sectors) in enumerate(steps, start=1):
            intensity = operations / (32 * sectors)
            x, y = axes.at(intensity, ROOF(intensity))
            parts.append(dot(x, y, colour, 6))
            parts.append(
                text(
                    x - 4 if above else x + 4,
                    y - 12 if above else y + 22,
                    str(number),
                    anchor="end" if above else "start",
                    colour=colour,
                )
            )
    for i, (label, colour) in enumerate(
        (("matrix product, steps 1 to 4", "blue"), ("convolution, steps 1 to 4", "orange"))
    ):
        parts += [dot(110 + 260 * i, 22, colour, 6), text(124 + 260 * i, 27, label)]
    return svg(
        640, 386, "The roof of an H100 and the intensity of each step of the matrix product and the convolution", parts
    )


def tile():
    """Draw a register tile of four by four products."""
    parts = [text(150, 24, "four numbers of b", size=13), text(16, 60, "four of a", size=13)]
    for s in range(4):
        parts += [
            rectangle(120 + 74 * s, 36, 64, 34, "pale-orange", 4),
            text(152 + 74 * s, 58, f"b{'₀₁₂₃'[s]}", anchor="middle"),
        ]
    for r in range(4):
        top = 84 + 46 * r
        parts += [rectangle(36, top, 64, 38, "pale-blue", 4), text(68, top + 24, f"a{'₀₁₂₃'[r]}", anchor="middle")]
        for s in range(4):
            parts += [rectangle(120 + 74 * s, top, 64, 38, "pale-green", 4)]
            parts += [text(152 + 74 * s, top + 24, f"a{'₀₁₂₃'[r]}·b{'₀₁₂₃'[s]}", anchor="middle", size=13)]
    parts.append(text(440, 150, "8 reads of shared memory", size=14))
    parts.append(text(440, 174, "16 products, added to", size=14))
    parts.append(text(440, 198, "16 sums in registers", size=14))
    return svg(640, 284, "Four numbers of a and four of b give sixteen products", parts)


def pictures():
    return {"roofline.svg": roofline(), "tile.svg": tile()}
