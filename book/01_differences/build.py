"""Chapter 1: slopes and gradients measured by differences."""

import numpy as np


def one_sided(f, x, h):
    return (f(x + h) - f(x)) / h


def central(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def extrapolated_once(f, x, h):
    return (4 * central(f, x, h / 2) - central(f, x, h)) / 3


def slope_along(f, x, v, h=1e-5):
    """Return the slope of f at x along the direction v, measured; x, v: one shape."""
    return (f(x + h * v) - f(x - h * v)) / (2 * h)


def numeric_gradient(f, x, h=1e-5):
    """Return the gradient of f at x, measured by central differences; x: any shape."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        ahead, behind = x.copy(), x.copy()
        ahead[place] += h
        behind[place] -= h
        gradient[place] = (f(ahead) - f(behind)) / (2 * h)
    return gradient
