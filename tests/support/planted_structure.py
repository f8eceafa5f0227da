"""Planted bugs of every other kind: memory, shapes, linearity, randomness, kinks, second order."""

from __future__ import annotations

from typing import Any

import numpy as np
from parity import distinct
from planted import Planted, above_zero, batch_norm, sizes

import minisk as ms
from minisk import ops
from minisk.gradient_check import Verdict

BUGS: list[Planted] = []


def plant(name: str, function: Any, arrays: Any, verdict: Verdict, order: int = 1) -> None:
    BUGS.append(Planted(name, function, arrays, verdict, order=order))


def function(forward: Any, backward: Any) -> type[ms.Function]:
    """Return a Function of forward(*arrays) and backward(dout, *saved inputs)."""

    class FromFunctions(ms.Function):
        @staticmethod
        def forward(ctx, *arrays):
            ctx.save_for_backward(*arrays)
            return forward(*arrays)

        @staticmethod
        def backward(ctx, dout):
            return backward(dout, *ctx.saved_tensors)

    return FromFunctions


def array_backward(backward: Any) -> Any:
    """Return a backward on Tensors that calls one on arrays: the engine cannot differentiate it."""
    return lambda dout, *xs: ms.Tensor(backward(dout.data, *(x.data for x in xs)))


def double(x):
    return 2 * x


X = sizes((3, 4))

# --- Memory ---------------------------------------------------------------------------------------------


def relu_in_place(dout, x):
    dout.data *= x.data > 0
    return dout


Relu = function(lambda x: x * (x > 0), relu_in_place)


def squared_in_place(dout, x):
    x.data *= dout.data
    return 2 * x


class Exp(ms.Function):
    @staticmethod
    def forward(ctx, x):
        y = np.exp(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, dout):
        return dout * ctx.saved_tensors[0]


def exp_then_scaled(x):
    y = Exp.apply(x)
    y.data *= 2
    return y


def exp_then_counted(x):
    y = Exp.apply(x)
    with ms.no_grad():
        y *= 2
    return y


