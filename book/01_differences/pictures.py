"""The pictures of chapter 1."""

import book
from book.drawing import Axes, dot, svg, text

BUILD = book.build(1)
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(exponent):
    return "10" + str(exponent).translate(SUPERSCRIPTS)


def secants():
    """Draw a curve, its tangent at x, and the lines of the two differences."""
    x, h = 1.0, 0.55
    axes = Axes((0.2, 1.9), (-0.8, 3.7), {x - h: "x − h", x: "x", x + h: "x + h"}, {}, left=30, top=50, width=560)

    def f(t):
        return 0.35 + 0.25 * t + 0.55 * t * t * t * t / (1 + 0.4 * t)

    slope = BUILD.extrapolated_once(f, x, 1e-2)
    ts = [0.25 + 0.02 * i for i in range(70)]
    parts = [axes.frame("", "")]
    for line_slope, through, colour, width in (
        (slope, x, "ink", 2),
        (BUILD.one_sided(f, x, h), x, "orange", 2),
        (BUILD.central(f, x, h), x - h, "blue", 2),
    ):
        ends = [0.3, 1.72]
        parts.append(axes.curve(ends, [f(through) + line_slope * (t - through) for t in ends], colour, width))
    parts.append(axes.curve(ts, [f(t) for t in ts], "grey", 3))
    parts += [dot(*axes.at(t, f(t)), colour="ink", radius=5) for t in (x - h, x, x + h)]
    for i, (label, colour) in enumerate(
        (("the curve", "grey"), ("tangent", "ink"), ("one-sided", "orange"), ("central", "blue"))
    ):
        parts.append(dot(52 + 140 * i, 28, colour, 6))
        parts.append(text(64 + 140 * i, 33, label))
    return svg(620, 350, "A curve with its tangent at x and the lines of a one-sided and a central difference", parts)


def errors():
    """Draw the error of three differences of 1/x at 1 against the step, both axes logarithmic."""
    axes = Axes(
        (1e-12, 1e0),
        (1e-16, 1e0),
        {10.0**k: power_of_ten(k) for k in range(-12, 1, 2)},
        {10.0**k: power_of_ten(k) for k in range(-16, 1, 4)},
        log="xy",
        left=76,
        top=56,
        width=520,
    )
    steps = [0.5]
    while steps[-1] > 2e-12:
        steps.append(steps[-1] * 0.7)
    parts = [axes.frame("step h", "error")]
    lines = (
        ("one-sided", "orange", BUILD.one_sided),
        ("central", "blue", BUILD.central),
        ("extrapolated twice", "green", extrapolated_twice),
    )
    for i, (label, colour, slope) in enumerate(lines):
        # 1/x needs only divisions, which every computer rounds in the same way.
        values = [abs(slope(lambda x: 1 / x, 1.0, h) + 1) for h in steps]
        parts.append(axes.curve(steps, values, colour, 1))
        parts.append(axes.dots(steps, values, colour, 2.5))
        parts.append(dot(200 + 140 * i, 27, colour, 6))
        parts.append(text(212 + 140 * i, 32, label))
    return svg(640, 370, "The error of one-sided, central and twice extrapolated differences against the step", parts)


def extrapolated_twice(f, x, h):
    return (16 * BUILD.extrapolated_once(f, x, h / 2) - BUILD.extrapolated_once(f, x, h)) / 15


def pictures():
    return {"secants.svg": secants(), "errors.svg": errors()}
