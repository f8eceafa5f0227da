"""Exercise 2: backward through a graph of any depth, each node visited once."""

import itertools
import math

births = itertools.count()

# First predict, for the graph of 20 doublings: how many products gradient · slope does `follow` of the chapter compute,
# and how many does your `backward`? (The first call of `follow`, at the result, needs no product.)
PRODUCTS_OF_FOLLOW = None
PRODUCTS_OF_BACKWARD = None


class Value:
    """A number that remembers what it was computed from."""

    def __init__(self, number, inputs=(), slopes=()):
        self.number = number
        self.inputs = inputs
        self.slopes = slopes
        self.gradient = 0.0
        self.birth = next(births)

    def __add__(self, other):
        return Value(self.number + other.number, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        slopes = (other.number, self.number)
        return Value(self.number * other.number, (self, other), slopes)


def tanh(x):
    """Return the hyperbolic tangent of a Value, as a Value."""
    raise NotImplementedError


def reachable(root):
    """Return every node that root was computed from, and root itself, each once."""
    found = {}
    to_visit = [root]
    while to_visit:
        node = to_visit.pop()
        if id(node) not in found:
            found[id(node)] = node
            to_visit.extend(node.inputs)
    return list(found.values())


def backward(root):
    """Set `gradient` of every node that root was computed from to the derivative of root.

    A second call must give the same gradients again.
    """
    raise NotImplementedError
