"""Time every operation of a model's training step, on the model's own arrays, against the same in PyTorch.

    python benchmarks/ops.py sknet_small --batch-size 128
    python benchmarks/ops.py sknet50 --batch-size 4 --only 'conv2d .*3x3' --cpu-time

The table has one line for each operation, shape and direction (forward or backward). It gives the number of calls in a
step; the milliseconds of minisk, of PyTorch, and their ratio, medians of rounds that alternate between the two; the
share of minisk's whole step that all these calls take; and GF/s of minisk's convolutions. The sums at the end stay
below the whole step: a repeated operation finds its arrays in the caches, and memory that was just freed.

--only is a regular expression that is searched in the operation's name, with x for ×. --cpu-time measures processor
time on one thread, which other programs distort less.

Both libraries run in one process here and share its allocator. Use step.py to compare whole steps.
"""

from __future__ import annotations

import argparse
import collections
import math
import os
import re
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import minisk as ms  # isort: skip  # before NumPy, whose threads would spin for 30 ms after the step's products
import numpy as np
import torch
from contest import in_own_process, mean_seconds, processor, thread_variables
from step import SETTINGS, batch, minisk_step, model_of
from torch.nn import functional as F
from torch_models import torch_model

from minisk import models
from minisk.autograd import Observer, observe
from minisk.optim import SGD

TURN = 2e-3  # seconds: shorter work is repeated
Work = Callable[[], object]
Clock = Callable[[], float]


class Call(NamedTuple):
    """One call of Function.apply: the operation, its detached inputs, and its settings."""

    function: type[ms.Function]
    inputs: tuple[Any, ...]
    settings: dict[str, Any]

    def kind(self) -> str:
        """Return a key that calls share if they take equally long."""
        return f"{self.function.operation} {[described(value) for value in (*self.inputs, *self.settings.values())]}"

    def name(self) -> str:
        x, settings = self.inputs[0], self.settings
        if self.function.operation == "conv2d":
            weight, geometry = self.inputs[1], settings["geometry"]
            kernel = f"{x.shape[1]}→{weight.shape[0]} {weight.shape[2]}×{weight.shape[3]}/{geometry.stride[0]}"
            return f"conv2d {kernel} at {x.shape[2]}, dilation {geometry.dilation[0]}, groups {geometry.groups}"
        window = "{0[0]}×{0[1]}/{1[0]} ".format(*settings["window"][:2]) if "window" in settings else ""
        relu = "+relu" if settings.get("relu") else ""
        largest = max((value for value in self.inputs if isinstance(value, ms.Tensor)), key=lambda value: value.size)
        return f"{self.function.operation}{relu} {window}" + "×".join(map(str, largest.shape))

    def flops(self) -> int:
        """Return the floating-point operations of one direction of a convolution; 0 for other operations."""
        if self.function.operation != "conv2d":
            return 0
        x, weight, _ = self.inputs
        return (
            2
            * x.shape[0]
            * math.prod(self.settings["geometry"].output_size(x.shape[2:], weight.shape[2:]))
            * weight.size
        )


def described(value: Any) -> str:
    """Return the properties of an argument that the time depends on."""
    if isinstance(value, ms.Tensor):
        return f"{value.shape} {value.data.strides} {value.requires_grad}"
    return str(value.shape) if isinstance(value, np.ndarray) else repr(value)


class Collector(Observer):
    """Collects one call of each kind of operation, and counts the calls of that kind."""

    def __init__(self) -> None:
        self.first: dict[str, Call] = {}
        self.counts: collections.Counter[str] = collections.Counter()

    def before_forward(self, function: type[ms.Function], inputs: tuple[Any, ...], settings: dict[str, Any]) -> None:
        leaves = tuple(ms.Tensor(x.data, x.requires_grad) if isinstance(x, ms.Tensor) else x for x in inputs)
        call = Call(function, leaves, settings)
        self.first.setdefault(call.kind(), call)
        self.counts[call.kind()] += 1


def calls_of(work: Work) -> list[tuple[Call, int]]:
    """Run some work. Return one call of each kind of operation, and the number of calls of that kind."""
    collector = Collector()
    with observe(collector):
        work()
    return [(call, collector.counts[kind]) for kind, call in collector.first.items()]


