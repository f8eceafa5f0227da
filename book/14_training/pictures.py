"""The pictures of chapter 14."""

from book.drawing import Axes, arrow, box, dot, line, svg, text

# The losses of the twelve steps with the kernels of chapter 12; the text computes them.
LOSSES = (2.82, 2.79, 2.76, 2.48, 2.45, 2.61, 2.44, 2.28, 2.36, 2.5, 2.4, 2.38)


def resume():
    """Draw a run that is never stopped, and one that is killed and resumed from its checkpoint."""
    parts = [text(20, 52, "straight"), text(20, 132, "killed"), text(20, 196, "resumed")]
    for step in range(10):
        x = 110 + 50 * step
        parts.append(dot(x, 46, "blue", 7))
        if step < 9:
            parts.append(line((x + 8, 46), (x + 42, 46), colour="blue", width=2))
        if step < 6:
            parts.append(dot(x, 126, "orange" if step < 4 else "line", 7))
        if step < 5:
            parts.append(
                line((x + 8, 126), (x + 42, 126), colour="orange" if step < 3 else "line", width=2, dashed=step > 2)
            )
        if step >= 3:
            parts.append(dot(x, 190, "green", 7))
            if step < 9:
                parts.append(line((x + 8, 190), (x + 42, 190), colour="green", width=2))
        parts.append(text(x, 82, str(step), size=12, anchor="middle", colour="grey"))
    parts += [
        box(196, 146, 128, 28, ["checkpoint"], "pale-green"),
        arrow((260, 134), (260, 146)),
        arrow((260, 174), (260, 182)),
    ]
    parts += [text(418, 132, "killed at step 5: steps 4 and 5 are lost", size=13), text(574, 52, "weights", size=13)]
    parts += [text(574, 196, "the same bits", size=13)]
    return svg(
        670,
        215,
        "A straight run of ten weights, and a run killed after step 5 and resumed from the checkpoint of step 3",
        parts,
    )


def losses():
    """Draw the loss of twelve steps."""
    axes = Axes(
        (1, 12),
        (2.2, 2.9),
        {k: str(k) for k in (1, 3, 6, 9, 12)},
        {k / 10: f"{k / 10:g}" for k in range(22, 30, 2)},
        width=440,
        height=200,
    )
    steps = range(1, len(LOSSES) + 1)
    parts = [axes.frame("step", "loss"), axes.curve(steps, LOSSES), axes.dots(steps, LOSSES)]
    return svg(560, 300, "The loss of twelve steps with the kernels of chapter 12", parts)


def pictures():
    return {"resume.svg": resume(), "losses.svg": losses()}
