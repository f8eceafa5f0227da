"""Other right solutions pass too: a check looks at results, not at the way of the kept solution."""

import pytest

from book.answers import judge
from book.chapters import chapter

TABLE = """
ORDERS = [2, 4, 6]


def derivative(f, x, h=0.01):
    row = [(f(x + h / 2**k) - f(x - h / 2**k)) / (2 * h / 2**k) for k in range(3)]
    for m in (1, 2):
        row = [fine + (fine - coarse) / (4**m - 1) for coarse, fine in zip(row, row[1:])]
    return row[0]
"""

COUNTED_USERS = """
import math

PRODUCTS_OF_FOLLOW, PRODUCTS_OF_BACKWARD = 2097150, 40


class Value:
    def __init__(self, number, inputs=(), slopes=()):
        self.number, self.inputs, self.slopes, self.gradient = number, inputs, slopes, 0.0

    def __add__(self, other):
        return Value(self.number + other.number, (self, other), (1.0, 1.0))

    def __mul__(self, other):
        return Value(self.number * other.number, (self, other), (other.number, self.number))


def tanh(x):
    e = math.exp(2 * x.number)
    return Value((e - 1) / (e + 1), [x], [4 * e / (e + 1) ** 2])


def backward(root):
    users, waiting = {id(root): 0}, [root]
    while waiting:
        node = waiting.pop()
        node.gradient = 0.0
        for each in node.inputs:
            if id(each) not in users:
                users[id(each)] = 0
                waiting.append(each)
            users[id(each)] += 1
    root.gradient, ready = 1.0, [root]
    while ready:
        node = ready.pop()
        for each, slope in zip(node.inputs, node.slopes):
            each.gradient += node.gradient * slope
            users[id(each)] -= 1
            if users[id(each)] == 0:
                ready.append(each)
"""

AXIS_BY_AXIS = """
import numpy as np

AXES_OF_B = [2, 0]


def sum_to(gradient, shape):
    while gradient.ndim > len(shape):
        gradient = gradient.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1:
            gradient = np.add.reduce(gradient, axis=axis, keepdims=True)
    return gradient


class Mul:
    def forward(ctx, a, b):
        ctx.saved = a, b
        return np.multiply(a, b)

    def backward(ctx, dout):
        a, b = ctx.saved
        return tuple(sum_to(dout * other, own.shape) for own, other in ((a, b), (b, a)))
"""

BY_BACKWARD = """
import numpy as np

import minisk as ms

DIGITS = 6


def hessian_product(f, x, v):
    point = ms.tensor(x, requires_grad=True)
    f(point).backward(create_graph=True)
    first = point.grad
    point.grad = None
    first.backward(ms.tensor(v))
    return point.grad


class Softplus(ms.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))

    @staticmethod
    def backward(ctx, dout):
        (x,) = ctx.saved_tensors
        return dout * ((x / 2).tanh() + 1) / 2
"""

BY_TENSORS = """
from math import cos, pi

import minisk as ms

LIMIT = 10.0


class SGD:
    def __init__(self, parameters, lr, momentum=0.0, weight_decay=0.0):
        self.parameters, self.lr, self.momentum, self.weight_decay = list(parameters), lr, momentum, weight_decay
        self.velocity = {}

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    @ms.no_grad()
    def step(self):
        for p in self.parameters:
            if p.grad is not None:
                g = p.grad + p * self.weight_decay
                v = self.velocity.get(id(p))
                self.velocity[id(p)] = g if v is None else v * self.momentum + g
                p[...] = p - self.velocity[id(p)] * self.lr


def cosine(step, total, peak, warmup=0):
    rate = peak * 0.5 * (1 + cos(pi * step / total))
    return rate * (step + 1) / warmup if step < warmup else rate
"""

PIXEL_BY_PIXEL = """
import numpy as np

STRIDE, DILATION = 3, 2


def conv_weight_grad(x, dout, kernel, stride=1, padding=0, dilation=1, groups=1):
    n, c, h, w = x.shape
    canvas = np.zeros((n, c, h + 2 * padding, w + 2 * padding))
    canvas[:, :, padding : padding + h, padding : padding + w] = x
    o, per_group = dout.shape[1], c // groups
    result = np.zeros((o, per_group, *kernel))
    for b in range(o):
        first = b // (o // groups) * per_group
        for i, j in np.ndindex(*dout.shape[2:]):
            window = canvas[:, first : first + per_group, i * stride :, j * stride :]
            window = window[:, :, ::dilation, ::dilation][:, :, : kernel[0], : kernel[1]]
            result[b] += np.tensordot(dout[:, b, i, j], window, axes=(0, 0))
    return result
"""

OTHERS = {1: TABLE, 2: COUNTED_USERS, 3: AXIS_BY_AXIS, 4: BY_BACKWARD, 6: BY_TENSORS, 7: PIXEL_BY_PIXEL}


@pytest.mark.parametrize("number", OTHERS)
def test_another_right_solution_passes(number, tmp_path):
    (tmp_path / "exercise.py").write_text(OTHERS[number])
    assert judge(chapter(number), tmp_path) is None
