"""Chapter 6: a network of two layers, its loss, and an optimizer."""

import math

import numpy as np

import minisk as ms

rng = np.random.default_rng(0)


class Linear:
    """x·W + b for a batch of rows x."""

    def __init__(self, inputs, outputs):
        start = rng.normal(0, np.sqrt(2 / inputs), (inputs, outputs))
        self.weight = ms.tensor(start, requires_grad=True)
        self.bias = ms.tensor(np.zeros(outputs), requires_grad=True)

    def __call__(self, x):
        return x @ self.weight + self.bias


class Network:
    """Two layers: numbers of an image → 10 scores."""

    def __init__(self, inputs=432, hidden=32):
        self.first, self.last = Linear(inputs, hidden), Linear(hidden, 10)

    def __call__(self, x):
        return self.last(self.first(x).relu())

    def parameters(self):
        layers = (self.first, self.last)
        return [p for layer in layers for p in (layer.weight, layer.bias)]


def softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def loss_of(network, x, labels):
    return ms.ops.cross_entropy(network(ms.tensor(x)), labels)


def accuracy(network, x, labels):
    """Return the share of images whose largest score is the right one."""
    with ms.no_grad():
        scores = network(ms.tensor(x)).numpy()
    return (scores.argmax(axis=1) == labels).mean()


def train_epoch(network, optimizer, x, labels, batch=64):
    order = rng.permutation(len(x))
    for start in range(0, len(x), batch):
        chosen = order[start : start + batch]
        loss = loss_of(network, x[chosen], labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


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
