"""Paired statistics of attention: how a unit's value changes with the view, and how it goes with the object's area.

    d[n] = value of image n in one view - value in the other          its mean over n is the effect
    e[c] = mean over the images of the same change in channel c       its mean over c is the same effect

The interval and the first p-value concern the images: would other images show the change, in this network? The second
p-value concerns the channels: a network with random weights changes its attention systematically too, but in a random
direction in each channel. An effect counts as found only if both p-values are small, so p is the larger one. Then p is
corrected for the number of units (Holm 1979).

Each p-value is that of a sign-flip test of the mean: under the hypothesis, d and -d (e and -e) are equally likely. The
channels of a unit of random weights fulfil it exactly: the rows of fc2 are independent and symmetric around 0.
Sources: Fisher, *The Design of Experiments*, 1935 (sign flips); Efron 1979 (bootstrap); Berger 1982 (the larger p).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import ShapeError
from .measure import Measurement
from .views import BLURRED, DRAWN, ENLARGED, ORIGINAL, Condition

Floats = NDArray[np.float64]

RESAMPLES = 4999  # the least p-value is 1 / 5000
SIGNIFICANT = 0.01  # not 0.05: a report has several comparisons, and p is corrected for the units of one of them
_BLOCK = 1_000_000  # random numbers drawn at once


class Comparison(NamedTuple):
    """Two views that are compared: the effect is the value of `after` minus that of `before`."""

    name: str
    scale: float
    after: Condition
    before: Condition


class Effect(NamedTuple):
    """The paired change of one unit.

    n: images. mean: of the change; low, high: its 95 % bootstrap interval over the images.
    effect_size: mean / standard deviation of the images' changes (Cohen's d_z); 0 if nothing changes.
    rising_images, rising_classes: share of those whose (mean) change is above 0.
    p_images, p_channels: see the top of the file. p: the larger, corrected for the number of units.
    """

    unit: str
    n: int
    mean: float
    low: float
    high: float
    effect_size: float
    rising_images: float
    rising_classes: float
    p_images: float
    p_channels: float
    p: float

    @property
    def is_found(self) -> bool:
        """Whether the effect is larger than chance explains, over images and over channels."""
        return self.p < SIGNIFICANT


class AreaEffect(NamedTuple):
    """Spearman's rank correlation of one unit's value with the area of the object; the other fields as of Effect."""

    unit: str
    n: int
    correlation: float
    low: float
    high: float
    p_images: float
    p_channels: float
    p: float

    @property
    def is_found(self) -> bool:
        """Whether the correlation is larger than chance explains, over images and over channels."""
        return self.p < SIGNIFICANT


def comparisons_of(conditions: Sequence[Condition]) -> list[Comparison]:
    """Return the comparisons that these views allow, for each scale: the paper's, blur alone, size without blur."""
    found = []
    for scale in sorted({condition.scale for condition in conditions} - {1.0}):
        enlarged, blurred, drawn = (Condition(kind, scale) for kind in (ENLARGED, BLURRED, DRAWN))
        found += [
            Comparison("enlarged", scale, enlarged, ORIGINAL),
            Comparison("blur alone", scale, blurred, ORIGINAL),
            Comparison("size without blur", scale, enlarged, blurred),
            Comparison("drawn larger", scale, drawn, ORIGINAL),
        ]
    return [one for one in found if {one.after, one.before} <= set(conditions)]


def effects_of(
    measured: Measurement, comparison: Comparison, resamples: int = RESAMPLES, seed: int = 0
) -> list[Effect]:
    """Return the effect of a comparison in each unit of a network."""
    after, before = (measured.conditions.index(view) for view in (comparison.after, comparison.before))
    changes = measured.values[:, after] - measured.values[:, before]
    channel_changes = [channels[after] - channels[before] for channels in measured.channels]
    return paired_effects(measured.units, changes, channel_changes, measured.labels, resamples, seed)


def paired_effects(
    units: Sequence[str],
    changes: Floats,
    channel_changes: Sequence[Floats],
    labels: NDArray[np.int64],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Effect]:
    """Return the statistics of paired changes, one Effect for each unit.

    Args:
        units: U names.
        changes: of each image and unit, (n, U).
        channel_changes: for each unit, the mean change of its channels, (C,).
        labels: the class of each image, (n,).
        resamples: bootstrap samples, and sign flips.
        seed: of both.

    Raises:
        ShapeError: the shapes do not fit together, or there is no image.
    """
    n = len(changes)
    if n == 0 or changes.shape != (n, len(units)) or labels.shape != (n,) or len(channel_changes) != len(units):
        found = f"changes {changes.shape}, labels {labels.shape}, {len(channel_changes)} units with channels"
        raise ShapeError(f"paired_effects: {found}, expected (n, {len(units)}), (n,), {len(units)}; n from 1")
    rng = _stream(seed)
    low, high = bootstrap_interval(lambda rows: changes[rows].mean(axis=1), n, resamples, rng)
    p_images = sign_flip_p(changes, resamples, rng)
    p_channels = np.array([sign_flip_p(each[:, np.newaxis], resamples, rng)[0] for each in channel_changes])
    p = holm(np.maximum(p_images, p_channels))
    of_classes = np.stack([changes[labels == label].mean(axis=0) for label in np.unique(labels)])
    mean, deviation = changes.mean(axis=0), changes.std(axis=0, ddof=1) if n > 1 else np.zeros(len(units))
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(mean == 0, 0.0, mean / deviation)
    rising = (changes > 0).mean(axis=0), (of_classes > 0).mean(axis=0)
    columns = (mean, low, high, size, *rising, p_images, p_channels, p)
    return [Effect(unit, n, *(float(column[i]) for column in columns)) for i, unit in enumerate(units)]


