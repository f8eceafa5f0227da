"""Time every operation of a model's training step, on the model's own arrays, against the same in PyTorch.

    python benchmarks/ops.py sknet_small --batch-size 128
    python benchmarks/ops.py sknet50 --batch-size 4 --only 'conv2d .*3x3' --cpu-time

One line for an operation on one shape, and for each way through it: how often the step takes it; milliseconds of
minisk, of PyTorch, and their ratio, the medians of rounds that alternate between the two; the share of minisk's whole
step, all its calls together; GF/s of minisk's convolutions. Last come sums. They stay below the whole step: repeated at
once, an operation finds its arrays in the caches, and memory that was just freed.

--only is searched in the operation's name, where an x stands for ×. With --cpu-time, the processor's time on one thread
is taken, which a busy machine distorts less.

Both run in one process here, and share its allocator's settings: whole steps are compared by step.py.
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
from unittest.mock import patch

import numpy as np
import torch
from contest import in_own_process, mean_seconds, processor, thread_variables
from step import SETTINGS, batch, minisk_step, model_of
from torch.nn import functional as F
from torch_twin import twin

import minisk as ms
from minisk import models, ops
from minisk.optim import SGD

TURN = 2e-3  # seconds: what is shorter is repeated
Work = Callable[[], object]
Clock = Callable[[], float]


class Call(NamedTuple):
    """One call of Function.apply: the operation, its inputs, detached, and its settings."""

    function: type[ms.Function]
    inputs: tuple[Any, ...]
    settings: dict[str, Any]

    def kind(self) -> str:
        """Calls of one kind take equally long."""
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
        """How many operations on numbers each way through a convolution takes; 0 for another operation."""
        if self.function.operation != "conv2d":
            return 0
        x, weight = self.inputs
        return (
            2
            * x.shape[0]
            * math.prod(self.settings["geometry"].output_size(x.shape[2:], weight.shape[2:]))
            * weight.size
        )


def described(value: Any) -> str:
    """What makes a difference to time in an argument."""
    if isinstance(value, ms.Tensor):
        return f"{value.shape} {value.data.strides} {value.requires_grad}"
    return str(value.shape) if isinstance(value, np.ndarray) else repr(value)


def calls_of(work: Work) -> list[tuple[Call, int]]:
    """Run something, and collect the operations it calls on Tensors: one call of each kind, and how many there are."""
    apply = ms.Function.apply.__func__  # the function behind the class method
    first: dict[str, Call] = {}
    counts: collections.Counter[str] = collections.Counter()

    def record(cls: type[ms.Function], *inputs: Any, **settings: Any) -> Any:
        leaves = tuple(ms.Tensor(x.data, x.requires_grad) if isinstance(x, ms.Tensor) else x for x in inputs)
        call = Call(cls, leaves, settings)
        first.setdefault(call.kind(), call)
        counts[call.kind()] += 1
        return apply(cls, *inputs, **settings)

    with patch.object(ms.Function, "apply", classmethod(record)):
        work()
    return [(call, counts[kind]) for kind, call in first.items()]


def torch_conv2d(x: torch.Tensor, weight: torch.Tensor, geometry: Any) -> torch.Tensor:
    return F.conv2d(x, weight, None, geometry.stride, geometry.padding, geometry.dilation, geometry.groups)


def torch_batch_norm(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    running_mean: torch.Tensor,
    running_var: torch.Tensor,
    relu: bool,
    **settings: Any,
) -> torch.Tensor:
    out = F.batch_norm(x, running_mean, running_var, weight, bias, **settings)
    return torch.relu_(out) if relu else out


def torch_select(logits: torch.Tensor, *branches: torch.Tensor) -> torch.Tensor:
    return (torch.stack(branches, 1) * logits[..., None, None].softmax(1)).sum(1)


def torch_max_pool2d(x: torch.Tensor, window: Any) -> torch.Tensor:
    end_of_last = (window.out[0] - 1) * window.stride[0] + window.kernel[0]
    ceil_mode = end_of_last > x.shape[2] + 2 * window.padding[0]
    return F.max_pool2d(x, window.kernel, window.stride, window.padding, ceil_mode=ceil_mode)


IN_PYTORCH: dict[str, Callable[..., torch.Tensor]] = {
    "conv2d": torch_conv2d,
    "batch_norm": torch_batch_norm,
    "select": torch_select,
    "relu": lambda x: torch.relu_(x.clone()),  # a leaf must not be changed
    "add_relu": lambda a, b: torch.relu_(a + b),
    "max_pool2d": torch_max_pool2d,
    "global_avg_pool2d": lambda x: x.mean((2, 3)),
    "add": torch.add,
    "matmul": torch.matmul,
    "reshape": torch.reshape,
    "transpose": lambda x, axes: x.permute(axes),
    "cross_entropy": lambda logits, wanted: F.cross_entropy(logits, wanted),
}
SEPARATE = {"conv2d": {"dx": [0], "dw": [1]}}  # which inputs' gradients are timed apart


class Way(NamedTuple):
    """One way through an operation: minisk's work, and PyTorch's, if it has the operation."""

    name: str
    ours: Work
    theirs: Work | None


def ways_through(call: Call) -> list[Way]:
    """Forward, recorded as in training, and the gradients of those inputs that want one."""
    forward = partial(call.function.apply, *call.inputs, **call.settings)
    equivalent = IN_PYTORCH.get(call.function.operation)
    inputs = [as_torch(x) for x in call.inputs]
    settings = {name: as_torch(value) for name, value in call.settings.items()}
    ways = [Way("forward", forward, partial(equivalent, *inputs, **settings) if equivalent else None)]
    out = forward()
    out = out[0] if isinstance(out, tuple) else out
    theirs = ways[0].theirs() if ways[0].theirs else None
    dout = np.asarray(np.random.default_rng(0).standard_normal(out.shape), np.float32)  # the loss is a number
    wanting = [i for i, x in enumerate(call.inputs) if isinstance(x, ms.Tensor) and x.requires_grad]
    for name, positions in SEPARATE.get(call.function.operation, {"backward": wanting}).items():
        if not set(positions) & set(wanting):
            continue
        wanted = [call.inputs[i] for i in positions]
        ours = partial(ms.grad, out, wanted, ms.Tensor(dout), retain_graph=True)
        backward = None
        if theirs is not None:
            to = [inputs[i] for i in positions]
            backward = partial(torch.autograd.grad, theirs, to, torch.from_numpy(dout), retain_graph=True)
        ways.append(Way(name, ours, backward))
    return ways


def as_torch(value: Any) -> Any:
    """A Tensor or an array as PyTorch's, on memory of its own, in the same order; anything else as it is."""
    if isinstance(value, ms.Tensor):
        return torch.from_numpy(value.data.copy(order="K")).requires_grad_(value.requires_grad)
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def ways_to_update(model: models.ResidualNet) -> list[Way]:
    """The optimizer's step on every parameter, with a learning rate of 0, so that it can be repeated."""
    ours, theirs = list(model.parameters()), list(twin(model).parameters())
    for parameter in ours:
        parameter.grad = ms.Tensor(np.ones_like(parameter.data))
    for other in theirs:
        other.grad = torch.ones_like(other)
    settings = {**SETTINGS, "lr": 0.0}
    return [Way("update", SGD(ours, **settings).step, torch.optim.SGD(theirs, **settings).step)]


