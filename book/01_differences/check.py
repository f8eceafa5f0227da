"""The check of exercise 1."""

import math

from book.answers import Wrong

H = 0.25  # a power of two: the differences of the polynomials below have no rounding errors worth naming
TOLERANCE = 1e-11  # a tenth of what small steps reach: at h = 1e-5 rounding leaves 5e-11
FUNCTIONS = [
    ("exp(x) at 1", math.exp, 1.0, math.e),
    ("sin(x) at 2", math.sin, 2.0, math.cos(2.0)),
    ("log(x) at 3", math.log, 3.0, 1 / 3),
    ("tanh(x) at 0.5", math.tanh, 0.5, 1 - math.tanh(0.5) ** 2),
    ("1/(1 + x²) at 0.7", lambda x: 1 / (1 + x * x), 0.7, -1.4 / 1.49**2),
]


def check(answer):
    (orders,) = answer.predictions("ORDERS")
    orders = tuple(orders) if isinstance(orders, tuple | list) else (orders,)
    derivative = answer.get("derivative")
    check_polynomials(derivative)
    if orders != (2, 4, 6):
        raise Wrong(
            f"ORDERS is {orders}, but the error of a central difference has even powers of h only, "
            "and each extrapolation removes the lowest one."
        )
    check_functions(derivative)


def check_polynomials(derivative):
    """Raise Wrong for the first of x, x², x³, x⁵ whose slope at 1 is not what two extrapolations give."""
    line, square, cube, fifth = (derivative(lambda x, n=n: x**n, 1.0, H) - n for n in (1, 2, 3, 5))
    if abs(line - 1) < 1e-6:
        raise Wrong("The line f(x) = x gets slope 2: a central difference divides by 2h, the distance of its points.")
    if abs(line) > 1e-9:
        raise Wrong(
            f"The line f(x) = x gets slope {line + 1:.4g}, but every difference of a line is 1: "
            "the weights of an extrapolation must add up to 1."
        )
    if abs(square) > 1e-9:
        raise Wrong(
            f"x² gets slope {square + 2:.4g} at 1 instead of 2: differences from one side keep an error of order h."
        )
    if abs(cube) > 1e-9:
        raise Wrong(
            f"x³ still has an error of {cube / H**2:.3g}·h²: combine steps that halve as (4·D(h/2) − D(h)) / 3."
        )
    if abs(fifth) > 1e-9:
        raise Wrong(
            f"x³ is exact, so one extrapolation works, but x⁵ has an error of {fifth / H**4:.3g}·h⁴: "
            "extrapolate a second time, with 16 in place of 4."
        )


def check_functions(derivative):
    for name, f, x, expected in FUNCTIONS:
        calls = []

        def counted(t, f=f, calls=calls):
            calls.append(t)
            return f(t)

        error = abs(derivative(counted, x) - expected)
        step = max(abs(t - x) for t in calls)
        if error > TOLERANCE:
            cause = (
                "too small, so rounding errors dominate" if step < 1e-3 else "too large for the powers of h to vanish"
            )
            raise Wrong(
                f"The derivative of {name} is wrong by {error:.0e}, at most 1e-11 allowed: h = {step:g} is {cause}."
            )
        if len(calls) > 6:
            raise Wrong(f"`derivative` calls f {len(calls)} times; three central differences need six calls.")
