"""Measuring one input: lines through a point, and the search for the elements that are wrong."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import probes
from .differences import LADDERS, Deviation, Slope, Status, Vector, measure, measured_noise, random_signs
from .report import GradcheckReport, Row, pattern
from .subjects import Arrays, Subject

LIMIT = 1024  # inputs with more elements are searched by halves (unless mode is "full")
BEAM = 8  # how many of the worst halves are followed
CONFIRMED = 50  # so many of the worst elements are measured with every ladder


class Point:
    """One point and one set of output weights: makes the lines along which slopes are measured."""

    def __init__(self, subject: Subject, outputs: Arrays, weights: Arrays, gradients: Arrays) -> None:
        self.subject, self.outputs, self.weights, self.gradients = subject, outputs, weights, gradients
        self.dtype = str(subject.arrays[0].dtype)
        self.size = probes.magnitude(subject, outputs, weights, gradients) or 1.0
        self.noise = 4 * float(np.finfo(self.dtype).eps) * self.size
        self.measured: dict[int, float] = {}

    def deviation(self, i: int, direction: Vector) -> Deviation:
        """Return t → Σ w·[f(x + t·v) - f(x)] - g·(t·v), where t·v is the move that rounding left of it."""
        array = self.subject.arrays[i]

        def deviate(t: float) -> float:
            moved = (array + t * direction).astype(array.dtype)
            arrays = [moved if j == i else a for j, a in enumerate(self.subject.arrays)]
            parts = zip(self.weights, self.subject.evaluate(arrays), self.outputs, strict=True)
            change = sum(float((w * (new.astype(np.float64) - old)).sum()) for w, new, old in parts)
            return change - float((self.gradients[i] * (moved.astype(np.float64) - array)).sum())

        return deviate

    def along(self, i: int, direction: Vector, ladders: Any = None) -> Slope:
        """Measure input i along a direction, given in units of the input's size."""
        deviation = self.deviation(i, direction * probes.scale_of(self.subject.arrays[i]))
        if i not in self.measured:
            self.measured[i] = max(self.noise, measured_noise(deviation, self.dtype))
        return measure(deviation, self.measured[i], self.size, self.dtype, ladders)

    def element(self, i: int, index: tuple[int, ...], ladders: Any = None) -> Slope:
        """Measure one element; where steps of the input's size leave the domain, with steps of the element's own."""
        array = self.subject.arrays[i]
        unit, own = _unit(array.shape, [index]), abs(float(array[index])) / probes.scale_of(array)
        slope = self.along(i, unit, ladders)
        if math.isinf(slope.error) and own > 0:
            slope = self.along(i, own * unit, ladders)
            return Slope(slope.status, slope.residual / own, slope.error / own)
        return slope

    def row(self, i: int, index: tuple[int, ...], slope: Slope) -> Row:
        scale, analytic = probes.scale_of(self.subject.arrays[i]), float(self.gradients[i][index])
        numeric, estimate = analytic + slope.residual / scale, slope.error / scale
        return Row(self.subject.names[i], index, analytic, numeric, estimate, slope.status.value)


def locate(point: Point, i: int, mode: str, finding: GradcheckReport) -> list[Row]:
    """Measure elements of input i, all of them or those that halving leads to; report what they have in common.

    Returns the worst, confirmed with every ladder.
    """
    name, gradient = point.subject.names[i], point.gradients[i]
    is_complete = gradient.size <= LIMIT or mode == "full"
    elements = list(np.ndindex(gradient.shape)) if is_complete else _halved(point, i)
    slopes = {at: point.element(i, at, LADDERS[point.dtype][:1]) for at in elements}
    ranked = sorted(elements, key=lambda at: abs(slopes[at].residual) if slopes[at].fails else -1.0, reverse=True)
    worst = ranked[:CONFIRMED]
    slopes |= {at: point.element(i, at) for at in worst if slopes[at].fails}
    summary = finding.summaries[name]
    summary.elements = len(elements)
    if is_complete:
        numeric = np.array([point.row(i, at, slopes[at]).numeric for at in elements]).reshape(gradient.shape)
        failing = np.array([slopes[at].fails for at in elements]).reshape(gradient.shape)
        finding.errors[name] = gradient - numeric
        summary.failing = int(failing.sum())
        if any(slopes[at].status is Status.DIFFERS for at in worst):
            finding.notes += pattern(name, gradient, numeric, failing)
    return [point.row(i, at, slopes[at]) for at in worst]


def _halved(point: Point, i: int) -> list[tuple[int, ...]]:
    """Follow the halves with the largest residuals down to single elements."""
    shape = point.subject.arrays[i].shape
    signs = random_signs(np.random.default_rng(0), shape)
    groups = [list(np.ndindex(shape))]
    while any(len(group) > 1 for group in groups):
        halves = [half for g in groups for half in (g[: len(g) // 2], g[len(g) // 2 :]) if half]
        residuals = [abs(point.along(i, signs * _unit(shape, half)).residual) for half in halves]
        ranked = sorted(range(len(halves)), key=lambda k: -np.nan_to_num(residuals[k], nan=np.inf))
        groups = [halves[k] for k in ranked[:BEAM]]
    return [group[0] for group in groups]


def _unit(shape: tuple[int, ...], elements: list[tuple[int, ...]]) -> Vector:
    direction = np.zeros(shape)
    direction[tuple(np.array(elements, dtype=int).reshape(len(elements), len(shape)).T)] = 1.0
    return direction
