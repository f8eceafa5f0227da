"""Planted bugs in the values of a gradient: operations of the project with a mistake.

Most combine two functions: forward runs the first, and the gradient is that of the second. `spoil` then changes single
elements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from planted import Planted, above_zero, batch_norm, mismatched, scaled, sizes

from minisk import ops

BUGS: list[Planted] = []


def plant(name: str, arrays: Any, forward: Any, backward: Any = None, spoil: Any = None, wrong: int = 0, element=None):
    """Add a bug, see `mismatched`; wrong: which input has the wrong gradient."""
    function = mismatched(forward, backward, spoil)
    BUGS.append(Planted(name, function, arrays, input=f"input {wrong}", element=element))


IMAGE, KERNEL = (2, 2, 5, 4), (4, 2, 3, 3)


def conv(**settings: Any) -> Any:
    return lambda *xs: ops.conv2d(*xs, **settings)


def normalized(x, weight, bias, constant=()):
    """Return batch norm written with Tensor operations; the statistics named in `constant` get no gradient."""
    mean, var = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    if "mean" in constant:
        mean = mean.detach()
    if "var" in constant:
        var = var.detach()
    per_channel = (1, -1, 1, 1)
    return (x - mean) * (var + 1e-3) ** -0.5 * weight.reshape(per_channel) + bias.reshape(per_channel)


def frozen(*constant: str) -> Any:
    return lambda *xs: normalized(*xs, constant=constant)


def diagonal_of_softmax(x):
    """Return a function of x whose gradient is dout · p(1 - p): the diagonal of softmax's Jacobian only."""
    p = ops.softmax(x).detach()
    return p * (1 - p) * x


# --- Signs, factors, single elements ----------------------------------------------------------------------

for _name, _op, _arrays in [
    ("exp", ops.exp, sizes((3, 4))),
    ("tanh", ops.tanh, sizes((3, 4))),
    ("log", ops.log, above_zero((3, 4))),
    ("sqrt", ops.sqrt, above_zero((3, 4))),
    ("sigmoid", ops.sigmoid, sizes((3, 4))),
]:
    plant(f"{_name}: sign", _arrays, _op, spoil=scaled(0, -1))
    plant(f"{_name}: factor 2", _arrays, _op, spoil=scaled(0, 2))
    plant(f"{_name}: one element 1.01", _arrays, _op, spoil=scaled(0, 1.01, (2, 1)), element=(2, 1))

plant("sub: sign of the second", sizes((2, 3), (2, 3)), ops.sub, ops.add, wrong=1)
plant(
    "div: one element 1.01",
    above_zero((10, 10), (10, 10)),
    ops.div,
    spoil=scaled(1, 1.01, (7, 3)),
    wrong=1,
    element=(7, 3),
)
plant("mul: one of 100 elements 1.1", sizes((10, 10), (10, 10)), ops.mul, spoil=scaled(0, 1.1, (9, 9)), element=(9, 9))
plant(
    "matmul: one element 1.01",
    sizes((4, 5), (5, 6)),
    ops.matmul,
    spoil=scaled(1, 1.01, (4, 5)),
    wrong=1,
    element=(4, 5),
)
plant(
    "conv2d: one weight 1.01",
    sizes(IMAGE, KERNEL),
    conv(),
    spoil=scaled(1, 1.01, (3, 1, 2, 0)),
    wrong=1,
    element=(3, 1, 2, 0),
)
plant(
    "conv2d: one pixel lost",
    sizes(IMAGE, KERNEL),
    conv(padding=1),
    spoil=scaled(0, 0, (1, 1, 4, 3)),
    element=(1, 1, 4, 3),
)
plant(
    "batch_norm: one weight 1.01",
    sizes(IMAGE, (2,), (2,)),
    batch_norm,
    spoil=scaled(1, 1.01, (1,)),
    wrong=1,
    element=(1,),
)
plant("max: one element 0", sizes((3, 4)), lambda x: ops.max(x, 1), spoil=lambda g: [np.where(g[0] != 0, 0, g[0])])
plant("pow: exponent forgotten", above_zero((2, 3)), lambda x: ops.pow(x, 3), lambda x: ops.pow(x, 3) * (1 / 3))
plant("sqrt: two for a half", above_zero((2, 3)), ops.sqrt, lambda x: ops.sqrt(x) * 4)
plant("mean: not divided", sizes((3, 4)), lambda x: ops.mean(x, 0), lambda x: ops.sum(x, 0))
plant("var: ddof in forward only", sizes((4, 3)), lambda x: ops.var(x, 0, ddof=1), lambda x: ops.var(x, 0))

