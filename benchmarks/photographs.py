"""Time decoding and augmenting photographs, beside bare Pillow and PyTorch's DataLoader.

    OPENBLAS_NUM_THREADS=1 python benchmarks/photographs.py TREE
    OPENBLAS_NUM_THREADS=1 python benchmarks/photographs.py TREE --images 6144 --memory

TREE holds photographs as train/CLASS/*. Copies of them are made first, whose shorter side has 320 pixels, as JPEG of
quality 90. Each row is the rate at which one epoch of random parts at 224 pixels, mirrored or not, normalised, float32,
comes to a consumer that does nothing else. "Pillow" is the bare loop of the calls that minisk makes, and the same calls
are in the Dataset of the DataLoader, which is left out where PyTorch is not installed. Rows are interleaved: each round
times all of them. Starting worker processes is part of an epoch for both.

--memory gives the memory of the process and its two workers during one epoch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib.util import find_spec
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
from contest import ratios, resident, spread
from PIL import Image

from minisk.data import IMAGENET_NORMALIZATION, Augment, Loader
from minisk.data.image_folder import ImageFolder
from minisk.data.views import RandomResizedView

SHORTER, SIZE, BATCH = 320, 224, 32
MEAN, STD = IMAGENET_NORMALIZATION["mean"], IMAGENET_NORMALIZATION["std"]
VIEW = RandomResizedView(SIZE)


def prepare(source: Path, folder: Path, count: int) -> list[Path]:
    """Write `count` JPEGs of the photographs of a tree, their shorter side 320 pixels. Return the paths."""
    found = sorted(path for path in (source / "train").rglob("*") if path.is_file())
    paths: list[Path] = []
    for number in range(count):
        original = found[number % len(found)]
        path = folder / "train" / original.parent.name / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number < len(found):
            with Image.open(original) as image:
                share = SHORTER / min(image.size)
                size = (round(share * image.width), round(share * image.height))
                image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
        else:
            path.hardlink_to(paths[number - len(found)])
        paths.append(path)
    return paths


def pillow(path: Path, rng: np.random.Generator) -> np.ndarray:
    """Return what Pillow makes of one photograph: uint8 (3, 224, 224)."""
    with Image.open(path) as image:
        box = VIEW.box(image.width, image.height, rng)
        if min(box[2] - box[0], box[3] - box[1]) >= 2 * SIZE:
            raise SystemExit(f"{path} is large enough to be decoded at half its sides: this loop does not do that")
        part = image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC, box=box)
    if rng.random() < 0.5:
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.ascontiguousarray(np.asarray(part).transpose(2, 0, 1))


def normalized(pixels: np.ndarray) -> np.ndarray:
    """Return uint8 (..., 3, H, W) as float32, in the fewest passes; not by minisk's function, which is measured."""
    scale = 1 / (255 * np.array(STD, np.float32)[:, None, None])
    out = np.multiply(pixels, scale, dtype=np.float32)
    out -= (np.array(MEAN, np.float32) / np.array(STD, np.float32))[:, None, None]
    return out


def pillow_batches(paths: list[Path]) -> Iterable[np.ndarray]:
    rng = np.random.default_rng(0)
    order = rng.permutation(len(paths))
    for first in range(0, len(paths), BATCH):
        yield normalized(np.stack([pillow(paths[index], rng) for index in order[first : first + BATCH]]))


class TorchDataset:
    """The same calls, as a Dataset of PyTorch, which needs no base class."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        import torch

        return torch.from_numpy(normalized(pillow(self.paths[index], np.random.default_rng(index)))), 0


def torch_batches(paths: list[Path], workers: int) -> Iterable[Any]:
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    return DataLoader(TorchDataset(paths), BATCH, shuffle=True, num_workers=workers)  # type: ignore[arg-type]


def rate(batches: Callable[[], Iterable[Any]], images: int) -> float:
    """Return the images per second of one epoch."""
    started = time.perf_counter()
    for _ in batches():
        pass
    return images / (time.perf_counter() - started)


def minisk_batches(dataset: ImageFolder, workers: int) -> Loader:
    mirror = Augment(crop_padding=0)
    return Loader(dataset, BATCH, shuffle=True, augment=mirror, mean=MEAN, std=STD, workers=workers, prefetch=0)


def contenders(paths: list[Path], dataset: ImageFolder, chosen: str) -> dict[str, Callable[[], Iterable[Any]]]:
    """Return what gives the batches of one epoch, for the rows whose name begins with `chosen`, and for Pillow."""
    rows: dict[str, Callable[[], Iterable[Any]]] = {"Pillow": partial(pillow_batches, paths)}
    for workers in (0, 1, 2):
        rows[f"minisk, {workers} workers"] = partial(minisk_batches, dataset, workers)
        if find_spec("torch"):
            rows[f"DataLoader, {workers} workers"] = partial(torch_batches, paths, workers)
    return {row: batches for row, batches in rows.items() if row.startswith(("Pillow", chosen))}


def print_rates(rows: dict[str, Callable[[], Iterable[Any]]], images: int, rounds: int) -> None:
    rates: dict[str, list[float]] = {row: [] for row in rows}
    for _ in range(rounds):
        for row, batches in rows.items():
            rates[row].append(rate(batches, images))
    print(f"{'':24s} {'images/s':>9s}   × Pillow")
    for row, found in rates.items():
        print(f"{row:24s} {statistics.median(found):9.0f}   {spread(ratios(found, rates['Pillow']))}")


def print_memory(dataset: ImageFolder) -> None:
    batches = minisk_batches(dataset, workers=2)
    times = set(np.linspace(0, len(batches) - 1, 10, dtype=int))
    seen = []
    for number, _ in enumerate(batches):
        if number in times:
            processes = [os.getpid(), *(child.pid for child in active_children() if child.pid)]
            seen.append(f"{sum(resident('VmRSS', process) for process in processes) / 2**20:.0f}")
    print(f"one epoch of {len(dataset)} photographs, MiB at ten times of it: {' '.join(seen)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="", metavar="TEXT", help="only those that begin with this, and Pillow")
    parser.add_argument("--memory", action="store_true", help="give memory instead of rates")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        paths = prepare(arguments.tree, Path(name), arguments.images)
        dataset = ImageFolder(name, "train", VIEW)
        if arguments.memory:
            print_memory(dataset)
        else:
            print_rates(contenders(paths, dataset, arguments.rows), arguments.images, arguments.rounds)


if __name__ == "__main__":
    main()
