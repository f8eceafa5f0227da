"""Measuring one input: lines through a point, and the search for the elements that are wrong."""

import functools
import math

import numpy as np

from . import probes
from .differences import Deviation, Slope, Status, Vector, measure, measured_noise, random_signs
from .report import GradcheckReport, Row, pattern
from .subjects import Arrays, Subject

SMALL = 16  # so many elements are measured one by one; more are first divided
PARTS = 8  # into so many parts, and those that fail again
CLEARED = 0.1  # unless they explain less than this share of what is wrong along the whole
LIMIT = 1024  # in inputs with more elements only the worst parts are followed (unless mode is "full")
BEAM = 8  # so many of them
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

    def along(self, i: int, direction: Vector, count: int | None = None) -> Slope:
        """Measure input i along a direction, given in units of the input's size."""
        deviation = functools.cache(self.deviation(i, direction * probes.scale_of(self.subject.arrays[i])))
        slope = measure(deviation, self.measured.get(i, self.noise), self.size, self.dtype, count)
        if slope.fails and i not in self.measured:  # more rounding than the least there can be?
            self.measured[i] = max(self.noise, measured_noise(deviation, self.dtype))
            slope = measure(deviation, self.measured[i], self.size, self.dtype, count)
        return slope

    def element(self, i: int, index: tuple[int, ...], count: int | None = None) -> Slope:
        """Measure one element; where steps of the input's size leave the domain, with steps of the element's own."""
        array = self.subject.arrays[i]
        unit, own = np.zeros(array.shape), abs(float(array[index])) / probes.scale_of(array)
        unit[index] = 1.0
        slope = self.along(i, unit, count)
        if math.isinf(slope.error) and own > 0:
            slope = self.along(i, own * unit, count)
            return Slope(slope.status, slope.residual / own, slope.error / own)
        return slope

    def row(self, i: int, index: tuple[int, ...], slope: Slope) -> Row:
        scale, analytic = probes.scale_of(self.subject.arrays[i]), float(self.gradients[i][index])
        numeric, estimate = analytic + slope.residual / scale, slope.error / scale
        return Row(self.subject.names[i], index, analytic, numeric, estimate, slope.status.value)


def locate(point: Point, i: int, residual: float, mode: str, finding: GradcheckReport) -> list[Row]:
    """Measure elements of input i, all of them or those that failing parts lead to; report what they have in common.

    residual: along a direction through all of them, which is to be explained.
    Returns the worst, confirmed with every ladder.
    """
    name, gradient = point.subject.names[i], point.gradients[i]
    elements = list(np.ndindex(gradient.shape)) if mode == "full" else _suspects(point, i, abs(residual))
    slopes = {at: point.element(i, at, 1) for at in elements}
    worst = sorted(elements, key=lambda at: -slopes[at].distance)[:CONFIRMED]
    slopes |= {at: point.element(i, at) for at in worst if slopes[at].fails}
    summary = finding.summaries[name]
    summary.elements = len(elements)
    if gradient.size <= LIMIT or mode == "full":
        numeric, failing = gradient.astype(np.float64), np.zeros(gradient.shape, dtype=bool)
        for at, slope in slopes.items():
            numeric[at], failing[at] = point.row(i, at, slope).numeric, slope.fails
        finding.errors[name] = gradient - numeric
        summary.failing = int(failing.sum())
        if any(slopes[at].status is Status.DIFFERS for at in worst):
            finding.notes += pattern(name, gradient, numeric, failing)
    return [point.row(i, at, slopes[at]) for at in worst]


def _suspects(point: Point, i: int, residual: float) -> list[tuple[int, ...]]:
    """Divide input i into parts, and again those that fail or could explain the residual; return their elements."""
    shape, size = point.gradients[i].shape, point.gradients[i].size
    numbers, signs = np.arange(size).reshape(shape), random_signs(np.random.default_rng(0), shape)
    parts, is_everywhere = [numbers.ravel()], False
    while not is_everywhere and any(part.size > SMALL for part in parts):
        parts = [smaller for part in parts for smaller in np.array_split(part, PARTS)]
        slopes = [point.along(i, np.where(np.isin(numbers, part), signs, 0.0)) for part in parts]
        # Among kinks a part agrees with much: it is cleared if the residual cannot come from there.
        left = [k for k, s in enumerate(slopes) if s.fails or not abs(s.residual) + s.error < CLEARED * residual]
        is_everywhere = size <= LIMIT and 2 * len(left) > len(parts)
        worst = sorted(left, key=lambda k: -slopes[k].distance)
        parts = [parts[k] for k in (worst if size <= LIMIT else worst[:BEAM])]
    return [tuple(map(int, np.unravel_index(number, shape))) for part in parts for number in part]
