"""The pictures of chapter 10."""

from book.drawing import arrow, rectangle, svg, text

COLOURS = ("pale-blue", "pale-orange", "pale-green")


def threads():
    """Draw three blocks of four threads over an array of ten elements."""
    parts = [text(20, 34, "grid: 3 blocks", bold=True)]
    for block, colour in enumerate(COLOURS):
        left = 130 + 184 * block
        parts += [rectangle(left, 14, 176, 74, "pale", 6), text(left + 8, 32, f"block {block}", size=13)]
        for thread in range(4):
            i, x = 4 * block + thread, left + 8 + 41 * thread
            parts += [rectangle(x, 42, 36, 34, colour if i < 10 else "page", 4)]
            parts += [text(x + 18, 64, str(thread), anchor="middle", size=13)]
            if i < 10:
                parts += [arrow((x + 18, 78), (x + 18, 124), colour="grey")]
                parts += [rectangle(x, 126, 36, 34, colour), text(x + 18, 148, str(i), anchor="middle", size=13)]
            else:
                parts += [text(x + 18, 112, "idle", anchor="middle", size=12, colour="grey")]
    parts += [text(20, 64, "threadIdx.x", size=13, colour="grey"), text(20, 148, "element i", size=13, colour="grey")]
    parts += [
        text(130, 190, "i = blockIdx.x · blockDim.x + threadIdx.x if that is below n: here blockDim.x = 4, n = 10")
    ]
    return svg(
        690, 206, "Three blocks of four threads: thread t of block b owns element 4b + t; two threads are idle", parts
    )


def request():
    """Draw the sectors that 32 lanes touch, in neighbouring order and eight numbers apart."""
    parts = []
    for row, (name, apart) in enumerate(
        (("neighbours: 4 sectors, all 128 bytes used", 1), ("8 apart: 32 sectors, 128 of 1,024 bytes used", 8))
    ):
        top = 40 + 118 * row
        parts.append(text(20, top - 14, f"32 lanes read numbers that are {name}" if row else f"32 lanes read {name}"))
        for sector in range(32):
            is_touched = any(lane * apart // 8 == sector for lane in range(32))
            parts.append(rectangle(20 + 20 * sector, top + 34, 18, 26, "pale-orange" if is_touched else "pale"))
        for lane in range(32):
            x = 20 + 20 * lane
            target = 20 + 20 * (lane * apart // 8) + 1 + (lane * apart % 8) * 2
            parts.append(rectangle(x + 4, top, 10, 10, "blue"))
            if lane % 4 == 0 or lane == 31:
                parts.append(arrow((x + 9, top + 11), (target + 1, top + 33), colour="grey", width=1))
    parts.append(
        text(
            20,
            252,
            "a blue square: a lane; a box: a sector of 32 bytes, eight numbers; orange: moved",
            size=13,
            colour="grey",
        )
    )
    return svg(
        680, 266, "A warp that reads neighbours moves 4 sectors; one that reads every eighth number moves 32", parts
    )


def pictures():
    return {"threads.svg": threads(), "request.svg": request()}
