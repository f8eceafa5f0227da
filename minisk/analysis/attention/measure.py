"""Measure which branch the selective kernels of a network choose, image by image.

    a: (N, M, C), the attention of one unit: N images, M branches, C channels; Σ_m a = 1
    k_m: receptive field of branch m in pixels of its input, dilation · (kernel - 1) + 1
    value[n,c] = a[n,large,c] - a[n,small,c]      every unit has two branches: the paper's a₅ₓ₅ - a₃ₓ₃
    value[n,c] = Σ_m a[n,m,c] · k_m               otherwise: the expected receptive field, in pixels

For two branches, both rise and fall together: Σ_m a_m k_m = (k_small + k_large + (k_large - k_small) · value) / 2.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ...autograd import Tensor, no_grad
from ...data import Dataset, normalize
from ...data.dataset import Drawn
from ...errors import DataError, MiniskError
from ...models import SKConv
from ...nn import Module, evaluation_mode
from .views import Condition

Floats = NDArray[np.float64]

_VIEWS_AT_ONCE = 48  # in one forward; at 224 pixels, an SKNet-50 needs 20 MB for each


class Unit(NamedTuple):
    """One selective kernel of a network.

    name: as in the paper, SK_2_3 is the third unit of stage 2, the stem being stage 1; otherwise the module's name.
    stage: its number, or 0. fields: receptive field of each branch, in pixels, (M,).
    """

    name: str
    stage: int
    module: SKConv
    fields: Floats


def selective_units(model: Module) -> list[Unit]:
    """Return the selective kernels of a network that have several branches, in order.

    Raises MiniskError if there is none.
    """
    units = []
    for name, module in model.named_modules():
        if isinstance(module, SKConv) and len(module.branches) > 1:
            place = re.fullmatch(r"stages\.(\d+)\.(\d+)\.middle", name)
            stage, unit = (int(place[1]) + 2, int(place[2]) + 1) if place else (0, 0)
            fields = np.array([branch.dilation * (branch.kernel - 1) + 1 for branch in module.branches], dtype=float)
            units.append(Unit(f"SK_{stage}_{unit}" if place else name, stage, module, fields))
    if not units:
        raise MiniskError("attention: the network has no selective kernel with several branches")
    return units


def last_of_stages(units: Sequence[Unit]) -> list[int]:
    """Return the positions of the last unit of each stage; these are the units that the paper's figures show."""
    return list({unit.stage if unit.stage else unit.name: i for i, unit in enumerate(units)}.values())


def measures_field(units: Sequence[Unit]) -> bool:
    """Return whether the value is the expected receptive field: a unit has more than two branches."""
    return any(len(unit.fields) > 2 for unit in units)


def value_name(units: Sequence[Unit]) -> str:
    """Return the words for the value of these units, for figures and tables."""
    if measures_field(units):
        return "expected receptive field, pixels"
    if all(sorted(unit.fields) == [3, 5] for unit in units):
        return "mean of a₅ₓ₅ − a₃ₓ₃"
    return "mean of a(large) − a(small)"


def channel_values(unit: Unit, attention: NDArray[Any], as_field: bool) -> Floats:
    """Return the value of each image and channel, float64 (N, C).

    Args:
        unit: with M branches.
        attention: (N, M, C).
        as_field: the expected receptive field, in pixels; otherwise the difference of two branches.
    """
    a = attention.astype(np.float64)
    if as_field:
        return np.einsum("nmc,m->nc", a, unit.fields)
    small, large = np.argsort(unit.fields, kind="stable")
    return a[:, large] - a[:, small]


@dataclass(frozen=True)
class Measurement:
    """What one pass over a data set of strips measured, for U units, V views and the n images that could be read.

    Attributes:
        units: the names.
        value_name: what the values are.
        conditions: the V views.
        values: mean over the channels, float64 (n, V, U).
        channels: for each unit, the mean over the images, float64 (V, C).
        original_channels: for each unit, float32 (n, C) of the original view; empty unless asked for.
        positions: of the n images in the data set. labels: their classes.
        broken: why each of the other images could not be read.
        forward_seconds, seconds: of the network alone, and of all.
    """

    units: list[str]
    value_name: str
    conditions: tuple[Condition, ...]
    values: Floats
    channels: list[Floats]
    original_channels: list[NDArray[np.float32]]
    positions: NDArray[np.int64]
    labels: NDArray[np.int64]
    broken: list[str]
    forward_seconds: float
    seconds: float


