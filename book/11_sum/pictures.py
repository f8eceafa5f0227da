"""The pictures of chapter 11."""

from book.drawing import arrow, line, rectangle, svg, text


def tree():
    """Draw eight partial sums that meet in three rounds."""
    parts = []
    counts = (8, 4, 2, 1)
    for row, count in enumerate(counts):
        top = 34 + 74 * row
        label = (
            "each thread's own sum" if row == 0 else f"round {row}: {count} thread{'s add' if count > 1 else ' adds'}"
        )
        parts.append(text(500, top + 22, label, size=13, colour="grey"))
        for place in range(8):
            x = 24 + 58 * place
            colour = "pale-blue" if place < count else "page"
            parts += [rectangle(x, top, 50, 32, colour), text(x + 25, top + 21, f"[{place}]", anchor="middle", size=13)]
            if row and place < count:
                parts.append(arrow((x + 25, top - 42), (x + 25, top - 2), colour="blue"))
                parts.append(arrow((x + 25 + 58 * count, top - 42), (x + 33, top - 2), colour="orange"))
        if row < 3:
            parts.append(line((14, top + 42), (640, top + 42), colour="ink", dashed=True))
            parts.append(text(646, top + 46, "barrier", size=12))
    return svg(700, 300, "Eight partial sums become one in three rounds, with a barrier before each round", parts)


def banks():
    """Draw which banks three requests touch: neighbours, a stride of two, and a stride of 32."""
    parts = []
    for row, (stride, cost) in enumerate(((1, "1 wavefront"), (2, "2 wavefronts"), (32, "32 wavefronts"))):
        top = 44 + 72 * row
        parts.append(
            text(20, top - 10, f"lane k reads word {stride if stride > 1 else ''}{'·' if stride > 1 else ''}k: {cost}")
        )
        for bank in range(32):
            lanes = sum(1 for lane in range(32) if lane * stride % 32 == bank)
            colour = "pale" if lanes == 0 else "pale-green" if lanes == 1 else "pale-orange"
            parts.append(rectangle(20 + 20 * bank, top, 18, 30, colour))
            if lanes:
                parts.append(text(29 + 20 * bank, top + 20, str(lanes), anchor="middle", size=11))
    parts.append(
        text(
            20,
            252,
            "32 boxes: the banks of shared memory; the number in a box: lanes that want a word of this bank",
            size=13,
            colour="grey",
        )
    )
    return svg(
        680,
        266,
        "Requests to 32 banks: neighbours touch each bank once, a stride of 32 touches one bank 32 times",
        parts,
    )


def pictures():
    return {"tree.svg": tree(), "banks.svg": banks()}
