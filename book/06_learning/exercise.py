"""Exercise 6: stochastic gradient descent with momentum, weight decay and a schedule."""

import math

import numpy as np

import minisk as ms

# First predict: with g = 1 in every step and momentum 0.9, which number does the velocity approach?
LIMIT = None


class SGD:
    """For each parameter w: g = grad + weight_decay·w, v ← momentum·v + g, w ← w − lr·v. The first v is 0."""

    def __init__(self, parameters, lr, momentum=0.0, weight_decay=0.0):
        self.parameters = list(parameters)
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay

    def zero_grad(self):
        """Forget all gradients."""
        for p in self.parameters:
            p.grad = None

    def step(self):
        """Update every parameter; one whose grad is None stays as it is. `self.lr` may change between two steps."""
        raise NotImplementedError


def cosine(step, total, peak, warmup=0):
    """Return the learning rate of a step, counted from 0.

    It falls from peak to 0 along half a cosine within `total` steps. In the first `warmup` steps it is also multiplied
    by (step + 1)/warmup.
    """
    raise NotImplementedError
