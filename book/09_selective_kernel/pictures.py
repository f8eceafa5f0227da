"""The pictures of chapter 9."""

from book.drawing import Axes, arrow, box, dot, svg, text

# What the last block of the text measures: the attention of the dilated branch, one row for each size.
SIZES = (0.15, 0.3, 0.45, 0.6, 0.75, 0.9)
MEASURED = (
    (0.2819, 0.3837, 0.525, 0.3841, 0.4628),
    (0.2851, 0.3863, 0.522, 0.395, 0.4692),
    (0.2877, 0.3888, 0.5162, 0.4072, 0.4742),
    (0.2906, 0.3921, 0.5117, 0.4123, 0.4774),
    (0.2943, 0.3963, 0.5072, 0.4114, 0.4778),
    (0.2954, 0.3955, 0.5078, 0.3986, 0.4707),
)


def selective():
    """Draw the three steps of a selective kernel."""
    parts = [
        text(150, 26, "split", anchor="middle", bold=True),
        text(350, 26, "fuse", anchor="middle", bold=True),
        text(565, 26, "select", anchor="middle", bold=True),
        box(10, 106, 60, 40, ["x"], "pale"),
        box(100, 50, 130, 50, ["3 × 3", "BN, ReLU"], "pale-blue"),
        box(100, 152, 130, 50, ["3 × 3, dilated", "BN, ReLU"], "pale-orange"),
        arrow((70, 118), (98, 80)),
        arrow((70, 134), (98, 172)),
        box(272, 96, 60, 60, ["Σ, mean", "(N, C)"], "pale"),
        arrow((230, 82), (270, 110)),
        arrow((230, 170), (270, 142)),
        box(356, 96, 74, 60, ["z", "squeeze"], "pale-green"),
        arrow((332, 126), (354, 126)),
        box(458, 96, 92, 60, ["softmax", "a₀ + a₁ = 1"], "pale-green"),
        arrow((430, 126), (456, 126)),
        box(586, 50, 48, 50, ["× a₀"], "pale-blue"),
        box(586, 152, 48, 50, ["× a₁"], "pale-orange"),
        arrow((550, 114), (584, 86)),
        arrow((550, 138), (584, 166)),
        arrow((230, 62), (584, 62), colour="blue"),
        arrow((230, 190), (584, 190), colour="orange"),
        text(250, 54, "U₀", colour="blue"),
        text(250, 210, "U₁", colour="orange"),
        box(668, 106, 52, 40, ["V"], "pale"),
        arrow((634, 80), (672, 104)),
        arrow((634, 172), (672, 148)),
    ]
    return svg(
        730, 225, "A selective kernel: two convolutions, a squeeze, a softmax over branches, and their sum", parts
    )


def attention():
    """Draw the attention of the wide branch of each unit, as its change from the smallest object."""
    axes = Axes(
        (0.1, 0.95),
        (-0.02, 0.03),
        {size: f"{size:g}" for size in SIZES},
        {-0.02: "−0.02", -0.01: "−0.01", 0.0: "0", 0.01: "+0.01", 0.02: "+0.02", 0.03: "+0.03"},
        left=80,
        top=60,
        width=460,
    )
    parts = [axes.frame("radius of the object, as a share of half the image", "change of the wide branch's weight")]
    for unit, colour in enumerate(("blue", "green", "orange", "grey", "ink")):
        values = [row[unit] - MEASURED[0][unit] for row in MEASURED]
        parts += [axes.curve(SIZES, values, colour), axes.dots(SIZES, values, colour)]
        parts += [dot(570, 80 + 26 * unit, colour, 6), text(582, 85 + 26 * unit, f"unit {unit + 1}")]
    return svg(660, 370, "The weight of the dilated branch against the size of the object, in five units", parts)


def pictures():
    return {"selective.svg": selective(), "attention.svg": attention()}