def area_effects(measured: Measurement, areas: Floats, resamples: int = RESAMPLES, seed: int = 0) -> list[AreaEffect]:
    """Return the correlation of each unit's value in the original view with the area of the object.

    Args:
        measured: with original_channels.
        areas: of the object in each image of the data set, in any unit; NaN where it is not known.
        resamples, seed: as of `paired_effects`.

    Raises:
        ShapeError: fewer than three images have an area, or the channels were not kept.
    """
    known = np.isfinite(areas[measured.positions])
    if known.sum() < 3 or not measured.original_channels:
        raise ShapeError(
            f"area_effects: {known.sum()} images have an area, expected three, and channels that were kept"
        )
    rng = _stream(seed)
    weights = standard_ranks(areas[measured.positions][known])
    ranks = np.stack([standard_ranks(column) for column in measured.values[known, 0].T], axis=1)

    def correlation(rows: NDArray[np.int64]) -> Floats:
        x, y = weights[rows], ranks[rows]
        x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
        scale = np.sqrt((x**2).sum(axis=1, keepdims=True) * (y**2).sum(axis=1))
        return np.divide(np.einsum("bn,bnu->bu", x, y), scale, out=np.zeros(scale.shape), where=scale > 0)

    n = len(weights)
    r = weights @ ranks
    low, high = bootstrap_interval(correlation, n, resamples, rng)
    as_large = np.zeros(len(r))
    for count in _blocks(resamples, n):
        shuffled = rng.permuted(np.tile(weights, (count, 1)), axis=1)
        as_large += (np.abs(shuffled @ ranks) >= np.abs(r) - 1e-12).sum(axis=0)
    p_images = (1 + as_large) / (1 + resamples)
    slopes = [weights @ channels[known].astype(np.float64) for channels in measured.original_channels]
    p_channels = np.array([sign_flip_p(slope[:, np.newaxis], resamples, rng)[0] for slope in slopes])
    columns = (r, low, high, p_images, p_channels, holm(np.maximum(p_images, p_channels)))
    return [AreaEffect(unit, n, *(float(column[i]) for column in columns)) for i, unit in enumerate(measured.units)]


def standard_ranks(values: NDArray[Any]) -> Floats:
    """Return the ranks of (n,) values, equal values sharing theirs, shifted to mean 0 and scaled to length 1."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse.ravel()]
    centred = ranks - ranks.mean()
    length = float(np.sqrt((centred**2).sum()))
    return np.asarray(centred / length if length else centred)


def sign_flip_p(changes: Floats, resamples: int, rng: np.random.Generator) -> Floats:
    """Return the two-sided p-value of each column's mean, (U,), against random signs of the n rows.

    Args:
        changes: (n, U).
        resamples: random sets of signs; the least p-value is 1 / (resamples + 1).
        rng: draws the signs; the columns share them.
    """
    observed = np.abs(changes.sum(axis=0))
    slack = 1e-12 * np.abs(changes).sum(axis=0)  # sums in another order differ in their last bits
    as_large = np.zeros(changes.shape[1])
    for count in _blocks(resamples, len(changes)):
        signs = rng.integers(0, 2, (count, len(changes)), dtype=np.int8) * 2.0 - 1
        as_large += (np.abs(signs @ changes) >= observed - slack).sum(axis=0)
    return np.asarray((1 + as_large) / (1 + resamples))


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], Floats], n: int, resamples: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Return the 2.5 % and 97.5 % points, (U,) each, of a statistic over samples of n rows with replacement.

    Args:
        statistic: returns (B, U) for the indices of B samples, (B, n).
        n, resamples, rng: rows, samples, and what draws them.
    """
    samples = np.concatenate([statistic(rng.integers(0, n, (count, n))) for count in _blocks(resamples, 8 * n)])
    low, high = np.percentile(samples, [2.5, 97.5], axis=0)
    return low, high


def _stream(seed: int) -> np.random.Generator:
    # With a key of its own: the same seed may have drawn the network's weights, and signs like theirs are no test.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(5,)))


def _blocks(resamples: int, each: int) -> list[int]:
    """Divide resamples into blocks, so that `each` numbers for every resample take about 8 MB in all."""
    block = max(1, _BLOCK // each)
    return [min(block, resamples - first) for first in range(0, resamples, block)]


def holm(p: Floats) -> Floats:
    """Return p-values (U,) corrected for their number by the step-down method of Holm (1979)."""
    order = np.argsort(p, kind="stable")
    steps = p[order] * np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    return corrected
