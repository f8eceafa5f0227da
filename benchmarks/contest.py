"""Shared by the benchmarks: contenders take turns, each in a process of its own; the times are summarised.

Separate processes keep threads, allocators and memory peaks apart. Only one contender works at a time. Scripts that
start contests import no library at their top: a process must set its number of threads before it imports one.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import multiprocessing
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

# The minisk beside this file is measured, not an installed one; processes that are spawned inherit the path.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

Step = Callable[[], float]
SPAWN = multiprocessing.get_context("spawn")
REST = 0.1  # seconds between turns: the threads of OpenBLAS keep spinning for about 30 ms after a product
WARM_UPS = 3  # steps: the first builds kernels, and tinygrad replays a step from its third on
TOLERANCE = 1e-3


class Contender(NamedTuple):
    """The work of one process: set environment, import libraries, call build(*arguments), repeat the step it returns.

    A step returns its loss.
    """

    name: str
    environment: dict[str, str]
    libraries: tuple[str, ...]
    build: Callable[..., Step]
    arguments: tuple[Any, ...] = ()


class Result(NamedTuple):
    """Seconds of a step in each round, the loss of the first step, and the peak of memory in bytes.

    The peak counts from the end of the imports. It is None where the system does not report it.
    """

    seconds: list[float]
    first_loss: float
    peak: int | None


def thread_variables(threads: int) -> dict[str, str]:
    return dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))


def compete(contenders: Sequence[Contender], rounds: int, turn: float = 0.0) -> dict[str, Result]:
    """Let every contender step once in each round, or repeatedly for `turn` seconds; exits if one of them fails."""
    channels: dict[str, Connection] = {}
    losses: dict[str, float] = {}
    for contender in contenders:
        channels[contender.name], far_end = SPAWN.Pipe()
        SPAWN.Process(target=_serve, args=(far_end, contender, turn), daemon=True).start()
        far_end.close()  # so that recv() raises EOFError when the process ends
        losses[contender.name] = _answer(channels, contender.name)
    times: dict[str, list[float]] = {name: [] for name in channels}
    for _ in range(rounds):
        for name, seconds in times.items():
            time.sleep(REST)
            seconds.append(_answer(channels, name, "step"))
    return {name: Result(times[name], losses[name], _answer(channels, name, "finish")) for name in channels}


def _answer(channels: dict[str, Connection], name: str, command: str | None = None) -> Any:
    try:
        if command is not None:
            channels[name].send(command)
        return channels[name].recv()
    except (EOFError, ConnectionError):
        sys.exit(f"{name} failed: see above")


def _serve(channel: Connection, contender: Contender, turn: float) -> None:
    os.environ.update(contender.environment)
    for library in contender.libraries:
        importlib.import_module(library)
    with contextlib.suppress(OSError):  # a system may lack this file or forbid writing
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of the imports
    before = resident("VmRSS")
    step = contender.build(*contender.arguments)
    first_loss, *_ = (step() for _ in range(WARM_UPS))
    channel.send(first_loss)
    with contextlib.suppress(EOFError):  # the main process stopped because another contender failed
        while channel.recv() == "step":
            channel.send(mean_seconds(step, turn))
        peak = resident("VmHWM") - before
        channel.send(peak if Path("/proc/self/status").exists() else None)


def resident(field: str, process: int | str = "self") -> int:
    """Return the bytes that a process holds now (VmRSS), or its peak since the reset (VmHWM), as Linux reports them.

    Pages of files are subtracted: parts of a library's code are loaded only when they first run.
    """
    status = Path(f"/proc/{process}/status")
    sizes = dict(re.findall(r"(\w+):\s+(\d+) kB", status.read_text())) if status.exists() else {}
    return 1024 * (int(sizes.get(field, 0)) - int(sizes.get("RssFile", 0)))


def mean_seconds(
    work: Callable[[], object], turn: float = 0.0, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the seconds of one call of work, averaged over as many calls as fit in `turn` seconds."""
    count, started = 0, clock()
    while True:
        work()
        count += 1
        taken = clock() - started
        if taken >= turn:
            return taken / count


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, so that its imports do not reach this one."""
    with ProcessPoolExecutor(1, SPAWN) as pool:
        return pool.submit(function, *arguments).result()


def training_step(loss_of: Callable[[], Any], clear: Callable[[], Any], update: Callable[[], Any]) -> Step:
    """Return the training step of any library: loss, gradients from zero, update. The step returns its loss."""

    def step() -> float:
        loss = loss_of()
        clear()
        loss.backward()
        update()
        return float(loss.item() if hasattr(loss, "item") else loss.data)

    return step


def matrix_product(size: int = 2048) -> Step:
    """Return the step that measures the processor's limit: np.matmul, 2·size³ floating-point operations in float32."""
    import numpy as np

    a, b = np.random.default_rng(0).standard_normal((2, size, size), np.float32)
    out = np.empty_like(a)

    def step() -> float:
        np.matmul(a, b, out=out)
        return float(out[0, 0])

    return step


MATRIX_PRODUCT_FLOPS = 2 * 2048**3


def require_agreement(results: dict[str, Result]) -> None:
    """Exit if the first losses differ by more than a relative 1e-3: then the contenders did not do the same work."""
    losses = {name: result.first_loss for name, result in results.items()}
    reference = next(iter(losses.values()))
    # isclose is False for NaN.
    if not all(math.isclose(loss, reference, rel_tol=TOLERANCE) for loss in losses.values()):
        sys.exit(f"the first losses do not agree: {losses}")


def ratios(seconds: Sequence[float], others: Sequence[float]) -> list[float]:
    """Return the ratio of each round: a disturbance that slows both cancels."""
    return [a / b for a, b in zip(seconds, others, strict=True)]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Format the median, with the least and the greatest in brackets."""
    middle, low, high = (f"{f(values):.{digits}f}" for f in (statistics.median, min, max))
    return f"{middle} ({low} to {high})"


def processor() -> str:
    """Return the name of the processor, as far as the system reports it."""
    about = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", about.read_text()) if about.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
