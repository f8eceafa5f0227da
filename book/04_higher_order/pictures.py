"""The picture of chapter 4."""

from book.drawing import Axes, dot, svg, text


def exponential(x):
    """Return eˣ by its series: the same digits on every computer."""
    total = term = 1.0
    for n in range(1, 40):
        term *= x / n
        total += term
    return total


def f(x):
    return exponential(x) - 2 * x


def newton():
    """Draw f, and five steps of Newton's method and of gradient descent from x = 2."""
    axes = Axes(
        (-0.1, 2.15),
        (0.2, 4.4),
        {0: "0", 0.5: "0.5", 1: "1", 1.5: "1.5", 2: "2"},
        {1: "1", 2: "2", 3: "3", 4: "4"},
        left=60,
        top=60,
        width=540,
    )
    xs = [-0.1 + 0.025 * i for i in range(91)]
    parts = [axes.frame("x", "f(x)"), axes.curve(xs, [f(x) for x in xs], "grey", 2.5)]
    for colour, lift, rule in (
        ("orange", 0.0, lambda x: 0.08 * (exponential(x) - 2)),
        ("blue", 0.0, lambda x: (exponential(x) - 2) / exponential(x)),
    ):
        x, points = 2.0, []
        for _ in range(6):
            points.append((x, f(x) + lift))
            x -= rule(x)
        parts.append(axes.curve(*zip(*points), colour, 1))
        parts.append(axes.dots(*zip(*points), colour, 5))
    for i, (label, colour) in enumerate((("gradient descent, rate 0.08", "orange"), ("Newton's method", "blue"))):
        parts.append(dot(200 + 220 * i, 30, colour, 6))
        parts.append(text(212 + 220 * i, 35, label))
    return svg(
        640, 375, "Five steps of Newton's method reach the lowest point; gradient descent is still far away", parts
    )


def pictures():
    return {"newton.svg": newton()}
