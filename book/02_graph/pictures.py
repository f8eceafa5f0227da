"""The pictures of chapter 2, drawn from graphs that its build records."""

import book
from book.drawing import arrow, line, rectangle, svg, text

BUILD = book.build(2)
WIDTH, HEIGHT = 104, 46


def node(x, y, name, number, gradient, colour):
    """Draw a node with its number, and the gradient of the root below it."""
    parts = [rectangle(x - WIDTH / 2, y - HEIGHT / 2, WIDTH, HEIGHT, colour, 6)]
    parts.append(text(x, y - 3, f"{name} = {number:.3g}", anchor="middle"))
    parts.append(text(x, y + 15, f"gradient {gradient:.3g}", size=12, anchor="middle", colour="grey"))
    return "\n".join(parts)


def graph():
    """Draw y = a·b + exp(a·b): edges lead from each node to its inputs, with the slope of the step."""
    a, b = BUILD.Value(2.0), BUILD.Value(-0.5)
    u = a * b
    v = BUILD.exp(u)
    y = u + v
    BUILD.backward(y)
    places = {"a": (80, 90), "b": (80, 230), "u": (260, 160), "v": (420, 75), "y": (580, 160)}
    names = {"a": a, "b": b, "u": u, "v": v, "y": y}
    labels = {"u": "u = a·b", "v": "v = exp(u)", "y": "y = u + v"}
    name_of = {id(value): name for name, value in names.items()}
    parts = []
    for name, value in names.items():
        for each, slope in zip(value.inputs, value.slopes, strict=True):
            (x0, y0), (x1, y1) = places[name], places[name_of[id(each)]]
            away = 0 if y0 == y1 else (14 if y1 > y0 else -14)
            parts.append(arrow((x0 - WIDTH / 2, y0 + away), (x1 + WIDTH / 2, y1 - away), colour="blue"))
            parts.append(
                text(
                    (x0 + x1) / 2 - (22 if name == "v" else 0),
                    (y0 + y1) / 2 - 9,
                    f"{slope:.3g}",
                    size=12,
                    anchor="middle",
                    colour="blue",
                )
            )
    for name, value in names.items():
        x, y = places[name]
        colour = "pale" if value.inputs else "pale-green"
        parts.append(node(x, y, name, value.number, value.gradient, colour))
        if name in labels:
            parts.append(text(x, y - 32, labels[name], size=13, anchor="middle"))
    parts.append(rectangle(24, 292, 20, 16, "pale-green", 4) + text(52, 305, "made by you", size=13))
    parts.append(arrow((240, 300), (204, 300), colour="blue"))
    parts.append(text(250, 305, "to an input, with the slope", size=13))
    return svg(660, 325, "The graph of y = a·b + exp(a·b), with the gradient of y at each node", parts)


def doublings():
    """Draw three doublings: two edges from each node to the one before."""
    parts = []
    for i, name in enumerate(("x", "2x", "4x", "y = 8x")):
        x = 70 + 160 * i
        if i:
            for bend in (-34, 34):
                parts.append(line((x, 90), (x - 80, 90 + bend), colour="blue"))
                parts.append(arrow((x - 80, 90 + bend), (x - 128, 90 + bend / 5), colour="blue"))
        parts.append(rectangle(x - 34, 68, 68, 44, "pale" if i else "pale-green", 6))
        parts.append(text(x, 95, name, anchor="middle"))
        ways = 2 ** (3 - i)
        label = f"{ways} ways from y" if ways > 1 else "1 way"
        parts.append(text(x, 150, label, size=13, anchor="middle", colour="grey"))
    return svg(620, 170, "Three doublings: 4 nodes, 6 edges, 8 ways from y to x", parts)


def pictures():
    return {"graph.svg": graph(), "doublings.svg": doublings()}
