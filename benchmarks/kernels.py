"""Time the kernels of mode `cpu` against the NumPy reference on the shapes of SKNet-29's layers, batch 8.

    OPENBLAS_NUM_THREADS=1 python benchmarks/kernels.py
    python benchmarks/kernels.py --only batch_norm --rounds 21

A case has a name, shapes, and a function that prepares one call of the dispatch for a shape. Rounds of both modes are
interleaved, so that a slower phase of the machine slows both. A time is the median of its rounds.
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

from minisk import kernels

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


def plane_case(shape: Shape, name: str) -> Call:
    x, y, a = normal(shape), normal(shape), normal(shape[:2])
    operands = {"axpy": (a, x, y), "channel_scale": (a, x), "channel_dot": (y, x), "plane_mean": (x,)}
    return partial(getattr(kernels, name), *operands[name])


def select_case(shape: Shape, backward: bool = False) -> Call:
    x, y, logits = normal(shape), normal(shape), normal((shape[0], 2, shape[1]))
    if not backward:
        return partial(kernels.select, logits, x, y)
    return partial(kernels.select_grad, normal(shape), logits, kernels.softmax(logits, 1), x, y)


def softmax_case(shape: Shape, axis: int, backward: bool = False) -> Call:
    x = normal(shape)
    if not backward:
        return partial(kernels.softmax, x, axis)
    return partial(kernels.softmax_grad, normal(shape), kernels.softmax(x, axis), axis)


def pool_case(shape: Shape, name: str, size: int, stride: int, padding: int) -> Call:
    out = tuple((n + 2 * padding - size) // stride + 1 for n in shape[2:])
    window = kernels.PoolWindow((size, size), (stride, stride), (padding, padding), out)
    x = normal(shape)
    pooled, winner = kernels.max_pool2d(x, window)
    operands = {
        "max_pool2d": (x, window),
        "avg_pool2d": (x, window),
        "avg_pool2d_spread": (pooled, window, shape),
        "max_pool2d_scatter": (pooled, winner, window, shape),
    }
    return partial(getattr(kernels, name), *operands[name])


PLANES = ["axpy", "channel_scale", "channel_dot", "plane_mean"]
POOLS = ["max_pool2d", "max_pool2d_scatter", "avg_pool2d", "avg_pool2d_spread"]

CASES = [
    *[Case(name, BRANCHES, partial(plane_case, name=name)) for name in PLANES],
    Case("select", BRANCHES, select_case),
    Case("select backward", BRANCHES, partial(select_case, backward=True)),
    Case("softmax, axis 1", BRANCHES, partial(softmax_case, axis=1)),
    Case("softmax, axis 1, backward", BRANCHES, partial(softmax_case, axis=1, backward=True)),
    Case("softmax, last axis", BRANCHES, partial(softmax_case, axis=3)),
    Case("softmax, last axis, backward", BRANCHES, partial(softmax_case, axis=3, backward=True)),
    *[Case(f"{n} 3×3/2", [(2, 64, 112, 112)], partial(pool_case, name=n, size=3, stride=2, padding=1)) for n in POOLS],
    *[Case(f"{n} 2×2/2", BRANCHES[:2], partial(pool_case, name=n, size=2, stride=2, padding=0)) for n in POOLS],
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
    parser.add_argument("--only", default="", help="only kernels whose name contains this")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, float32")
    print(f"{'kernel':<32} {'shape':<20} {'NumPy ms':>9} {'cpu ms':>9} {'times':>6}")
    for case in CASES:
        for shape in case.shapes if arguments.only in case.name else []:
            call = case.prepare(shape)
            times: dict[str, list[float]] = {"numpy": [], "cpu": []}
            for mode in times:  # warm-up: builds the kernel
                timed(mode, call)
            for _ in range(arguments.rounds):
                for mode, seconds in times.items():
                    seconds.append(timed(mode, call))
            reference, kernel = (1e3 * statistics.median(times[mode]) for mode in ("numpy", "cpu"))
            where = "×".join(map(str, shape))
            print(f"{case.name:<32} {where:<20} {reference:9.2f} {kernel:9.2f} {reference / kernel:6.1f}")


if __name__ == "__main__":
    main()
