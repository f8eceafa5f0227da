"""Time the overhead of an operation: forward and backward on 2×2 tensors, where almost nothing is computed.

    python benchmarks/overhead.py

A chain of operations is run forward and backward by minisk and by PyTorch, interleaved; the time is per operation.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from contest import ratios, spread

import minisk as ms

CHAIN = 200


def chain(step: Callable[[Any, Any], Any], x: Any, w: Any) -> float:
    """Return the seconds per operation of a chain of operations, forward and backward."""
    started = time.perf_counter()
    y = x
    for _ in range(CHAIN):
        y = step(y, w)
    y.sum().backward()
    return (time.perf_counter() - started) / CHAIN


STEPS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
    "add": (lambda y, w: y + w, lambda y, w: y + w),
    "multiply": (lambda y, w: y * w, lambda y, w: y * w),
    "relu": (lambda y, w: ms.ops.relu(y), lambda y, w: torch.relu(y)),
    "matmul": (lambda y, w: y @ w, lambda y, w: y @ w),
    "reshape": (lambda y, w: y.reshape(2, 2), lambda y, w: y.reshape(2, 2)),
    "softmax": (lambda y, w: ms.ops.softmax(y), lambda y, w: torch.softmax(y, -1)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", type=Path, help="also write the measurements to this file")
    arguments = parser.parse_args()
    data = [[1.0, 0.5], [0.25, 1.0]]
    ours = [ms.tensor(data, requires_grad=True) for _ in range(2)]
    theirs = [torch.tensor(data, requires_grad=True) for _ in range(2)]
    measured = {}
    print(f"{'operation':10s} {'minisk, µs':>11s} {'PyTorch, µs':>12s}   ratio")
    for name, (in_minisk, in_torch) in STEPS.items():
        times = [(chain(in_minisk, *ours), chain(in_torch, *theirs)) for _ in range(arguments.rounds)]
        a, b = zip(*times, strict=True)
        measured[name] = {"minisk": a, "PyTorch": b, "ratios": ratios(a, b)}
        micro = (1e6 * statistics.median(seconds) for seconds in (a, b))
        print("{:10s} {:11.1f} {:12.1f}   ".format(name, *micro) + spread(ratios(a, b)))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(measured, indent=1))


if __name__ == "__main__":
    main()
