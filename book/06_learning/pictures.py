"""The picture of chapter 6."""

import math

from book.drawing import Axes, dot, svg, text

STEEP, FLAT = 20.0, 1.0  # the loss is (FLAT·x² + STEEP·y²)/2


def path(momentum, lr, steps=40):
    """Return the points of gradient descent with momentum on the valley."""
    x, y, vx, vy = -1.9, 0.32, 0.0, 0.0
    points = [(x, y)]
    for _ in range(steps):
        vx, vy = momentum * vx + FLAT * x, momentum * vy + STEEP * y
        x, y = x - lr * vx, y - lr * vy
        points.append((x, y))
    return points


def valley():
    """Draw lines of equal loss, and 40 steps with and without momentum."""
    axes = Axes((-2.1, 0.6), (-0.5, 0.5), {}, {}, left=20, top=56, width=600, height=240)
    parts = [axes.frame("", "")]
    for level in (0.05, 0.2, 0.45, 0.8, 1.25):
        angles = [math.pi * i / 60 for i in range(121)]
        ring = [(math.sqrt(2 * level / FLAT) * math.cos(t), math.sqrt(2 * level / STEEP) * math.sin(t)) for t in angles]
        shown = [(x, y) for x, y in ring if x < 0.6]
        start = next((i for i in range(1, len(ring)) if ring[i][0] < 0.6 and ring[i - 1][0] >= 0.6), 0)
        shown = [point for point in ring[start:] + ring[:start] if point[0] < 0.6]
        parts.append(axes.curve([x for x, _ in shown], [y for _, y in shown], "line", 0.8))
    for colour, momentum, lr in (("orange", 0.0, 0.04), ("blue", 0.8, 0.04)):
        points = path(momentum, lr)
        parts.append(axes.curve([x for x, _ in points], [y for _, y in points], colour, 1.5))
        parts.append(axes.dots([x for x, _ in points], [y for _, y in points], colour, 3))
    parts.append(dot(*axes.at(0, 0), colour="green", radius=6))
    labels = (
        ("40 steps, momentum 0", "orange", 30),
        ("40 steps, momentum 0.8", "blue", 230),
        ("the lowest point", "green", 450),
    )
    parts += [dot(x, 30, colour, 6) + text(x + 12, 35, label) for label, colour, x in labels]
    return svg(
        640,
        315,
        "Without momentum the path crawls along a narrow valley; with momentum it reaches the lowest point",
        parts,
    )


def pictures():
    return {"valley.svg": valley()}