class CachedMask(ms.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mask = np.where(x > 0, 1.0, 0.1)
        return x * ctx.mask

    @staticmethod
    def backward(ctx, dout):
        ctx.mask *= dout.data
        return ms.Tensor(ctx.mask.copy())


def forward_in_place(x):
    x *= 2
    return x.copy()


plant("relu: incoming gradient overwritten", Relu, X, Verdict.OVERWRITTEN)
plant("relu within a sum: incoming gradient overwritten", lambda x: Relu.apply(x) + x * x, X, Verdict.OVERWRITTEN)
plant("forward overwrites its input", function(forward_in_place, lambda d, x: 2 * d), X, Verdict.OVERWRITTEN)
plant("backward overwrites its input", function(np.square, squared_in_place), X, Verdict.OVERWRITTEN)
plant("exp: output written to through .data", exp_then_scaled, X, Verdict.SAVED_CHANGED)
plant("exp: output written to in place", exp_then_counted, X, Verdict.SAVED_CHANGED)
plant("backward uses up its mask", CachedMask, X, Verdict.SAVED_CHANGED)


def if_contiguous(dout, x):
    return dout * 2 if x.data.flags.c_contiguous else dout * 2.5


def flat_incoming(dout, x):
    return np.asarray(dout).ravel(order="K").reshape(x.shape) * 2


class IfRepeated(ms.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        ctx.is_one = np.shares_memory(a, b)
        return a * b

    @staticmethod
    def backward(ctx, dout):
        a, b = ctx.saved_tensors
        return dout * b, dout * a * (0.0 if ctx.is_one else 1.0)


plant("wrong for non-contiguous inputs only", function(double, if_contiguous), X, Verdict.WRONG)
plant("wrong for a strided incoming gradient only", function(double, array_backward(flat_incoming)), X, Verdict.WRONG)
plant(
    "values wrong for non-contiguous inputs",
    function(lambda x: x.ravel(order="K").reshape(x.shape) * 2, lambda d, x: d * 2),
    X,
    Verdict.WRONG,
)
plant("mul: wrong for repeated inputs only", IfRepeated, sizes((2, 3), (2, 3)), Verdict.WRONG)

# --- Form -----------------------------------------------------------------------------------------------

WIDE = sizes((2, 3), (3,))
plant("add: missing broadcast sum", function(np.add, lambda d, a, b: (d, d)), WIDE, Verdict.MALFORMED)
plant(
    "matmul: shape transposed",
    function(np.matmul, lambda d, a, b: (d @ b.T, d.T @ a)),
    sizes((2, 3), (3, 4)),
    Verdict.MALFORMED,
)
plant(
    "gradient in float32",
    function(double, array_backward(lambda d, x: (2 * d).astype("float32"))),
    X,
    Verdict.MALFORMED,
)
plant("gradient is a NumPy array", function(double, lambda d, x: 2 * d.data), X, Verdict.MALFORMED)
plant("one gradient for two inputs", function(np.add, lambda d, a, b: d), sizes((2,), (2,)), Verdict.MALFORMED)

plant("incoming gradient ignored", function(np.square, lambda d, x: 2 * x), X, Verdict.NOT_LINEAR)
plant("incoming gradient twice", function(np.square, lambda d, x: 2 * x * d * d), X, Verdict.NOT_LINEAR)
plant("incoming gradient clipped", function(np.square, lambda d, x: 2 * x * d.clip(-1, 1)), X, Verdict.NOT_LINEAR)
plant(
    "incoming gradient's sign only",
    function(double, array_backward(lambda d, x: 2 * np.sign(d))),
    X,
    Verdict.NOT_LINEAR,
)

# --- Values ---------------------------------------------------------------------------------------------

ZERO = [np.array([0.5, 0.0, 2.0])]
plant("sqrt at 0", ops.sqrt, ZERO, Verdict.NOT_FINITE)
plant("norm of a zero vector", lambda x: ops.sqrt((x * x).sum()), [np.zeros(3)], Verdict.NOT_FINITE)
plant("log of a negative number", ops.log, [np.array([1.0, -1.0])], Verdict.NOT_FINITE)
plant("where that hides a 0 / 0", lambda x: ops.where(x > 0, ops.sqrt(x), x), ZERO, Verdict.NOT_FINITE)

NOISE = np.random.default_rng()
plant("noise in forward", lambda x: x * NOISE.random(x.shape), X, Verdict.NONDETERMINISTIC)
plant(
    "noise in backward",
    function(double, array_backward(lambda d, x: d * NOISE.random(d.shape))),
    X,
    Verdict.NONDETERMINISTIC,
)

TIES = [np.array([[1.0, 3.0, 3.0, 3.0], [0.5, -1.0, 2.0, 0.0]])]
plant("relu at 0", ops.relu, ZERO, Verdict.NOT_DIFFERENTIABLE)
plant("abs at 0", ops.abs, ZERO, Verdict.NOT_DIFFERENTIABLE)
plant("tied maxima", lambda x: ops.max(x, 1), TIES, Verdict.NOT_DIFFERENTIABLE)
plant("tied max_pool2d", lambda x: ops.max_pool2d(x, 2), [np.ones((1, 1, 4, 4))], Verdict.NOT_DIFFERENTIABLE)
plant("clip at a bound", lambda x: x.clip(0.5, 1), ZERO, Verdict.NOT_DIFFERENTIABLE)
plant("rounding at a jump", function(np.rint, lambda d, x: d * 0), [np.array([0.5, 1.2])], Verdict.NOT_DIFFERENTIABLE)
plant(
    "relu at 0 and wrong beside it",
    function(lambda x: np.maximum(x, 0), lambda d, x: d * (x > 0) * 2),
    ZERO,
    Verdict.WRONG,
)

plant(
    "float32 inside",
    function(lambda x: np.exp(x.astype("float32")).astype("float64"), lambda d, x: d * ops.exp(x)),
    X,
    Verdict.TOO_NOISY,
)
plant("digits lost to a large constant", lambda x: (x + 1e8) - 1e8, X, Verdict.TOO_NOISY)

# --- Second order only ----------------------------------------------------------------------------------


class BatchNormOnce(ms.Function):
    """Batch norm whose double backward treats the standard deviation as a constant, as DeZero's does."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        with ms.no_grad():
            return batch_norm(ms.Tensor(x), ms.Tensor(weight), ms.Tensor(bias)).numpy()

    @staticmethod
    def backward(ctx, dout):
        x, weight = ctx.saved_tensors
        axes, per_channel = (0, 2, 3), (1, -1, 1, 1)
        centred = x - x.mean(axes, keepdims=True)
        inv_std = ((centred.detach() ** 2).mean(axes, keepdims=True) + 1e-3) ** -0.5
        xhat = centred * inv_std
        projected = dout - dout.mean(axes, keepdims=True) - xhat * (dout * xhat).mean(axes, keepdims=True)
        return weight.reshape(per_channel) * inv_std * projected, (dout * xhat).sum(axes), dout.sum(axes)


def once(d, x):
    return d * 3 * x.detach() ** 2


def fused(d, x):
    return d * 3 * x * x if not ms.is_grad_enabled() else d * 3.3 * x * x


class Intermediate(ms.Function):
    @staticmethod
    def forward(ctx, x):
        e = np.exp(x)
        ctx.save_for_backward(e)
        return e / (1 + e)

    @staticmethod
    def backward(ctx, dout):
        (e,) = ctx.saved_tensors
        return dout * e / ((1 + e) * (1 + e))


def cube(x):
    return x**3


IMAGES = distinct([(2, 2, 3, 2), (2,), (2,)])
plant("cube: saved input detached", function(cube, once), X, Verdict.HIGHER_ORDER, order=2)
plant("cube: different gradient under create_graph", function(cube, fused), X, Verdict.HIGHER_ORDER, order=2)
plant(
    "cube: backward in NumPy",
    function(cube, array_backward(lambda d, x: 3 * d * x**2)),
    X,
    Verdict.HIGHER_ORDER,
    order=2,
)
plant("sigmoid: an intermediate saved", Intermediate, X, Verdict.HIGHER_ORDER, order=2)
plant(
    "log: factor in the second derivative",
    function(np.log, lambda d, x: d / x.detach()),
    above_zero((2, 3)),
    Verdict.HIGHER_ORDER,
    order=2,
)
plant("batch_norm: deviation constant", BatchNormOnce, IMAGES, Verdict.HIGHER_ORDER, order=2)
