"""The check of exercise 2."""

import math
import sys
import time

import numpy as np

import minisk as ms
from book.answers import Wrong

DEEP = 100_000


def check(answer):
    limit = sys.getrecursionlimit()
    try:
        check_all(answer, limit)
    finally:
        sys.setrecursionlimit(limit)


def check_all(answer, limit):
    predictions = answer.predictions("PRODUCTS_OF_FOLLOW", "PRODUCTS_OF_BACKWARD")
    value, tanh, backward = (answer.get(name) for name in ("Value", "tanh", "backward"))
    check_tanh(value, tanh)
    check_chain_rule(value, backward)
    check_diamond(value, backward)
    check_order(value, backward)
    check_second_call(value, backward)
    check_visits(value, backward)
    if sys.getrecursionlimit() > limit:
        raise Wrong(
            "backward raises the recursion limit, which only moves the end: a deep enough recursion ends Python itself, "
            "so replace the recursion by a loop."
        )
    check_time(value, backward)
    check_depth(value, backward)
    check_program(value, tanh, backward)
    check_prediction(*predictions)


def check_tanh(value, tanh):
    x = value(0.5)
    y = tanh(x)
    if not isinstance(y, value):
        raise Wrong(f"tanh returns a {type(y).__name__}, but it must return a Value, so that the graph goes on.")
    for name, kept in (("inputs", y.inputs), ("slopes", y.slopes)):
        if not isinstance(kept, tuple | list):
            raise Wrong(
                f"The Value that tanh returns keeps a {type(kept).__name__} as its {name}: `{name}` is a tuple, and a "
                "tuple of one needs a comma, as in (x,)."
            )
    if abs(y.number - math.tanh(0.5)) > 1e-12:
        raise Wrong(f"tanh(0.5) is {math.tanh(0.5):.4f}, but the Value holds {y.number:.4f}.")
    if len(y.inputs) != 1 or y.inputs[0] is not x:
        raise Wrong("The Value that tanh returns must have x as its only input, or no gradient reaches x.")
    expected = 1 - math.tanh(0.5) ** 2
    if len(y.slopes) != 1 or abs(y.slopes[0] - expected) > 1e-12:
        found = ", ".join(f"{slope:.4f}" for slope in y.slopes)
        raise Wrong(f"The slope of tanh at 0.5 is 1 − tanh²(0.5) = {expected:.4f}, but the Value holds ({found}).")


def check_chain_rule(value, backward):
    x = value(3.0)
    y = x * value(5.0)
    backward(y)
    if y.gradient != 1:
        raise Wrong(
            f"After backward(y), y.gradient is {y.gradient:g}: the derivative of y with respect to itself is 1."
        )
    if x.gradient != 5:
        raise Wrong(f"For y = x·5, x.gradient is {x.gradient:g} instead of 5: pass on gradient times slope.")
    x = value(3.0)
    backward(x * value(5.0) * value(7.0))
    if x.gradient == 5:
        raise Wrong(
            f"For y = (x·5)·7, x.gradient is {x.gradient:g} instead of 35: a node passes on its own gradient, times the "
            "slope of the edge."
        )


def check_diamond(value, backward):
    x = value(3.0)
    backward(x * x)
    if x.gradient == 3:
        raise Wrong(
            "For y = x·x at 3 the gradient is 3 instead of 6: x is used twice, and the two parts must be added."
        )
    if x.gradient != 6:
        raise Wrong(f"For y = x·x at 3 the gradient is {x.gradient:g} instead of 6.")


def check_order(value, backward):
    for swapped in (False, True):
        x = value(2.0)
        u = x * x
        v = u * value(3.0)
        y = v + u if swapped else u + v
        backward(y)
        if x.gradient != 16:
            raise Wrong(
                f"With u = x·x and y = u + 3u, dy/dx at 2 is 16, not {x.gradient:g}: u was visited before its gradient "
                "was complete, so visit nodes from young to old."
            )


def check_second_call(value, backward):
    x = value(2.0)
    y = x * x * x
    backward(y)
    backward(y)
    if x.gradient != 12:
        raise Wrong(
            f"A second backward gives {x.gradient:g} instead of 12 for x³ at 2: set every gradient to 0 before it starts."
        )


def check_visits(value, backward):
    """Raise Wrong if the gradients of 10 doublings are set more often than nodes and edges explain."""
    y = value(1.0)
    for _ in range(10):
        y = y + y
    changes = 0

    def counting(self, name, number):
        nonlocal changes
        changes += name == "gradient"
        object.__setattr__(self, name, number)

    value.__setattr__ = counting
    try:
        backward(y)
    finally:
        del value.__setattr__
    if changes > 100:
        raise Wrong(
            f"For 10 doublings, 11 nodes, gradients change {changes} times: backward follows every path, "
            "so the number doubles with each node."
        )


def chain(value, n):
    """Return x and the last Value of a chain that adds x to itself n times."""
    x = y = value(1.0)
    for _ in range(n):
        y = y + x
    return x, y


def check_time(value, backward):
    """Raise Wrong if the time of a backward grows as the square of the number of nodes."""

    def seconds(n):
        _, y = chain(value, n)
        start = time.process_time()
        backward(y)
        return time.process_time() - start

    try:
        few, many = min(seconds(500) for _ in range(3)), seconds(8000)
    except RecursionError:
        return  # check_depth has the sentence
    if many > 0.1 and many > 50 * few:
        raise Wrong(
            f"For 16 times as many nodes, backward takes {many / few:.0f} times as long: something at each visit looks "
            "through all nodes, so sort once, before the visits, and keep what was found in a dictionary or a set."
        )


def check_depth(value, backward):
    x, y = chain(value, DEEP)
    try:
        backward(y)
    except RecursionError:
        raise Wrong(
            f"A chain of {DEEP:,} additions ends in a RecursionError: replace the recursion by a loop."
        ) from None
    if x.gradient != DEEP + 1:
        raise Wrong(f"For x added {DEEP:,} times to itself the gradient is {x.gradient:g} instead of {DEEP + 1}.")


def check_program(value, tanh, backward):
    """Raise Wrong if the gradients of a small program differ from minisk's."""

    def program(a, b, c, tanh):
        u = tanh(a * b + c)
        v = u * u + a
        return tanh(v * u) * v + u * c

    numbers = np.array([0.3, -1.2, 0.7])
    mine = [value(float(number)) for number in numbers]
    backward(program(*mine, tanh))
    theirs = [ms.tensor(number, requires_grad=True) for number in numbers]
    expected = ms.grad(program(*theirs, lambda x: x.tanh()), theirs)
    for name, each, gradient in zip("abc", mine, expected, strict=True):
        if abs(each.gradient - gradient.item()) > 1e-12:
            raise Wrong(
                f"In a larger program, d/d{name} is {each.gradient:.6f}, but ms.grad says {gradient.item():.6f}."
            )


def check_prediction(follow, backward):
    if backward != 40:
        raise Wrong(
            f"You predict {backward} products for `backward`; it needs one for each edge, and each node has two."
        )
    if follow != 2**21 - 2:
        raise Wrong(
            f"You predict {follow} products for `follow`; it makes 2²¹ − 1 calls, each after one product but the first."
        )
