"""Time augmentation and batching, and how long a training step waits for its batch.

    OPENBLAS_NUM_THREADS=1 python benchmarks/data.py
    OPENBLAS_NUM_THREADS=1 python benchmarks/data.py --model sknet_small --steps 20

Images are random bytes of CIFAR's size. The first table is made by one thread with nothing beside it: images per second
of one core. The second is what a consumer that does nothing gets, and what the workers' start costs each epoch. With
--model, the third is a training step: milliseconds per batch in all, and in next(batch) alone.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator

import numpy as np

import minisk as ms
from minisk import models, ops
from minisk.data import Augment, Batch, ImageDataset, Loader, Mix
from minisk.optim import SGD

AUGMENTATIONS = {
    "none": (None, None),
    "crop, mirror": (Augment(), None),
    "cutout alone": (Augment(crop_padding=0, mirror=False, cutout=16), None),
    "jitter alone": (Augment(crop_padding=0, mirror=False, jitter=0.4), None),
    "crop, mirror, cutout": (Augment(cutout=16), None),
    "crop, mirror, mixup": (Augment(), Mix(10, mixup=0.2)),
    "crop, mirror, cutmix": (Augment(), Mix(10, cutmix=1.0)),
    "all": (Augment(cutout=16, jitter=0.4), Mix(10, mixup=0.2, cutmix=1.0)),
}


def waited(batches: Iterable[Batch], seconds: list[float]) -> Iterator[Batch]:
    """Pass batches on, and append to ``seconds`` how long each was waited for: wrap any Loader's epoch in it."""
    iterator = iter(batches)
    while True:
        started = time.perf_counter()
        batch = next(iterator, None)
        if batch is None:
            return
        seconds.append(time.perf_counter() - started)
        yield batch


def waits(loader: Loader, rounds: int) -> tuple[list[float], list[float]]:
    """Run epochs with a consumer that does nothing; return the seconds of their first batches, and of the others."""
    first, others = [], []
    for epoch in range(rounds):
        seconds: list[float] = []
        for _ in waited(loader.epoch(epoch), seconds):
            pass
        first.append(seconds[0])
        others += seconds[1:]
    return first, others


def train_steps(loader: Loader, model_name: str, steps: int) -> tuple[list[float], list[float]]:
    """Train on the first batches; return the seconds of each step in all, and those waited, without the first."""
    model = models.create(model_name, 10).train()
    optimizer = SGD(model.parameters(), lr=0.01, momentum=0.9)
    waiting: list[float] = []
    total: list[float] = []
    started = time.perf_counter()
    for images, labels in waited(loader.epoch(0), waiting):
        loss = ops.cross_entropy(model(ms.tensor(images)), ms.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total.append(time.perf_counter() - started)
        started = time.perf_counter()
        if len(total) > steps:
            break
    return total[1:], waiting[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", choices=models.NAMES, help="also measure training steps of this model")
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    images = random.integers(256, size=(arguments.images, 3, 32, 32), dtype=np.uint8)
    dataset = ImageDataset(images, random.integers(10, size=len(images)), tuple("abcdefghij"), "random")

    def loader(name: str, **options: int) -> Loader:
        augment, mix = AUGMENTATIONS[name]
        return Loader(dataset, arguments.batch_size, shuffle=True, augment=augment, mix=mix, **options)

    print(f"{'one core, no thread':24s} {'images/s':>10s} {'ms/batch':>10s}")
    for name in AUGMENTATIONS:
        middle = statistics.median(waits(loader(name, prefetch=0), arguments.rounds)[1])
        print(f"{name:24s} {arguments.batch_size / middle:10,.0f} {middle * 1e3:10.2f}")
    print(f"\n{'all, prefetch 4':24s} {'images/s':>10s} {'ms/batch':>10s} {'first batch, ms':>16s}")
    for workers in (0, 1, 2):
        first, others = waits(loader("all", prefetch=4, workers=workers), arguments.rounds)
        mean, start = statistics.mean(others), statistics.median(first)
        name = f"{workers} workers" if workers else "a thread"
        print(f"{name:24s} {arguments.batch_size / mean:10,.0f} {mean * 1e3:10.2f} {start * 1e3:16.1f}")
    if arguments.model:
        print(f"\n{'training ' + arguments.model:24s} {'ms/step':>10s} {'waiting, ms':>12s} {'share':>8s}")
        for workers, prefetch in ((0, 0), (0, 2), (1, 2), (2, 4)):
            made_by = f"{workers} workers" if workers else "a thread" if prefetch else "no thread"
            batches = loader("crop, mirror", workers=workers, prefetch=prefetch)
            total, waiting = train_steps(batches, arguments.model, arguments.steps)
            step, wait = statistics.mean(total), statistics.mean(waiting)
            print(f"{made_by:24s} {step * 1e3:10.1f} {wait * 1e3:12.3f} {wait / step:8.2%}")


if __name__ == "__main__":
    main()
