"""Exercise 6, solved."""

import math

import numpy as np

import minisk as ms

LIMIT = 10


class SGD:
    """For each parameter w: g = grad + weight_decay·w, v ← momentum·v + g, w ← w − lr·v. The first v is 0."""

    def __init__(self, parameters, lr, momentum=0.0, weight_decay=0.0):
        self.parameters = list(parameters)
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.velocities = [np.zeros(p.shape) for p in self.parameters]

    def zero_grad(self):
        """Forget all gradients."""
        for p in self.parameters:
            p.grad = None

    def step(self):
        """Update every parameter; one whose grad is None stays as it is."""
        with ms.no_grad():
            for i, p in enumerate(self.parameters):
                if p.grad is None:
                    continue
                g = p.grad.numpy() + self.weight_decay * p.numpy()
                self.velocities[i] = self.momentum * self.velocities[i] + g
                p -= self.lr * self.velocities[i]


def cosine(step, total, peak, warmup=0):
    """Return the learning rate of a step, counted from 0."""
    rise = min(1, (step + 1) / warmup) if warmup else 1
    return peak * rise * (1 + math.cos(math.pi * step / total)) / 2
