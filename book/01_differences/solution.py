"""Exercise 1, solved."""

ORDERS = (2, 4, 6)


def central(f, x, h):
    """Return the central difference of f at x with step h."""
    return (f(x + h) - f(x - h)) / (2 * h)


def derivative(f, x, h=0.02):
    """Return the derivative of f at x: central differences at h, h/2 and h/4, extrapolated twice."""
    first, second, third = central(f, x, h), central(f, x, h / 2), central(f, x, h / 4)
    coarse = (4 * second - first) / 3
    fine = (4 * third - second) / 3
    return (16 * fine - coarse) / 15
