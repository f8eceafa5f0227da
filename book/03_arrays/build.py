"""Chapter 3: Tensors, Functions, and the adjoint of broadcasting."""

import itertools
from types import SimpleNamespace

import numpy as np

import book

births = itertools.count()


class Tensor:
    """An array that remembers the step that computed it."""

    def __init__(self, data, function=None, inputs=(), ctx=None):
        self.data = np.asarray(data, dtype=np.float64)
        self.function, self.inputs, self.ctx = function, inputs, ctx
        self.gradient = None
        self.birth = next(births)


class Function:
    """A step: subclasses define forward and backward, on arrays."""

    @classmethod
    def apply(cls, *inputs):
        ctx = SimpleNamespace()
        data = cls.forward(ctx, *[x.data for x in inputs])
        return Tensor(data, cls, inputs, ctx)


class MatMul(Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.a, ctx.b = a, b
        return a @ b

    @staticmethod
    def backward(ctx, dout):
        return dout @ ctx.b.T, ctx.a.T @ dout


reachable = book.build(2).reachable


def backward(root):
    """Set `gradient` of every Tensor that root was computed from."""
    nodes = sorted(reachable(root), key=lambda node: node.birth)
    for node in nodes:
        node.gradient = None
    root.gradient = np.ones_like(root.data)
    for node in reversed(nodes):
        if node.function is not None:
            results = node.function.backward(node.ctx, node.gradient)
            for each, result in zip(node.inputs, results):
                before = each.gradient
                each.gradient = result if before is None else before + result


def sum_to(gradient, shape):
    """Return the gradient, summed over the axes that broadcasting from `shape` repeated; the result has that shape."""
    missing = gradient.ndim - len(shape)
    padded = (1,) * missing + tuple(shape)
    axes = tuple(axis for axis, size in enumerate(padded) if size == 1)
    return gradient.sum(axis=axes, keepdims=True).reshape(shape)


class Mul:
    """a · b, element by element, of any two shapes that broadcast."""

    @staticmethod
    def forward(ctx, a, b):
        """Return a · b, and keep in ctx what backward needs."""
        ctx.a, ctx.b = a, b
        return a * b

    @staticmethod
    def backward(ctx, dout):
        """Return the gradients of a and of b, each in the shape of its input."""
        return sum_to(dout * ctx.b, ctx.a.shape), sum_to(dout * ctx.a, ctx.b.shape)