def torch_conv2d(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Any) -> torch.Tensor:
    return F.conv2d(x, weight, bias, geometry.stride, geometry.padding, geometry.dilation, geometry.groups)


def torch_batch_norm(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    *,
    running: Any,
    training: bool,
    eps: float,
    relu: bool,
) -> torch.Tensor:
    mean, var = (torch.from_numpy(statistic.data) for statistic in (running.mean, running.var))
    out = F.batch_norm(x, mean, var, weight, bias, training, running.momentum, eps)
    return torch.relu_(out) if relu else out


def torch_select(logits: torch.Tensor, *branches: torch.Tensor) -> torch.Tensor:
    return (torch.stack(branches, 1) * logits[..., None, None].softmax(1)).sum(1)


def torch_max_pool2d(x: torch.Tensor, window: Any) -> torch.Tensor:
    end_of_last = (window.out[0] - 1) * window.stride[0] + window.kernel[0]
    ceil_mode = end_of_last > x.shape[2] + 2 * window.padding[0]
    return F.max_pool2d(x, window.kernel, window.stride, window.padding, ceil_mode=ceil_mode)


def torch_avg_pool2d(x: torch.Tensor, window: Any) -> torch.Tensor:
    count = window.count_padding
    return F.avg_pool2d(x, window.kernel, window.stride, window.padding, count_include_pad=count)


IN_PYTORCH: dict[str, Callable[..., torch.Tensor]] = {
    "conv2d": torch_conv2d,
    "batch_norm": torch_batch_norm,
    "select": torch_select,
    "relu": lambda x: torch.relu_(x.clone()),  # an operation in place must not change a leaf
    "add_relu": lambda a, b: torch.relu_(a + b),
    "max_pool2d": torch_max_pool2d,
    "avg_pool2d": torch_avg_pool2d,
    "axpy": lambda scale, x, y: scale[..., None, None] * x + y,
    "sigmoid": torch.sigmoid,
    "mul": torch.mul,
    "concatenate": lambda *parts, axis: torch.cat(parts, axis),
    "global_avg_pool2d": lambda x: x.mean((2, 3)),
    "add": torch.add,
    "matmul": torch.matmul,
    "reshape": torch.reshape,
    "transpose": lambda x, axes: x.permute(axes),
    "cross_entropy": lambda logits, target: F.cross_entropy(logits, target),
}
SEPARATE = {"conv2d": {"dx": [0], "dw": [1], "db": [2]}}  # inputs whose gradients are timed separately


class Direction(NamedTuple):
    """Forward or backward of an operation: minisk's work, and PyTorch's, if it has the operation."""

    name: str
    ours: Work
    theirs: Work | None


def directions_of(call: Call) -> list[Direction]:
    """Return forward, with a graph as in training, and the gradients of the inputs that require them."""
    forward = partial(call.function.apply, *call.inputs, **call.settings)
    equivalent = IN_PYTORCH.get(call.function.operation)
    inputs = [as_torch(x) for x in call.inputs]
    settings = {name: as_torch(value) for name, value in call.settings.items()}
    found = [Direction("forward", forward, partial(equivalent, *inputs, **settings) if equivalent else None)]
    out = forward()
    out = out[0] if isinstance(out, tuple) else out
    theirs = found[0].theirs() if found[0].theirs else None
    dout = np.asarray(np.random.default_rng(0).standard_normal(out.shape), np.float32)  # () for the loss
    requiring = [i for i, x in enumerate(call.inputs) if isinstance(x, ms.Tensor) and x.requires_grad]
    for name, positions in SEPARATE.get(call.function.operation, {"backward": requiring}).items():
        if not set(positions) & set(requiring):
            continue
        inputs_of_ours = [call.inputs[i] for i in positions]
        ours = partial(ms.grad, out, inputs_of_ours, ms.Tensor(dout), retain_graph=True)
        backward = None
        if theirs is not None:
            to = [inputs[i] for i in positions]
            backward = partial(torch.autograd.grad, theirs, to, torch.from_numpy(dout), retain_graph=True)
        found.append(Direction(name, ours, backward))
    return found


