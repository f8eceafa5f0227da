"""Profiler: the time of every operation, forward and backward.

    with ms.profile(model) as profile:
        loss = …
        loss.backward()
    print(profile)
    profile.save_trace("trace.json")

It observes operations through `autograd.observe`, and knows the layer that runs from forward hooks of the modules.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Function, Node, Observer, Tensor, observe
from ..backend import Array, array_module
from ..nn import Module
from ..serialization import atomic_write

SHOWN = 20  # rows of the table by layer
OUTSIDE = "-"  # the layer of operations outside all modules


class Event(NamedTuple):
    """One operation, or one backward with all operations inside it; the fields of a Chrome trace, and three more.

    name: the operation.
    layer: dotted name of the module that called it.
    cat: "forward" or "backward".
    ts, dur: start and duration, in microseconds.
    flops: two for each multiply-add of convolutions and matrix products, 0 for other operations.
    bytes: size of the arrays read and written, each counted once.
    is_outermost: whether it ran outside all other events.
    """

    name: str
    layer: str
    cat: str
    ts: float
    dur: float
    flops: int
    bytes: int
    is_outermost: bool


class Profile:
    """The result of a profile.

    Attributes:
        events: in the order in which they ended.
        seconds: duration of the `with` block.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.start = time.perf_counter()
        self.seconds = 0.0

    def __str__(self) -> str:
        """Return a table by operation and one by layer, the slowest first, and the time outside all operations."""
        outermost = [event for event in self.events if event.is_outermost]
        by_operation = _table("operation", outermost, lambda event: event.name)
        by_layer = _table("layer, operation", outermost, lambda event: f"{event.layer}, {event.name}")
        heading = 2
        lines = [*by_operation, "", *by_layer[: SHOWN + heading]]
        if len(by_layer) > SHOWN + heading:
            lines.append(f"and {len(by_layer) - SHOWN - heading} more")
        total = 1e3 * self.seconds
        outside = total - sum(event.dur for event in outermost) / 1e3
        return "\n".join([*lines, "", f"outside operations (optimizer, data, Python): {outside:.1f} of {total:.1f} ms"])

    def save_trace(self, path: str | Path) -> None:
        """Write all events as a Chrome trace, for chrome://tracing or ui.perfetto.dev. Raises OSError."""
        common = {"ph": "X", "pid": 0, "tid": 0}
        events = [{**event._asdict(), **common, "args": event._asdict()} for event in self.events]
        atomic_write(path, json.dumps({"traceEvents": events}).encode())


@contextlib.contextmanager
def profile(model: Module | None = None) -> Iterator[Profile]:
    """Time every operation inside the block, forward and backward, in one thread.

    On a GPU, every operation is waited for, so that the block takes longer than without a profile.

    Args:
        model: events are assigned to its modules by name.
    """
    found = Profile()
    recorder = _Recorder(found)
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(lambda: setattr(found, "seconds", time.perf_counter() - found.start))
        for name, module in _modules_by_name(model):
            cleanup.callback(module.register_forward_pre_hook(partial(recorder.enter_layer, name)))
            cleanup.callback(module.register_forward_hook(recorder.leave_layer, always_call=True))
        cleanup.enter_context(observe(recorder))
        yield found


def _modules_by_name(model: Module | None) -> list[tuple[str, Module]]:
    """Return every module once; a module that is used twice has its first name."""
    names: dict[Module, str] = {}
    for name, module in model.named_modules("") if model is not None else ():
        names.setdefault(module, name or "model")
    return [(name, module) for module, name in names.items()]


class _Running(NamedTuple):
    """An operation or backward that has begun.

    key: the object by which its end is recognised.
    start: in seconds, of time.perf_counter.
    events: number of events that had ended by then.
    """

    key: Any
    layer: str
    read: list[Array]
    events: int
    start: float


