"""Time the compiled kernels of mode `cpu` against their NumPy formulas on the shapes of SKNet-29's layers, batch 8.

    OPENBLAS_NUM_THREADS=1 python benchmarks/kernels.py
    python benchmarks/kernels.py --only batch_norm --rounds 21

A case is a name, the shapes it is timed on, and a function that makes one call of the seam ready. Rounds of both modes
are interleaved, so that a machine that slows down slows both; a time is the median of its rounds.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from minisk.cuda import kernels

Shape = tuple[int, ...]
Call = Callable[[], object]

BRANCHES: list[Shape] = [(8, 512, 32, 32), (8, 1024, 16, 16), (8, 2048, 8, 8)]
UNITS: list[Shape] = [(8, 256, 32, 32), (8, 512, 16, 16), (8, 1024, 8, 8)]
STEM: list[Shape] = [(8, 64, 32, 32)]
WEIGHTS: list[Shape] = [(2048, 2048, 1, 1), (1024, 64, 3, 3), (512,)]


class Case(NamedTuple):
    name: str
    shapes: list[Shape]
    prepare: Callable[[Shape], Call]


def normal(shape: Shape) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape, np.float32)


def batch_norm_case(shape: Shape, relu: bool = True, training: bool = True, backward: bool = False) -> Call:
    x, weight, bias = 3 + normal(shape), 1 + normal(shape[1:2]) / 4, normal(shape[1:2])
    if not backward and training:
        return partial(kernels.batch_norm_train, x, weight, bias, 1e-5, relu)
    _, found = kernels.batch_norm_train(x, weight, bias, 1e-5, relu)
    if not backward:
        return partial(kernels.batch_norm_apply, x, weight, bias, found, 1e-5, relu)
    return partial(kernels.batch_norm_backward, normal(shape), x, weight, bias, found, 1e-5, relu, training)


def elementwise_case(shape: Shape, name: str, operands: int) -> Call:
    return partial(getattr(kernels, name), *[normal(shape) for _ in range(operands)])


def sgd_case(shape: Shape) -> Call:
    weight, grad, velocity = normal(shape), normal(shape), normal(shape)
    return partial(kernels.sgd_momentum, weight, grad, velocity, 0.0, 0.9, 1e-4, True)


CASES = [
    Case("batch_norm + relu", BRANCHES + UNITS + STEM, batch_norm_case),
    Case("batch_norm + relu backward", BRANCHES + UNITS + STEM, partial(batch_norm_case, backward=True)),
    Case("batch_norm", UNITS, partial(batch_norm_case, relu=False)),
    Case("batch_norm backward", UNITS, partial(batch_norm_case, relu=False, backward=True)),
    Case("batch_norm + relu, evaluation", BRANCHES, partial(batch_norm_case, training=False)),
    Case("add_relu", UNITS, partial(elementwise_case, name="add_relu", operands=2)),
    Case("relu", UNITS, partial(elementwise_case, name="relu", operands=1)),
    Case("relu_grad", UNITS, partial(elementwise_case, name="relu_grad", operands=2)),
    Case("sgd_momentum", WEIGHTS, sgd_case),
]


def timed(mode: str, call: Call) -> float:
    os.environ["MINISK_KERNELS"] = mode
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only kernels whose name holds this")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, float32")
    print(f"{'kernel':<32} {'shape':<20} {'NumPy ms':>9} {'cpu ms':>9} {'times':>6}")
    for case in CASES:
        for shape in case.shapes if arguments.only in case.name else []:
            call = case.prepare(shape)
            times: dict[str, list[float]] = {"numpy": [], "cpu": []}
            for mode in times:  # warm-up; builds the kernel
                timed(mode, call)
            for _ in range(arguments.rounds):
                for mode, seconds in times.items():
                    seconds.append(timed(mode, call))
            formula, kernel = (1e3 * statistics.median(times[mode]) for mode in ("numpy", "cpu"))
            where = "×".join(map(str, shape))
            print(f"{case.name:<32} {where:<20} {formula:9.2f} {kernel:9.2f} {formula / kernel:6.1f}")


if __name__ == "__main__":
    main()
