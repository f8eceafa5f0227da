"""The picture of chapter 5."""

from book.drawing import arrow, box, line, svg, text


def write():
    """Draw one memory over time: forward saves it, a write changes it, backward reads it."""
    parts = [text(20, 85, "memory of x"), line((20, 150), (640, 150), colour="line", width=1)]
    memory = (("1  2  3", 130, "pale-blue"), ("1  2  3", 270, "pale-blue"), ("100  2  3", 430, "pale-orange"))
    for numbers, x, colour in memory:
        parts.append(box(x, 62, 110, 38, [numbers], colour))
    parts.append(arrow((240, 81), (270, 81)))
    parts.append(arrow((380, 81), (430, 81)) + text(405, 50, "x[0] = 100", anchor="middle", colour="orange"))
    for label, note, x in (
        ("forward", "saves x, version 0", 185),
        ("a write", "version 1", 405),
        ("backward", "wants version 0", 575),
    ):
        parts.append(line((x, 144), (x, 156), colour="ink", width=2))
        parts.append(text(x, 180, label, anchor="middle", bold=True))
        parts.append(text(x, 200, note, anchor="middle", size=13, colour="grey"))
    parts.append(arrow((540, 81), (575, 81), (575, 140), colour="orange"))
    parts.append(text(650, 168, "time", size=12, anchor="end", colour="grey"))
    return svg(660, 220, "Forward saves x; a write changes the memory; backward reads the changed numbers", parts)


def pictures():
    return {"write.svg": write()}