# --- Axes, broadcasting, transposition ---------------------------------------------------------------------

plant("softmax: zero gradient", sizes((3, 4)), ops.softmax, spoil=scaled(0, 0))
plant("softmax: wrong axis", sizes((3, 3)), lambda x: ops.softmax(x, 0), lambda x: ops.softmax(x, 1))
plant("log_softmax: wrong axis", sizes((3, 3)), lambda x: ops.log_softmax(x, 0), lambda x: ops.log_softmax(x, 1))
plant(
    "softmax: diagonal only",
    sizes((3, 4)),
    ops.softmax,
    diagonal_of_softmax,
)
plant(
    "cross_entropy: mean forgotten",
    sizes((3, 4)),
    lambda x: ops.cross_entropy(x, np.array([0, 3, 1])),
    lambda x: ops.cross_entropy(x, np.array([0, 3, 1])) * 3,
)
plant(
    "cross_entropy: label off by one",
    sizes((3, 4)),
    lambda x: ops.cross_entropy(x, np.array([0, 3, 1])),
    lambda x: ops.cross_entropy(x, np.array([1, 3, 1])),
)
plant(
    "cross_entropy: smoothing ignored",
    sizes((3, 4)),
    lambda x: ops.cross_entropy(x, np.array([0, 3, 1]), 0.1),
    lambda x: ops.cross_entropy(x, np.array([0, 3, 1])),
)
plant("matmul: transposed weight", sizes((3, 4), (4, 4)), ops.matmul, lambda x, w: x @ w.T)
plant("matmul: gradient transposed", sizes((3, 4), (4, 4)), ops.matmul, spoil=lambda g: [g[0], g[1].T.copy()], wrong=1)
plant("linear: dropped bias", sizes((3, 4), (2, 4), (2,)), ops.linear, lambda x, w, b: ops.linear(x, w), wrong=2)
plant(
    "linear: bias of one row only",
    sizes((3, 4), (2, 4), (2,)),
    ops.linear,
    lambda x, w, b: ops.linear(x, w) + b * np.array([[1.0], [0], [0]]),
    wrong=2,
)
plant("conv2d: dropped bias", sizes(IMAGE, KERNEL, (4,)), conv(), lambda x, w, b: ops.conv2d(x, w), wrong=2)
plant("transpose: inverse not taken", sizes((3, 3, 3)), lambda x: x.transpose(1, 2, 0), lambda x: x.transpose(2, 0, 1))
plant(
    "concatenate: halves swapped",
    sizes((2, 3), (2, 3)),
    lambda a, b: ops.concatenate([a, b], 1),
    lambda a, b: ops.concatenate([b, a], 1),
)
plant(
    "where: branches swapped",
    sizes((2, 3), (2, 3)),
    lambda a, b: ops.where(np.eye(2, 3) > 0, a, b),
    lambda a, b: ops.where(np.eye(2, 3) > 0, b, a),
)
plant("maximum: gradient to both", sizes((2, 3), (2, 3)), ops.maximum, lambda a, b: a + b)
plant("clip: passes beyond the bounds", sizes((4, 4)), lambda x: x.clip(-0.7, 0.9), lambda x: x)
plant("relu: passes negatives", sizes((4, 4)), ops.relu, lambda x: x)
plant("abs: sign forgotten", sizes((4, 4)), ops.abs, lambda x: x)
plant(
    "get_item: repeats not summed",
    sizes((3, 2)),
    lambda x: x[np.array([0, 2, 0])],
    lambda x: x[np.array([0, 2])][np.array([0, 1, 0])] * np.array([[0.0], [1], [1]]),
)
plant(
    "pad: shifted by one", sizes((3, 4)), lambda x: ops.pad(x, [(0, 0), (1, 1)]), lambda x: ops.pad(x, [(0, 0), (2, 0)])
)

# --- Windows: edges, strides, dilations, groups -------------------------------------------------------------

