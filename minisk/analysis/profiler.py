"""Where the time goes: `with ms.profile(model) as found:`, then `print(found)` or `found.save_trace(path)`.

While it runs, it stands in for `Function.apply` and `Node.run_backward`, through which every operation and every
backward goes, and for the `forward` of each module, to know whose operation it is. Outside, nothing is slower for it.
"""

import contextlib
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Function, Node, Tensor
from ..backend import array_module
from ..nn import Module
from ..serialization import atomic_write

SHOWN = 20  # rows of the table by layer


class Event(NamedTuple):
    """One operation, or its backward with all operations inside; ts and dur: start and length in microseconds.

    cat: "forward" or "backward"; bytes: of the arrays read and written, each counted once; flops: of convolutions and
    matrix products, two for each multiply-add, 0 for all others. A Chrome trace has the same names.
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
    """What happened in the `with` block: `events`, in the order in which they ended, and the block's `seconds`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._began, self.seconds = time.perf_counter(), 0.0
        self._depth = self._flops = 0  # how many operations are running; flops of those inside the current one

    def __str__(self) -> str:
        """Return a table by operation, one by layer, the slowest first, and the time spent outside all operations."""
        outermost = [event for event in self.events if event.is_outermost]
        by_layer = _table("layer, operation", outermost, lambda event: f"{event.layer}, {event.name}")
        lines = [*_table("operation", outermost, lambda event: event.name), "", *by_layer[: SHOWN + 2]]
        if len(by_layer) > SHOWN + 2:
            lines.append(f"and {len(by_layer) - SHOWN - 2} more")
        whole, inside = 1e3 * self.seconds, sum(event.dur for event in outermost) / 1e3
        told = f"outside operations (optimizer, data, Python): {whole - inside:.1f} of {whole:.1f} ms"
        return "\n".join([*lines, "", told])

    def save_trace(self, path: str | Path) -> None:
        """Write all events as a Chrome trace, for chrome://tracing or ui.perfetto.dev. Raises OSError."""
        common = {"ph": "X", "pid": 0, "tid": 0}
        events = [{**event._asdict(), **common, "args": event._asdict()} for event in self.events]
        atomic_write(path, json.dumps({"traceEvents": events}).encode())

    def _watch(self, name: str, cat: str, layer: str, read: list[Any], work: Callable[[], Any]) -> Any:
        """Do the work, and note it. read: the arrays it reads."""
        outer_flops, self._flops, self._depth = self._flops, 0, self._depth + 1
        start = time.perf_counter()
        try:
            result = work()
        finally:
            self._depth -= 1
        touched = [*read, *(x.data for x in _listed(result) if x is not None)]
        for xp in {array_module(array) for array in touched} - {np}:  # a GPU works on while Python goes on
            xp.cuda.runtime.deviceSynchronize()
        when = 1e6 * (start - self._began), 1e6 * (time.perf_counter() - start)
        flops, size = self._flops or _flops(name, touched), sum(array.nbytes for array in touched)
        self.events.append(Event(name, layer, cat, *when, flops, size, self._depth == 0))
        self._flops = outer_flops + flops
        return result


@contextlib.contextmanager
def profile(model: Module | None = None) -> Iterator[Profile]:
    """Time every operation in the block, forward and backward; with a model, by the names of its layers.

    On a GPU each operation is waited for, so the whole block takes longer than without. For one thread at a time.
    """
    found, layer, makers = Profile(), ["-"], dict[int, str]()  # the layer that runs, last; whose each node is
    apply, run = Function.__dict__["apply"], Node.run_backward

    def watched_apply(cls: type[Function], *inputs: Any, **settings: Any) -> Any:
        read, cat = [x.data for x in inputs if isinstance(x, Tensor)], "backward" if found._depth else "forward"
        result = found._watch(cls.operation, cat, layer[-1], read, lambda: apply.__func__(cls, *inputs, **settings))
        makers[id(_listed(result)[0].node)] = layer[-1]
        return result

    def watched_run(node: Node, *arguments: Any) -> Any:
        read = [x.data for x in arguments[0] if x is not None] + [saved.array for saved in node.saved]
        maker = makers.get(id(node), "-")
        return found._watch(node.operation, "backward", maker, read, lambda: run(node, *arguments))

    def named(name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def within(*inputs: Any) -> Any:
            layer.append(name)
            try:
                return forward(*inputs)
            finally:
                layer.pop()

        return within

    # Of a module that is used twice the first name counts, and it is wrapped once.
    modules = {} if model is None else {module: name for name, module in reversed([*model.named_modules()])}
    before = [(vars(module), vars(module).get("forward")) for module in modules]  # another profile may be open
    try:
        for module, name in modules.items():
            vars(module)["forward"] = named(name or "model", module.forward)
        Function.apply, Node.run_backward = classmethod(watched_apply), watched_run  # type: ignore[assignment, method-assign]
        yield found
    finally:
        found.seconds = time.perf_counter() - found._began
        Function.apply, Node.run_backward = apply, run  # type: ignore[method-assign]
        for attributes, forward in before:
            attributes.pop("forward", None)
            attributes |= {} if forward is None else {"forward": forward}


def _flops(name: str, arrays: Sequence[Any]) -> int:
    """Count an operation that is a product; arrays: its two factors, and the product."""
    factors = {"conv2d": (2, 1), "conv2d_input_grad": (0, 1), "conv2d_weight_grad": (1, 2)}
    if name in factors:  # every pixel of an output channel sees all of the channel's weights
        pixels, weight = (arrays[i] for i in factors[name])
        return int(2 * pixels.size * math.prod(weight.shape[1:]))
    return int(2 * arrays[2].size * arrays[0].shape[-1]) if name == "matmul" else 0


def _listed(result: Any) -> Any:
    return result if isinstance(result, tuple | list) else (result,)


def _table(title: str, events: Sequence[Event], key: Callable[[Event], str]) -> list[str]:
    """Return a line for each key, the slowest first, below two lines of heading."""
    rows: Any = defaultdict(lambda: {"forward": np.zeros(4), "backward": np.zeros(4)})
    for event in events:
        rows[key(event)][event.cat] += (1, event.dur, event.flops, event.bytes)
    columns = f"{'calls':>7} {'ms':>9} {'GF/s':>7} {'GB/s':>7}"
    lines = [f"{'':<40} {'forward':^33} {'backward':^33}", f"{title:<40} {columns} {columns}"]
    for name, ways in sorted(rows.items(), key=lambda row: -sum(way[1] for way in row[1].values())):
        cells = [f"{name:<40}"]
        for calls, dur, *sizes in ways.values():
            cells.append(f"{calls:7.0f} {dur / 1e3:9.2f}")
            cells += (f"{size / dur / 1e3:7.1f}" if size else " " * 7 for size in sizes)
        lines.append(" ".join(cells))
    return lines