class Row(NamedTuple):
    """Calls of one kind: their name and number, how to make the ways through one of them, its operations on numbers."""

    name: str
    calls: int
    ways: Callable[[], list[Way]]
    flops: int = 0


def rows_of(model: models.ResidualNet, x: np.ndarray, y: np.ndarray) -> list[Row]:
    calls = calls_of(lambda: ops.cross_entropy(model(ms.tensor(x)), ms.tensor(y)))
    rows = [Row(call.name(), count, partial(ways_through, call), call.flops()) for call, count in calls]
    parameters = sum(parameter.size for parameter in model.parameters())
    return [*rows, Row(f"sgd, {parameters / 1e6:.2f} M parameters", 1, partial(ways_to_update, model))]


def medians(way: Way, rounds: int, clock: Clock) -> tuple[float, float]:
    """Milliseconds of minisk and of PyTorch (NaN without it), in alternating rounds after a warm-up."""
    works = [work for work in (way.ours, way.theirs) if work is not None]
    for work in works:
        work()
    times = [[mean_seconds(work, TURN, clock) for work in works] for _ in range(rounds)]
    middles = [1e3 * statistics.median(column) for column in zip(*times, strict=True)]
    return middles[0], middles[1] if way.theirs else math.nan


def tell(name: str, way: str, *cells: str) -> None:
    print(f"{name:<58}{way:<9}" + "".join(f"{cell:>11}" for cell in cells), flush=True)


def run(arguments: argparse.Namespace) -> None:
    """Time the operations of the model, and print them."""
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    size, model = models.input_size(arguments.model), model_of(arguments.model)
    x, y = batch(arguments.batch_size, size, model.classifier.weight.shape[0])
    whole, _ = medians(Way("step", minisk_step(model, x, y), None), arguments.rounds, clock)
    print(f"{processor()}, {arguments.threads} threads, PyTorch {torch.__version__}")
    print(f"{arguments.model}, batch {arguments.batch_size}: minisk's whole training step takes {whole:.1f} ms")
    tell("operation", "", "count", "minisk ms", "PyTorch ms", "ratio", "% of step", "GF/s")
    totals: dict[str, Any] = collections.defaultdict(lambda: np.zeros(2))
    for row in rows_of(model, x, y):
        if not re.search(arguments.only, row.name.replace("×", "x")):
            continue
        for way in row.ways():
            ours, theirs = medians(way, arguments.rounds, clock)
            totals[row.name.split()[0]] += row.calls * np.array([ours, theirs])
            speed = f"{row.flops / ours / 1e6:.0f}" if row.flops else ""
            tell(row.name, way.name, str(row.calls), *compared(ours, theirs, row.calls * ours / whole), speed)
    for operation, (ours, theirs) in {**totals, "everything": sum(totals.values(), np.zeros(2))}.items():
        tell(operation, "all", "", *compared(ours, theirs, ours / whole))


def compared(ours: float, theirs: float, share: float) -> list[str]:
    return [f"{ours:.3f}", f"{theirs:.3f}", f"{ours / theirs:.2f}", f"{100 * share:.1f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=models.NAMES)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", default="", metavar="REGEX", help="operations whose name has this in it")
    parser.add_argument("--cpu-time", action="store_true")
    arguments = parser.parse_args()
    if arguments.cpu_time:
        arguments.threads = 1
    os.environ.update(thread_variables(arguments.threads))
    in_own_process(run, arguments)  # libraries read the number of threads while they are loaded: here it is too late


if __name__ == "__main__":
    main()