def as_torch(value: Any) -> Any:
    """Return a PyTorch tensor with a copy of the same memory order; return other values unchanged."""
    if isinstance(value, ms.Tensor):
        return torch.from_numpy(value.data.copy(order="K")).requires_grad_(value.requires_grad)
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def update_of(model: models.Network) -> list[Direction]:
    """Return the optimizer's step on every parameter, with a learning rate of 0, so that it can be repeated."""
    ours, theirs = list(model.parameters()), list(torch_model(model).parameters())
    for parameter in ours:
        parameter.grad = ms.Tensor(np.ones_like(parameter.data))
    for other in theirs:
        other.grad = torch.ones_like(other)
    settings = {**SETTINGS, "lr": 0.0}
    return [Direction("update", SGD(ours, **settings).step, torch.optim.SGD(theirs, **settings).step)]


class Row(NamedTuple):
    """Calls of one kind: their name, their number, their directions, and the floating-point operations of one call."""

    name: str
    calls: int
    directions: Callable[[], list[Direction]]
    flops: int = 0


def rows_of(model: models.Network, x: np.ndarray, y: np.ndarray) -> list[Row]:
    calls = calls_of(lambda: models.classification_loss(model(ms.tensor(x)), ms.tensor(y)))
    rows = [Row(call.name(), count, partial(directions_of, call), call.flops()) for call, count in calls]
    parameters = sum(parameter.size for parameter in model.parameters())
    return [*rows, Row(f"sgd, {parameters / 1e6:.2f} M parameters", 1, partial(update_of, model))]


def medians(direction: Direction, rounds: int, clock: Clock) -> tuple[float, float]:
    """Return the median milliseconds of minisk and of PyTorch (NaN without it); their rounds alternate."""
    works = [work for work in (direction.ours, direction.theirs) if work is not None]
    for work in works:
        work()
    times = [[mean_seconds(work, TURN, clock) for work in works] for _ in range(rounds)]
    middles = [1e3 * statistics.median(column) for column in zip(*times, strict=True)]
    return middles[0], middles[1] if direction.theirs else math.nan


def print_row(name: str, direction: str, *cells: str) -> None:
    print(f"{name:<58}{direction:<9}" + "".join(f"{cell:>11}" for cell in cells), flush=True)


def run(arguments: argparse.Namespace) -> None:
    """Time the operations of the model, and print them."""
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    size, model = arguments.size or models.input_size(arguments.model), model_of(arguments.model)
    x, y = batch(arguments.batch_size, size, model.classifier.weight.shape[0])
    whole, _ = medians(Direction("step", minisk_step(model, x, y), None), arguments.rounds, clock)
    print(f"{processor()}, {arguments.threads} threads, PyTorch {torch.__version__}")
    print(f"{arguments.model}, {arguments.batch_size} × {size}²: minisk's whole training step takes {whole:.1f} ms")
    print_row("operation", "", "count", "minisk ms", "PyTorch ms", "ratio", "% of step", "GF/s")
    totals: dict[str, Any] = collections.defaultdict(lambda: np.zeros(2))
    for row in rows_of(model, x, y):
        if not re.search(arguments.only, row.name.replace("×", "x")):
            continue
        for direction in row.directions():
            ours, theirs = medians(direction, arguments.rounds, clock)
            totals[row.name.split()[0]] += row.calls * np.array([ours, theirs])
            speed = f"{row.flops / ours / 1e6:.0f}" if row.flops else ""
            print_row(
                row.name, direction.name, str(row.calls), *compared(ours, theirs, row.calls * ours / whole), speed
            )
    for operation, (ours, theirs) in {**totals, "everything": sum(totals.values(), np.zeros(2))}.items():
        print_row(operation, "all", "", *compared(ours, theirs, ours / whole))


def compared(ours: float, theirs: float, share: float) -> list[str]:
    return [f"{ours:.3f}", f"{theirs:.3f}", f"{ours / theirs:.2f}", f"{100 * share:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=models.NAMES)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, help="pixels (default: the model's own)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", metavar="REGEX", help="only operations whose name matches")
    parser.add_argument("--cpu-time", action="store_true")
    arguments = parser.parse_args()
    if arguments.cpu_time:
        arguments.threads = 1
    os.environ.update(thread_variables(arguments.threads))
    in_own_process(run, arguments)  # libraries read the number of threads when they are loaded, which is past here


if __name__ == "__main__":
    main()
