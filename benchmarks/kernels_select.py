"""Time kernels in mode cpu against their NumPy twins: softmax, select, pooling, Axpy, at SKNet's own shapes.

    OPENBLAS_NUM_THREADS=1 python benchmarks/kernels_select.py

Rounds of both are interleaved; medians in milliseconds, float32. Set OMP_NUM_THREADS for the kernels' threads.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from minisk.cuda import kernels
from minisk.cuda.kernels import Window

ROUNDS = 9
PLANES = [(8, 512, 32, 32), (8, 1024, 16, 16), (8, 2048, 8, 8)]
POOLS: list = [
    ((2, 64, 112, 112), Window((3, 3), (2, 2), (1, 1), (56, 56))),
    ((8, 512, 32, 32), Window((2, 2), (2, 2), (0, 0), (16, 16))),
    ((8, 1024, 16, 16), Window((2, 2), (2, 2), (0, 0), (8, 8))),
]
Case = tuple[str, str, Callable[..., Any], tuple[Any, ...]]


def cases() -> list[Case]:
    """Kernel, shape, function of the seam, arguments."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> np.ndarray[Any, Any]:
        return rng.standard_normal(shape, np.float32)

    rows: list[Case] = []
    for shape in PLANES:
        (n, c, *_), name = shape, "x".join(map(str, shape))
        x, y, dout, a = draw(*shape), draw(*shape), draw(*shape), draw(n, c)
        logits, dweights = draw(n, 2, c), draw(n, 2, c)
        weights = np.exp(logits)
        rows += [
            ("axpy", name, kernels.axpy, (a, x, y)),
            ("channel_scale", name, kernels.channel_scale, (a, x)),
            ("channel_dot", name, kernels.channel_dot, (x, y)),
            ("plane_mean", name, kernels.plane_mean, (x,)),
            ("select", name, kernels.select, (logits, x, y)),
            ("select_grad", name, kernels.select_grad, (dout, dweights, weights, x, y)),
        ]
        for axis in (1, 3):
            for function in (kernels.softmax, kernels.log_softmax):
                rows.append((f"{function.__name__} axis {axis}", name, function, (x, axis)))
            for function in (kernels.softmax_grad, kernels.log_softmax_grad):
                rows.append((f"{function.__name__} axis {axis}", name, function, (dout, x, axis)))
    logits, shares = draw(512, 1000), np.abs(draw(512, 1000))
    rows += [
        ("cross_entropy", "512x1000", kernels.cross_entropy, (logits, shares)),
        ("cross_entropy_grad", "512x1000", kernels.cross_entropy_grad, (np.ones((), np.float32), logits, shares)),
    ]
    for shape, window in POOLS:
        name = f"{'x'.join(map(str, shape))} {window.kernel[0]}x{window.kernel[1]}/{window.stride[0]}"
        x, dout = draw(*shape), draw(*shape[:2], *window.out)
        winner = kernels.max_pool2d(x, window)[1]
        rows += [
            ("max_pool2d", name, kernels.max_pool2d, (x, window)),
            ("max_pool2d_scatter", name, kernels.max_pool2d_scatter, (dout, winner, window, shape)),
            ("max_pool2d_gather", name, kernels.max_pool2d_gather, (x, winner, window)),
            ("avg_pool2d", name, kernels.avg_pool2d, (x, window)),
            ("avg_pool2d_spread", name, kernels.avg_pool2d_spread, (dout, window, shape)),
        ]
    return rows


def timed(mode: str, function: Callable[..., Any], args: tuple[Any, ...]) -> float:
    os.environ["MINISK_KERNELS"] = mode
    started = time.perf_counter()
    function(*args)
    return (time.perf_counter() - started) * 1000


def main() -> None:
    wanted = sys.argv[1:]
    print(f"{'kernel':24} {'shape':22} {'twin ms':>8} {'cpu ms':>8} {'ratio':>6}")
    for kernel, shape, function, args in cases():
        if wanted and not any(word in kernel for word in wanted):
            continue
        for mode in ("numpy", "cpu"):
            timed(mode, function, args)
        pairs = [(timed("numpy", function, args), timed("cpu", function, args)) for _ in range(ROUNDS)]
        twin, cpu = (statistics.median(each) for each in zip(*pairs, strict=True))
        print(f"{kernel:24} {shape:22} {twin:8.3f} {cpu:8.3f} {twin / cpu:6.2f}")


if __name__ == "__main__":
    main()
