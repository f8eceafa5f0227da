"""Time a training step (forward, backward, SGD with momentum) of a model against PyTorch's.

    python benchmarks/step.py sknet_small --batch-size 128
    python benchmarks/step.py sknet29 --batch-size 8

Same weights, batch and number of threads; rounds of both are interleaved, so that a machine that slows down slows both.
Set OPENBLAS_NUM_THREADS (or the like) for NumPy; --threads is PyTorch's.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch_twin import twin

import minisk as ms
from minisk import models, ops
from minisk.optim import SGD
from minisk.summary import summarize

SETTINGS = {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-4, "nesterov": True}


def minisk_step(model: models.ResidualNet, x: np.ndarray, y: np.ndarray) -> Callable[[], float]:
    optimizer = SGD(model.parameters(), **SETTINGS)
    images, labels = ms.tensor(x), ms.tensor(y)

    def step() -> float:
        loss = ops.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_step(model: torch.nn.Module, x: np.ndarray, y: np.ndarray) -> Callable[[], float]:
    optimizer = torch.optim.SGD(model.parameters(), **SETTINGS)
    images, labels = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> float:
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def in_mode(kernels: str, step: Callable[[], float]) -> Callable[[], float]:
    """The step with MINISK_KERNELS set, which every launch reads."""

    def run() -> float:
        os.environ["MINISK_KERNELS"] = kernels
        return step()

    return run


def timed(step: Callable[[], float]) -> float:
    started = time.perf_counter()
    step()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=models.NAMES)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", type=int, help="pixels (default: the model's own)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--kernels", default="auto", help="modes of MINISK_KERNELS, as auto,numpy (default: auto)")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size = arguments.size or models.input_size(arguments.model)
    model = models.create(arguments.model)
    random = np.random.default_rng(0)
    x = random.standard_normal((arguments.batch_size, 3, size, size)).astype(np.float32)
    y = random.integers(0, model.classifier.weight.shape[0], arguments.batch_size)
    flops = 6 * summarize(model, (3, size, size)).macs * arguments.batch_size
    steps = {"PyTorch": torch_step(twin(model).train(), x, y)}
    for mode in arguments.kernels.split(","):
        steps[f"minisk {mode}"] = in_mode(mode, minisk_step(model, x, y))
    losses = {name: step() for name, step in steps.items()}  # warm-up, and a check that both compute the same
    print(f"{platform.processor() or platform.machine()}, {arguments.threads} threads, PyTorch {torch.__version__}")
    print(f"{arguments.model}, batch {arguments.batch_size}, {size} pixels; first losses {losses}")
    times = {name: [] for name in steps}
    for _ in range(arguments.rounds):
        for name, step in steps.items():
            times[name].append(timed(step))
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        spread = f"{min(seconds) * 1e3:.0f} to {max(seconds) * 1e3:.0f}"
        ratios = sorted(a / b for a, b in zip(seconds, times["PyTorch"], strict=True))
        print(
            f"{name:13s} median {middle * 1e3:8.1f} ms ({spread}), {flops / middle / 1e9:6.1f} GF/s, "
            f"{arguments.batch_size / middle:6.1f} images/s, "
            f"{statistics.median(ratios):.2f} × PyTorch ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


if __name__ == "__main__":
    main()
