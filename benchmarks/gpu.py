"""Time minisk on a GPU: each kernel against the limits of the machine, a training step against PyTorch's.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --model sknet50 --batch-size 64 --precision mixed --only step

The limits are measured in the same run: a copy on the device for bytes, a matrix product for arithmetic. A job takes at
least the time to read its inputs and write its outputs once, and to do its arithmetic. PyTorch must be built for CUDA.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from step import SETTINGS, batch, minisk_step, torch_step

from minisk import kernels, models
from minisk.backend import cuda_available, to_device


class Job(NamedTuple):
    """A call of minisk.kernels, the bytes that it moves at least, and its floating-point operations."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    bytes: int
    flops: int = 0


def random_array(*shape: int) -> Any:
    return to_device(np.random.default_rng(0).standard_normal(shape).astype(np.float32), "cuda")


def jobs(images: int, channels: int, pixels: int) -> dict[str, Job]:
    """Return the kernels that SKNet uses, on activations (images, channels, pixels, pixels) of float32."""
    x, y = random_array(images, channels, pixels, pixels), random_array(images, channels, pixels, pixels)
    scale, one = random_array(images, channels), random_array(channels)
    big, groups = x.nbytes, 32
    half = kernels.PoolWindow((2, 2), (2, 2), (0, 0), (pixels // 2, pixels // 2))
    grouped = kernels.ConvGeometry((1, 1), (1, 1), (1, 1), groups)
    pointwise = kernels.ConvGeometry((1, 1), (0, 0), (1, 1), 1)
    few, every = random_array(channels, channels // groups, 3, 3), random_array(channels, channels, 1, 1)
    taps = 2 * x.size * 9 * channels // groups
    return {
        "copy": Job(lambda x: x.copy(), (x,), 2 * big),
        "axpy": Job(kernels.axpy, (scale, x, y), 3 * big),
        "channel_scale": Job(kernels.channel_scale, (scale, x), 2 * big),
        "channel_dot": Job(kernels.channel_dot, (x, y), 2 * big),
        "plane_mean": Job(kernels.plane_mean, (x,), big),
        "batch_norm_train": Job(kernels.batch_norm_train, (x, one, one, 1e-5, True), 2 * big),
        "batch_norm_backward": Job(
            kernels.batch_norm_backward,
            (y, x, one, one, kernels.BatchStatistics(one, one, one), 1e-5, True, True),
            3 * big,
        ),
        "relu": Job(kernels.relu, (x,), 2 * big),
        "relu_grad": Job(kernels.relu_grad, (y, x), 3 * big),
        "softmax over channels": Job(kernels.softmax, (x, 1), 2 * big),
        "max_pool2d": Job(kernels.max_pool2d, (x, half), big + big // 2),
        "avg_pool2d": Job(kernels.avg_pool2d, (x, half), big + big // 4),
        "sgd_momentum": Job(kernels.sgd_momentum, (x, y, x.copy(), *SETTINGS.values()), 5 * big),
        "conv2d 3×3 in groups": Job(kernels.conv2d, (x, few, grouped), 2 * big, taps),
        "… its input gradient": Job(kernels.conv2d_input_grad, (y, few, grouped, x.shape), 2 * big, taps),
        "… its weight gradient": Job(kernels.conv2d_weight_grad, (x, y, grouped, few.shape), 2 * big, taps),
        "conv2d 1×1": Job(kernels.conv2d, (x, every, pointwise), 2 * big, 2 * x.size * channels),
    }


def seconds(call: Callable[..., Any], *args: Any, rounds: int, repeats: int = 10) -> float:
    """Return the median seconds of a call, by the clock of the device, after one call to warm up."""
    import cupy

    call(*args)
    times = []
    for _ in range(rounds):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        for _ in range(repeats):
            call(*args)
        end.record()
        end.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, end) / 1e3 / repeats)
    return statistics.median(times)


def steps_of(model: Any, x: np.ndarray, y: np.ndarray, precision: str) -> dict[str, Callable[[], float]]:
    """Make the same training step for minisk and, if it finds the GPU, for PyTorch."""
    steps, mixed = {}, precision == "mixed"
    with contextlib.suppress(ImportError):
        import torch
        from torch_models import torch_model

        if torch.cuda.is_available():  # before minisk's step, which moves the model to the GPU
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
            steps["PyTorch"] = torch_step(torch_model(model), x, y, "cuda", mixed=mixed)
    steps["minisk"] = minisk_step(model, x, y, "cuda", mixed=mixed)
    return steps


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--channels", type=int, default=256, help="a multiple of 32")
    parser.add_argument("--pixels", type=int, default=32)
    parser.add_argument(
        "--megabytes", type=int, default=512, help="size of the array that is copied to measure the bandwidth"
    )
    parser.add_argument("--matrix", type=int, default=4096, help="rows of the square matrices that measure arithmetic")
    parser.add_argument("--model", choices=models.NAMES, default="sknet29")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--precision", choices=("float32", "tf32", "mixed"), default="float32", help="of the step")
    parser.add_argument("--only", choices=("kernels", "step"), help="time nothing else")
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args(arguments)
    if chosen.precision == "tf32":  # CuPy reads it when it is imported
        os.environ["CUPY_TF32"] = "1"
    if not cuda_available():
        print("no GPU")
        return
    if chosen.only != "step":
        time_kernels(chosen)
    if chosen.only != "kernels":
        time_steps(chosen)


def time_kernels(chosen: argparse.Namespace) -> None:
    memory, matrix = random_array(chosen.megabytes * 2**18), random_array(chosen.matrix, chosen.matrix)
    bandwidth = 2 * memory.nbytes / seconds(memory.copy, rounds=chosen.rounds)
    arithmetic = 2 * chosen.matrix**3 / seconds(lambda: matrix @ matrix, rounds=chosen.rounds)
    print(f"copy {bandwidth / 1e9:.0f} GB/s, matrix product {arithmetic / 1e12:.2f} TFLOP/s")
    for name, job in jobs(chosen.images, chosen.channels, chosen.pixels).items():
        taken = seconds(job.call, *job.args, rounds=chosen.rounds)
        least = {"bytes": job.bytes / bandwidth, "arithmetic": job.flops / arithmetic}
        limit = max(least, key=lambda kind: least[kind])
        print(f"{name:24s} {1e6 * taken:10.1f} µs, {100 * least[limit] / taken:6.1f} % of the {limit} possible")


def time_steps(chosen: argparse.Namespace) -> None:
    size = models.input_size(chosen.model)
    model = models.create(chosen.model)
    images = batch(chosen.batch_size, size, model.classifier.weight.shape[0])
    steps = steps_of(model, *images, chosen.precision)
    losses = {name: step() for name, step in steps.items()}
    print(f"{chosen.model}, batch {chosen.batch_size}, {size} pixels, {chosen.precision}, first losses {losses}")
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(chosen.rounds):  # interleaved: if the GPU slows down, it slows both
        for name, step in steps.items():
            times[name].append(seconds(step, rounds=1, repeats=1))
    for name, taken in times.items():
        middle = statistics.median(taken)
        print(f"{name:24s} {1e3 * middle:10.2f} ms, {chosen.batch_size / middle:.0f} images/s")


if __name__ == "__main__":
    main()