class AttentionMeter:
    """Runs strips through a network in evaluation mode, and returns the attention of each unit.

    Args:
        model: maps normalised images (N, 3, size, size) to logits.
        normalization: `mean` and `std` of each channel, in 0 … 1.
        views: V, the number of views in a strip.

    Attributes:
        forward_seconds: that the network took so far.
    """

    def __init__(self, model: Module, normalization: dict[str, Any], views: int) -> None:
        self.model, self.normalization, self.views = model, normalization, views
        self.units = selective_units(model)
        self.as_field = measures_field(self.units)
        self.device = next(model.parameters()).device
        self.forward_seconds = 0.0

    def attention(self, strips: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """Return, for each unit, the attention (n, V, M, C) of strips (n, 3, V·size, size)."""
        n, _, height, size = strips.shape
        views = strips.reshape(n, 3, self.views, height // self.views, size).transpose(0, 2, 1, 3, 4)
        images = normalize(views.reshape(n * self.views, 3, -1, size), **self.normalization)
        started = time.perf_counter()
        with no_grad(), evaluation_mode(self.model):
            self.model(Tensor(images).to(self.device))
            found = [unit.module.attention for unit in self.units]
            arrays = [each.to("cpu").numpy() for each in found if each is not None]
        self.forward_seconds += time.perf_counter() - started
        return [array.reshape(n, self.views, *array.shape[1:]) for array in arrays]

    def values(self, strips: NDArray[np.uint8]) -> list[Floats]:
        """Return, for each unit, the value of each view and channel, (n, V, C)."""
        found = []
        for unit, attention in zip(self.units, self.attention(strips), strict=True):
            n, views = attention.shape[:2]
            flat = channel_values(unit, attention.reshape(n * views, *attention.shape[2:]), self.as_field)
            found.append(flat.reshape(n, views, -1))
        return found


def measure_attention(
    model: Module,
    strips: Dataset,
    conditions: tuple[Condition, ...],
    normalization: dict[str, Any],
    keep_channels: bool = False,
    progress: bool = False,
) -> Measurement:
    """Run every image through the network once in each view. An image that can't be read is left out.

    Args:
        model: a network with selective kernels; its modes are restored afterwards.
        strips: a data set of strips with these views, see `views`.
        conditions: the views.
        normalization: `mean` and `std` of each channel, in 0 … 1.
        keep_channels: also keep each channel's value in the original view, which `area_effects` needs.
        progress: show a bar on a terminal.

    Raises:
        DataError: no image can be read.
        MiniskError: the network has no selective kernel with several branches.
    """
    started = time.perf_counter()
    meter = AttentionMeter(model, normalization, len(conditions))
    seen = _Seen(meter.units, keep_channels)
    with tqdm(total=len(strips), desc="attention", unit=" images", disable=None if progress else True) as bar:
        for indices, drawn in _drawn(strips, max(1, _VIEWS_AT_ONCE // len(conditions))):
            unread = [index for index, _ in drawn.broken]
            seen.broken += [reason for _, reason in drawn.broken]
            if len(unread) < len(indices):
                seen.add(meter.values(drawn.images), np.setdiff1d(indices, unread), drawn.labels)
            bar.update(len(indices))
    if not seen.values:
        raise DataError(f"attention: none of {len(strips)} images can be read, the first: {seen.broken[0]}")
    values = np.concatenate(seen.values)
    return Measurement(
        units=[unit.name for unit in meter.units],
        value_name=value_name(meter.units),
        conditions=conditions,
        values=values,
        channels=[total / len(values) for total in seen.channel_sums],
        original_channels=[np.concatenate(parts) for parts in seen.original_channels if parts],
        positions=np.concatenate(seen.positions),
        labels=np.concatenate(seen.labels),
        broken=seen.broken,
        forward_seconds=meter.forward_seconds,
        seconds=time.perf_counter() - started,
    )


class _Seen:
    """What was measured so far: parts of each array of a Measurement, and sums of its `channels`."""

    def __init__(self, units: Sequence[Unit], keep_channels: bool) -> None:
        self.keep_channels = keep_channels
        self.channel_sums: list[Any] = [0.0] * len(units)
        self.original_channels: list[list[NDArray[np.float32]]] = [[] for _ in units]
        self.values: list[Floats] = []
        self.positions: list[NDArray[np.int64]] = []
        self.labels: list[NDArray[np.int64]] = []
        self.broken: list[str] = []

    def add(self, found: list[Floats], positions: NDArray[np.int64], labels: NDArray[np.int64]) -> None:
        """Add some images: for each unit the values (n, V, C), and their positions and labels, (n,)."""
        self.values.append(np.stack([each.mean(axis=2) for each in found], axis=2))
        self.positions.append(positions)
        self.labels.append(labels)
        for i, each in enumerate(found):
            self.channel_sums[i] = self.channel_sums[i] + each.sum(axis=0)
            if self.keep_channels:
                self.original_channels[i].append(each[:, 0].astype(np.float32))


def _drawn(strips: Dataset, at_once: int) -> Iterator[tuple[NDArray[np.int64], Drawn]]:
    """Yield indices and what was drawn for them, in stored order; a thread decodes one batch ahead."""
    batches = [np.arange(i, min(i + at_once, len(strips))) for i in range(0, len(strips), at_once)]
    with ThreadPoolExecutor(1) as pool:
        rng = np.random.default_rng(0)  # a StripView draws nothing from it
        ahead = pool.submit(strips.draw, batches[0], rng)
        for i, indices in enumerate(batches):
            drawn = ahead.result()
            if i + 1 < len(batches):
                ahead = pool.submit(strips.draw, batches[i + 1], rng)
            yield indices, drawn
