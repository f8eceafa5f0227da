"""What must come out the same on a GPU as on the CPU; run on CuPy's stand-in, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minisk as ms
from minisk import models, ops
from minisk.optim import SGD

# Further from each other than rounding lets two orders of summation be.
TOLERANCE = {"float64": 1e-10, "float32": 2e-5, "float16": 2e-3}

IMAGES, PLANES = (2, 6, 7, 5), (2, 6)
CHANNELS = (6,)


def batch_norm(training: bool) -> Callable[..., Any]:
    def call(x: Any, weight: Any, bias: Any) -> Any:
        mean, var = (ms.tensor(np.full(6, v), dtype=x.dtype, device=x.device) for v in (0.25, 2.0))
        out = ops.batch_norm(x, weight, bias, mean, var, training)
        return out, mean + 0, var + 0

    return call


def index_with(x: Any, *parts: Any) -> Any:
    """Index by slices, an integer, an array with repetitions, a mask."""
    return x[:, 1::2], x[1, ..., -1], x[:, np.array([0, 2, 0])], x[x > 0]


def written(x: Any, y: Any) -> Any:
    target = x.detach() + 0
    target[:, 1] = y[:, 0].detach()
    target[0] = 3.0
    target += 1
    target -= 0.5 * target
    return target * y


def labels(x: Any, numbers: list[int]) -> Any:
    return ms.tensor(np.array(numbers), device=x.device)


# Every operation: a function of Tensors, and the shapes of these.
OPERATIONS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "abs": (ops.abs, [(3, 4)]),
    "add": (lambda x, y: (x + y, 2 + x, x + np.ones(4)), [(3, 4), (4,)]),
    "argmax": (lambda x: (ops.argmax(x), ops.argmax(x, 1)), [(3, 4)]),
    "avg_pool2d": (lambda x: ops.avg_pool2d(x, 3, 2, 1), [IMAGES]),
    "axpy": (ops.axpy, [PLANES, IMAGES, IMAGES]),
    "batch_norm": (batch_norm(training=True), [IMAGES, CHANNELS, CHANNELS]),
    "batch_norm in evaluation": (batch_norm(training=False), [IMAGES, CHANNELS, CHANNELS]),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (2, 3, 4)), [(3, 1)]),
    "cast": (lambda x: (ops.cast(x, "float32"), ops.cast(x, "int64"), x.to(dtype="float64")), [(3, 4)]),
    "channel_dot": (ops.channel_dot, [IMAGES, IMAGES]),
    "channel_scale": (ops.channel_scale, [PLANES, IMAGES]),
    "clip": (lambda x: ops.clip(x, -0.5, 0.5), [(3, 4)]),
    "concatenate": (lambda x, y: ops.concatenate([x, y], 1), [(3, 4), (3, 2)]),
    "conv2d": (lambda x, w, b: ops.conv2d(x, w, b, 1, 1), [IMAGES, (4, 6, 3, 3), (4,)]),
    "conv2d in groups": (lambda x, w: ops.conv2d(x, w, None, 2, 2, 2, groups=3), [IMAGES, (6, 2, 3, 3)]),
    "conv2d of 1×1": (lambda x, w: (ops.conv2d(x, w), ops.conv2d(x, w, stride=2)), [IMAGES, (4, 6, 1, 1)]),
    "cross_entropy": (
        lambda x: (ops.cross_entropy(x, labels(x, [1, 0, 3])), ops.cross_entropy(x, labels(x, [2, 2, 0]), 0.1)),
        [(3, 4)],
    ),
    "cross_entropy of shares": (lambda x: ops.cross_entropy(x, ops.softmax(x).detach() + 0), [(3, 4)]),
    "div": (lambda x, y: (x / (y * y + 1), 1 / (y * y + 1)), [(3, 4), (4,)]),
    "dropout": (lambda x: ops.dropout(x, 0.5, training=False), [(3, 4)]),
    "equal": (lambda x, y: (x == y, x != y, x == x, x == 0.5), [(3, 4), (4,)]),
    "exp": (ops.exp, [(3, 4)]),
    "expand_dims": (lambda x: ops.expand_dims(x, 1), [(3, 4)]),
    "get_item": (index_with, [(3, 4)]),
    "global_avg_pool2d": (ops.global_avg_pool2d, [IMAGES]),
    "less": (lambda x, y: (x < y, x <= y, x > y, x >= 0), [(3, 4), (4,)]),
    "linear": (ops.linear, [(3, 4), (5, 4), (5,)]),
    "log": (lambda x: ops.log(x * x + 1), [(3, 4)]),
    "log_softmax": (lambda x: ops.log_softmax(x, 1), [(3, 4, 2)]),
    "matmul": (lambda x, y: (x @ y, x[0, 0] @ y, x @ y[0, :, 0]), [(2, 3, 4), (2, 4, 5)]),
    "max": (lambda x: (x.max(), x.max(1), x.max((0, 1), keepdims=True)), [(3, 4, 2)]),
    "max_pool2d": (lambda x: (ops.max_pool2d(x, 3, 2, 1), ops.max_pool2d(x, 2, ceil_mode=True)), [IMAGES]),
    "maximum": (lambda x, y: (ops.maximum(x, y), ops.maximum(x, 0.25)), [(3, 4), (4,)]),
    "mean": (lambda x: (x.mean(), x.mean(1)), [(3, 4)]),
    "min": (lambda x: (x.min(), x.min(1)), [(3, 4)]),
    "minimum": (ops.minimum, [(3, 4), (4,)]),
    "mul": (lambda x, y: (x * y, np.float64(2) * x, x * np.full(4, 0.5)), [(3, 4), (4,)]),
    "neg": (ops.neg, [(3, 4)]),
    "pad": (lambda x: ops.pad(x, ((1, 0), (2, 1))), [(3, 4)]),
    "pow": (lambda x: (x**2, x**3, 2**x, (x * x + 1) ** -0.5), [(3, 4)]),
    "relu": (ops.relu, [(3, 4)]),
    "reshape": (lambda x: (x.reshape(4, -1), x.reshape(12)), [(3, 4)]),
    "set_item": (lambda x, y: (x * 1, written(x, y)), [(3, 4), (3, 1)]),
    "sigmoid": (ops.sigmoid, [(3, 4)]),
    "softmax": (lambda x: (ops.softmax(x, 0), ops.softmax(x)), [(3, 4, 2)]),
    "split": (lambda x: tuple(ops.split(x, [1, 3], 1)), [(3, 4)]),
    "sqrt": (lambda x: ops.sqrt(x * x + 1), [(3, 4)]),
    "squeeze": (lambda x: ops.squeeze(x, 1), [(3, 1, 4)]),
    "stack": (lambda x, y: ops.stack([x, y], 1), [(3, 4), (3, 4)]),
    "sub": (lambda x, y: (x - y, 1 - x, x - 1), [(3, 4), (4,)]),
    "sum": (lambda x: (x.sum(), x.sum(1), x.sum((0, -1), keepdims=True)), [(3, 4, 2)]),
    "sum_to": (lambda x: ops.sum_to(x, (3, 1)), [(2, 3, 4)]),
    "tanh": (ops.tanh, [(3, 4)]),
    "to": (lambda x: (x.to("cpu") * 2).to(x.device), [(3, 4)]),
    "transpose": (lambda x: (x.T, x.transpose(1, 2, 0)), [(3, 4, 2)]),
    "var": (lambda x: (x.var(), x.var(1, ddof=1)), [(3, 4)]),
    "where": (lambda x, y: (ops.where(x > y, x, y), ops.where(np.eye(3, 4) > 0, x, 0.0)), [(3, 4), (4,)]),
}  # fmt: skip
# Those that come with another one.
TOGETHER = {
    "not_equal": "equal", "less_equal": "less", "greater": "less", "greater_equal": "less",
}  # fmt: skip


def results(name: str, device: str, dtype: str, seed: int = 0) -> list[np.ndarray]:
    """Run an operation on a device: its outputs, and the first and second gradients of their weighted sum."""
    function, shapes = OPERATIONS[name]
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    xs = [ms.tensor(array, requires_grad=True, device=device) for array in arrays]
    returned = function(*xs)
    outs = list(returned) if isinstance(returned, tuple) else [returned]
    assert all(out.device.startswith(device) for out in outs)
    found = [out.numpy() for out in outs]
    rooted = [out for out in outs if out.requires_grad]
    if rooted:
        weights = [ms.tensor(rng.uniform(0.5, 1.5, out.shape), dtype=out.dtype, device=device) for out in rooted]
        found += [g.numpy() for g in ms.grad(rooted, xs, weights, retain_graph=True, allow_unused=True)]
        firsts = ms.grad(rooted, xs, weights, create_graph=True, allow_unused=True)
        squares = [(first * first).sum() for first in firsts if first.requires_grad]
        found += [g.numpy() for g in ms.grad(squares, xs, allow_unused=True)] if squares else []
    return found


def assert_alike(one: list[np.ndarray], other: list[np.ndarray], tolerance: float) -> None:
    """The same shapes and dtypes, integers equal, max|Δ| ≤ tolerance · max|value|."""
    assert [(a.shape, a.dtype) for a in one] == [(b.shape, b.dtype) for b in other]
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, err_msg=f"result {number}")
        elif a.size:
            wide, scale = a.astype(np.float64), max(float(np.abs(a).max()), 1e-3)
            assert np.abs(wide - b).max() <= tolerance * scale, f"result {number}: off by {np.abs(wide - b).max():.2e}"


class Step:
    """A model, an optimizer and a batch on a device; `take()` is one training step, and returns its loss."""

    def __init__(self, name: str, images: int, size: int, device: str, classes: int = 10) -> None:
        ms.manual_seed(0)
        self.model = models.create(name, classes).to(device)
        self.optimizer = SGD(self.model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)
        rng = np.random.default_rng(1)
        self.x = ms.tensor(rng.standard_normal((images, 3, size, size)).astype(np.float32), device=device)
        self.y = ms.tensor(rng.integers(classes, size=images), device=device)

    def take(self) -> float:
        self.optimizer.zero_grad()
        loss = ops.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def state(self) -> dict[str, np.ndarray]:
        """Weights and running statistics."""
        return {name: value.numpy().copy() for name, value in self.model.state_dict().items()}