plant(
    "conv2d: kernel not flipped",
    sizes(IMAGE, (2, 2, 3, 3)),
    conv(padding=1),
    lambda x, w: ops.conv2d(x, w[:, :, ::-1, ::-1], padding=1),
)
plant(
    "conv2d: padding off by one",
    sizes(IMAGE, KERNEL),
    conv(padding=(1, 0)),
    lambda x, w: ops.conv2d(ops.pad(x, [(0, 0), (0, 0), (2, 0), (0, 0)]), w),
)
plant(
    "conv2d: dilation ignored",
    sizes(IMAGE, (4, 2, 2, 2)),
    conv(dilation=2, padding=1),
    lambda x, w: ops.conv2d(x, w, padding=(1, 1))[:, :, 1:, 1:],
)
plant(
    "conv2d: stride from the second pixel",
    sizes((2, 2, 6, 6), KERNEL),
    conv(stride=2, padding=1),
    lambda x, w: ops.conv2d(ops.pad(x, [(0, 0), (0, 0), (0, 1), (0, 1)]), w, stride=2),
)
plant(
    "conv2d: groups swapped",
    sizes((2, 4, 4, 4), (4, 2, 3, 3)),
    conv(groups=2),
    lambda x, w: ops.conv2d(x, ops.concatenate([w[2:], w[:2]], 0), groups=2),
)
plant(
    "conv2d: last row of the edge lost",
    sizes(IMAGE, KERNEL),
    conv(padding=1),
    spoil=scaled(0, 0, (..., -1, slice(None))),
)
plant("max_pool2d: averages", sizes(IMAGE), lambda x: ops.max_pool2d(x, 2), lambda x: ops.avg_pool2d(x, 2))
plant(
    "max_pool2d: one window lost",
    sizes((1, 1, 4, 4)),
    lambda x: ops.max_pool2d(x, 2),
    lambda x: ops.max_pool2d(x, 2) * np.array([[1.0, 1], [1, 0]]),
)
plant("avg_pool2d: sums", sizes(IMAGE), lambda x: ops.avg_pool2d(x, 2), lambda x: ops.avg_pool2d(x, 2) * 4)
plant(
    "avg_pool2d: stride ignored",
    sizes((1, 1, 5, 5)),
    lambda x: ops.avg_pool2d(x, 2, 3),
    lambda x: ops.avg_pool2d(x, 2, 1)[:, :, :2, :2],
)
plant("global_avg_pool2d: width forgotten", sizes(IMAGE), ops.global_avg_pool2d, lambda x: ops.global_avg_pool2d(x) * 4)
plant(
    "avg_pool2d: padding counted",
    sizes(IMAGE),
    lambda x: ops.avg_pool2d(x, 2, 1, 1, count_include_pad=False),
    lambda x: ops.avg_pool2d(x, 2, 1, 1),
)
plant(
    "interpolate: height and width exchanged",
    sizes((1, 1, 3, 2)),
    lambda x: ops.interpolate(x, 4),
    lambda x: ops.interpolate(x.transpose(0, 1, 3, 2), 4).transpose(0, 1, 3, 2)[:, :, ::-1],
)

# --- Normalisation, selection --------------------------------------------------------------------------------

NORM = sizes(IMAGE, (2,), (2,))
plant("batch_norm: statistics constant", NORM, batch_norm, frozen("mean", "var"))
plant("batch_norm: mean constant", NORM, batch_norm, frozen("mean"))
plant("batch_norm: variance constant", NORM, batch_norm, frozen("var"))
plant(
    "batch_norm: weight's gradient from x, not xhat",
    NORM,
    batch_norm,
    lambda x, w, b: batch_norm(x, w.detach(), b) + x.detach() * w.reshape(1, -1, 1, 1),
    wrong=1,
)
plant(
    "axpy: scale's gradient from y",
    sizes((2, 2), (2, 2, 3, 1), (2, 2, 3, 1)),
    ops.axpy,
    lambda a, x, y: ops.axpy(a, y.detach(), y) + ops.channel_scale(a.detach(), x),
)
plant(
    "channel_dot: one pixel lost",
    sizes((2, 2, 3, 1), (2, 2, 3, 1)),
    ops.channel_dot,
    spoil=scaled(1, 0, (1, 0, 2, 0)),
    wrong=1,
    element=(1, 0, 2, 0),
)