class _Recorder(Observer):
    """Turns the calls of an Observer into events of a Profile."""

    def __init__(self, found: Profile) -> None:
        self.found = found
        self.layers = [OUTSIDE]
        self.running: list[_Running] = []
        self.layer_of: dict[int, str] = {}  # by id of a node, the layer whose forward recorded it

    def enter_layer(self, name: str, module: Module, inputs: tuple[Any, ...]) -> None:
        self.layers.append(name)

    def leave_layer(self, module: Module, inputs: tuple[Any, ...], output: Any) -> None:
        self.layers.pop()

    def before_forward(self, function: type[Function], inputs: tuple[Any, ...], settings: dict[str, Any]) -> None:
        self._begin(inputs, self.layers[-1], [x.data for x in inputs if isinstance(x, Tensor)])

    def after_forward(
        self,
        function: type[Function],
        inputs: tuple[Any, ...],
        settings: dict[str, Any],
        outputs: tuple[Tensor, ...],
        node: Node | None,
    ) -> None:
        if node is not None:
            self.layer_of[id(node)] = self.layers[-1]
        self._end(inputs, function.operation, "forward", outputs)

    def before_backward(self, node: Node, gradients: Sequence[Tensor | None]) -> None:
        arrived = [gradient.data for gradient in gradients if gradient is not None]
        saved = [saved.array for saved in node.saved]
        self._begin(node, self.layer_of.get(id(node), OUTSIDE), arrived + saved)

    def after_backward(self, node: Node, gradients: Sequence[Tensor | None], results: Sequence[Tensor | None]) -> None:
        self._end(node, node.operation, "backward", results)

    def _begin(self, key: Any, layer: str, read: list[Array]) -> None:
        self.running.append(_Running(key, layer, read, len(self.found.events), time.perf_counter()))

    def _end(self, key: Any, name: str, cat: str, results: Sequence[Tensor | None]) -> None:
        # What began later and has not ended has raised an error.
        while self.running and self.running[-1].key is not key:
            self.running.pop()
        if not self.running:  # it began before the profile did
            return
        entry = self.running.pop()
        arrays = entry.read + [result.data for result in results if result is not None]
        for xp in {array_module(array) for array in arrays} - {np}:  # a GPU runs asynchronously
            xp.cuda.runtime.deviceSynchronize()
        ts, dur = 1e6 * (entry.start - self.found.start), 1e6 * (time.perf_counter() - entry.start)
        events = self.found.events
        inside = [event for event in events[entry.events :] if event.is_outermost]
        for i in range(entry.events, len(events)):
            events[i] = events[i]._replace(is_outermost=False, cat="backward" if cat == "backward" else events[i].cat)
        flops = sum(event.flops for event in inside) or _flops(name, arrays)
        size = sum(array.nbytes for array in arrays)
        events.append(Event(name, entry.layer, cat, ts, dur, flops, size, is_outermost=True))


def _flops(name: str, arrays: Sequence[Array]) -> int:
    """Return the floating-point operations of a convolution or matrix product, and 0 for other operations.

    Args:
        name: of the operation.
        arrays: its two factors and the product.
    """
    if name == "matmul":
        return int(2 * arrays[2].size * arrays[0].shape[-1])
    # Of each convolution, the array of its output channels' pixels, and the array of the weights.
    positions = {"conv2d": (-1, 1), "conv2d_affine": (-1, 1), "conv2d_input_grad": (0, 1), "conv2d_weight_grad": (1, 2)}
    if name not in positions:
        return 0
    pixels, weight = (arrays[i] for i in positions[name])
    return int(2 * pixels.size * math.prod(weight.shape[1:]))


class _Total:
    """Calls, microseconds, flops and bytes of some events."""

    def __init__(self) -> None:
        self.calls = self.flops = self.bytes = 0
        self.dur = 0.0

    def add(self, event: Event) -> None:
        self.calls += 1
        self.dur += event.dur
        self.flops += event.flops
        self.bytes += event.bytes

    def cells(self) -> str:
        rates = [f"{count / self.dur / 1e3:7.1f}" if count else " " * 7 for count in (self.flops, self.bytes)]
        return " ".join([f"{self.calls:7}", f"{self.dur / 1e3:9.2f}", *rates])


def _table(title: str, events: Sequence[Event], key: Callable[[Event], str]) -> list[str]:
    """Return two lines of heading, and a line for each key, the slowest first."""
    rows: dict[str, dict[str, _Total]] = {}
    for event in events:
        row = rows.setdefault(key(event), {"forward": _Total(), "backward": _Total()})
        row[event.cat].add(event)
    columns = f"{'calls':>7} {'ms':>9} {'GF/s':>7} {'GB/s':>7}"
    lines = [f"{'':<40} {'forward':^33} {'backward':^33}", f"{title:<40} {columns} {columns}"]
    for name, row in sorted(rows.items(), key=lambda item: -sum(total.dur for total in item[1].values())):
        lines.append(f"{name:<40} {row['forward'].cells()} {row['backward'].cells()}")
    return lines
