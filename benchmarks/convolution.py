"""Time every convolution of a model, forward and both gradients, against PyTorch's.

    OPENBLAS_NUM_THREADS=1 python benchmarks/convolution.py sknet_small --batch-size 128
    OPENBLAS_NUM_THREADS=1 python benchmarks/convolution.py sknet50 --batch-size 4 --only 3x3

One line for a shape: milliseconds of minisk, of PyTorch, and their ratio, each the median of rounds that alternate
between the two, and GF/s of minisk. Last comes the sum over the model, each shape as often as the model has it.
PyTorch's gradients are timed one at a time, as ours. With --cpu-time, the processor's time on one thread is taken,
which a busy machine distorts less.
"""

from __future__ import annotations

import argparse
import collections
import os
import statistics
import time
from collections.abc import Callable

import numpy as np

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("model")
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--rounds", type=int, default=7)
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--only", choices=["1x1", "3x3"], help="kernels of this size alone")
parser.add_argument("--cpu-time", action="store_true")
arguments = parser.parse_args()
if arguments.cpu_time:
    arguments.threads = 1
os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # read when libraries are loaded: so before the imports

import torch  # noqa: E402

import minisk as ms  # noqa: E402
from minisk import models  # noqa: E402
from minisk.cuda import kernels  # noqa: E402
from minisk.cuda.kernels import Geometry  # noqa: E402

Convolution = tuple[tuple[int, ...], tuple[int, ...], Geometry]
WAYS = ("forward", "dx", "dw")
clock = time.process_time if arguments.cpu_time else time.perf_counter


def convolutions(name: str, batch_size: int) -> collections.Counter[Convolution]:
    """Run a model once, and count the shapes it convolves."""
    found: collections.Counter[Convolution] = collections.Counter()
    conv2d, size = kernels.conv2d, models.input_size(name)

    def record(x: np.ndarray, weight: np.ndarray, geometry: Geometry) -> np.ndarray:
        found[x.shape, weight.shape, geometry] += 1
        return conv2d(x, weight, geometry)

    kernels.conv2d = record
    try:
        models.create(name).eval()(ms.tensor(np.zeros((batch_size, 3, size, size), np.float32)))
    finally:
        kernels.conv2d = conv2d
    return found


def contenders(convolution: Convolution) -> list[list[Callable[[], object]]]:
    """What minisk and PyTorch are to do: forward, input gradient, weight gradient."""
    shape, weight_shape, geometry = convolution
    random = np.random.default_rng(0)
    x, weight = (random.standard_normal(s, np.float32) for s in (shape, weight_shape))
    dout = random.standard_normal(
        (shape[0], weight_shape[0], *geometry.output_size(shape[2:], weight_shape[2:])), np.float32
    )
    ours: list[Callable[[], object]] = [
        lambda: kernels.conv2d(x, weight, geometry),
        lambda: kernels.conv2d_input_grad(dout, weight, geometry, shape),
        lambda: kernels.conv2d_weight_grad(x, dout, geometry, weight_shape),
    ]
    xs, ws, gs = map(torch.from_numpy, (x, weight, dout))

    def backward(mask: list[bool]) -> Callable[[], object]:
        return lambda: torch.ops.aten.convolution_backward(
            gs, xs, ws, None, geometry.stride, geometry.padding, geometry.dilation, False, [0, 0], geometry.groups, mask
        )

    def forward() -> object:
        with torch.no_grad():
            return torch.conv2d(xs, ws, None, geometry.stride, geometry.padding, geometry.dilation, geometry.groups)

    return [ours, [forward, backward([True, False, False]), backward([False, True, False])]]


def timed(work: Callable[[], object]) -> float:
    started = clock()
    work()
    return clock() - started


def main() -> None:
    torch.set_num_threads(arguments.threads)
    print(f"{arguments.model}, batch {arguments.batch_size}, {arguments.threads} threads, PyTorch {torch.__version__}")
    print(f"{'milliseconds, minisk / PyTorch = ratio (GF/s)':<58}" + "".join(f"{way:>32}" for way in WAYS))
    totals = np.zeros((2, 3))
    for convolution, count in convolutions(arguments.model, arguments.batch_size).items():
        shape, weight, geometry = convolution
        if arguments.only not in (None, f"{weight[2]}x{weight[3]}"):
            continue
        work = contenders(convolution)
        for side in work:
            for each in side:
                each()
        rounds = [[[timed(each) for each in side] for side in work] for _ in range(arguments.rounds)]
        times = np.array([[statistics.median(r[s][w] for r in rounds) for w in range(3)] for s in range(2)]) * 1e3
        totals += count * times
        h, w = geometry.output_size(shape[2:], weight[2:])
        flops = 2 * shape[0] * h * w * np.prod(weight)
        name = f"{count:>2} × {shape[1]}→{weight[0]} {weight[2]}×{weight[3]}/{geometry.stride[0]} at {shape[2]}"
        name += f", dilation {geometry.dilation[0]}, groups {geometry.groups}"
        cells = [f"{a:.2f} / {b:.2f} = {a / b:.2f} ({flops / a / 1e6:.0f})" for a, b in times.T]
        print(f"{name:<58}" + "".join(f"{cell:>32}" for cell in cells), flush=True)
    print(f"{'all':<58}" + "".join(f"{f'{a:.1f} / {b:.1f} = {a / b:.2f}':>32}" for a, b in totals.T))


if __name__ == "__main__":
    main()
