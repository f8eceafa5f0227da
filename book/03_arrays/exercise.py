"""Exercise 3: a product with broadcasting, forward and backward."""

import numpy as np

# First predict: a has shape (4, 1, 3), b has shape (2, 1). Over which axes of dout * a is the gradient of b summed?
AXES_OF_B = None


def sum_to(gradient, shape):
    """Return the gradient, summed over the axes that broadcasting from `shape` repeated; the result has that shape.

    gradient: an array; `shape` broadcasts to the gradient's shape.
    """
    raise NotImplementedError


class Mul:
    """a · b, element by element, of any two shapes that broadcast."""

    @staticmethod
    def forward(ctx, a, b):
        """Return a · b, and keep in ctx what backward needs."""
        raise NotImplementedError

    @staticmethod
    def backward(ctx, dout):
        """Return the gradients of a and of b, each in the shape of its input."""
        raise NotImplementedError
