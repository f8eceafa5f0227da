"""Measuring one input: slopes along lines through a point, and the search for the elements that are wrong.

    s = Σ w · f(x)    w: output weights, one array per output, of its shape    g: gradients, of the inputs' shapes

An index such as (2, 1) names one element; a *part* is a set of elements, given by their flat positions.
"""

import functools
import math
from typing import Any

import numpy as np

from .differences import Deviation, Slope, Status, Vector, measure, measured_noise, random_signs
from .probes import magnitude, scale_of
from .report import GradcheckReport, Row, describe_pattern
from .subjects import Arrays, Subject

Index = tuple[int, ...]

SMALL = 16  # parts of at most this many elements are not divided further: their elements are measured singly
PARTS = 8  # a larger part is divided into this many
CLEARED = 0.1  # a part that agrees is dropped if it explains less than this share of the residual
LIMIT = 1024  # in inputs with more elements only the worst parts are followed (unless mode is "full")
BEAM = 8  # this many of them
CONFIRMED = 50  # this many of the worst elements are measured again with every ladder


class Point:
    """One point and one set of output weights; measures slopes along lines through the point.

    Args:
        subject: what is checked; its `arrays` are the point.
        outputs: the outputs at the point.
        weights: one array per output, of its shape.
        gradients: the gradient of Σ weights · outputs under test, one array per input.
    """

    def __init__(self, subject: Subject, outputs: Arrays, weights: Arrays, gradients: Arrays) -> None:
        self.subject = subject
        self.outputs = outputs
        self.weights = weights
        self.gradients = gradients
        self.dtype = str(subject.arrays[0].dtype)
        self.size = magnitude(subject, outputs, weights, gradients) or 1.0
        self.noise = 4 * float(np.finfo(self.dtype).eps) * self.size  # a lower bound
        self.noise_of_input: dict[int, float] = {}  # the measured noise, where it was needed

    def deviation(self, i: int, direction: Vector) -> Deviation:
        """Return t → Σ w·[f(x + t·v) - f(x)] - g·(t·v) for input i, where t·v is the move after rounding."""
        array = self.subject.arrays[i]

        def deviate(t: float) -> float:
            moved = (array + t * direction).astype(array.dtype)
            arrays = list(self.subject.arrays)
            arrays[i] = moved
            change = 0.0
            for weight, new, old in zip(self.weights, self.subject.evaluate(arrays), self.outputs, strict=True):
                change += float((weight * (new.astype(np.float64) - old)).sum())
            return change - float((self.gradients[i] * (moved.astype(np.float64) - array)).sum())

        return deviate

    def measure_direction(self, i: int, direction: Vector, ladder_count: int | None = None) -> Slope:
        """Measure input i along a direction, given in units of the input's scale."""
        deviation = functools.cache(self.deviation(i, direction * scale_of(self.subject.arrays[i])))
        noise = self.noise_of_input.get(i, self.noise)
        slope = measure(deviation, noise, self.size, self.dtype, ladder_count)
        if slope.fails and i not in self.noise_of_input:
            # The function may round more than the lower bound: measure its noise once, and try again.
            noise = max(self.noise, measured_noise(deviation, self.dtype))
            self.noise_of_input[i] = noise
            slope = measure(deviation, noise, self.size, self.dtype, ladder_count)
        return slope

    def measure_element(self, i: int, index: Index, ladder_count: int | None = None) -> Slope:
        """Measure one element of input i.

        Steps have the input's scale. If they leave the function's domain, the element's own size is used instead.
        """
        array = self.subject.arrays[i]
        unit = np.zeros(array.shape)
        unit[index] = 1.0
        slope = self.measure_direction(i, unit, ladder_count)
        own_size = abs(float(array[index])) / scale_of(array)
        if math.isinf(slope.error) and own_size > 0:
            slope = self.measure_direction(i, own_size * unit, ladder_count)
            return Slope(slope.status, slope.residual / own_size, slope.error / own_size)
        return slope

    def make_row(self, i: int, index: Index, slope: Slope) -> Row:
        """Return the table row of one element whose slope was measured."""
        scale = scale_of(self.subject.arrays[i])
        analytic = float(self.gradients[i][index])
        numeric = analytic + slope.residual / scale
        return Row(self.subject.names[i], index, analytic, numeric, slope.error / scale, slope.status.value)


def locate(point: Point, i: int, residual: float, mode: str, report: GradcheckReport) -> list[Row]:
    """Measure elements of input i, and add to the report what the wrong elements have in common.

    Args:
        point: where to measure.
        i: which input.
        residual: the residual along a direction through all elements, which the wrong elements must explain.
        mode: "full" measures every element; otherwise those that failing parts lead to.
        report: receives the errors, the notes and the counts of this input.

    Returns:
        The worst elements first, confirmed with every ladder.
    """
    name, gradient = point.subject.names[i], point.gradients[i]
    elements = list(np.ndindex(gradient.shape)) if mode == "full" else _suspects(point, i, abs(residual))
    slopes = {index: point.measure_element(i, index, ladder_count=1) for index in elements}
    worst = sorted(elements, key=lambda index: -slopes[index].distance)[:CONFIRMED]
    for index in worst:
        if slopes[index].fails:
            slopes[index] = point.measure_element(i, index)
    report.summaries[name].elements = len(elements)
    if gradient.size <= LIMIT or mode == "full":
        failing = np.zeros(gradient.shape, dtype=bool)
        numeric = gradient.astype(np.float64)
        for index, slope in slopes.items():
            numeric[index] = point.make_row(i, index, slope).numeric
            failing[index] = slope.fails
        report.errors[name] = gradient - numeric
        report.summaries[name].failing = int(failing.sum())
        if any(slopes[index].status is Status.DIFFERS for index in worst):
            report.notes += describe_pattern(name, gradient, numeric, failing)
    return [point.make_row(i, index, slopes[index]) for index in worst]


def _suspects(point: Point, i: int, residual: float) -> list[Index]:
    """Divide input i into parts, and follow those that fail or can explain the residual down to their elements."""
    shape, size = point.gradients[i].shape, point.gradients[i].size
    positions = np.arange(size).reshape(shape)
    signs = random_signs(np.random.default_rng(0), shape)
    parts: list[Any] = [positions.ravel()]
    is_everywhere = False
    while not is_everywhere and any(part.size > SMALL for part in parts):
        parts = [smaller for part in parts for smaller in np.array_split(part, PARTS)]
        slopes = [point.measure_direction(i, np.where(np.isin(positions, part), signs, 0.0)) for part in parts]
        suspected = [k for k, slope in enumerate(slopes) if _is_suspected(slope, residual)]
        if size <= LIMIT:
            is_everywhere = 2 * len(suspected) > len(parts)
        suspected.sort(key=lambda k: -slopes[k].distance)
        if size > LIMIT:
            suspected = suspected[:BEAM]
        parts = [parts[k] for k in suspected]
    return [tuple(int(n) for n in np.unravel_index(position, shape)) for part in parts for position in part]


def _is_suspected(slope: Slope, residual: float) -> bool:
    """Return whether a part fails, or agrees but can explain the residual: near kinks the error estimate is large."""
    is_too_small = abs(slope.residual) + slope.error < CLEARED * residual  # False if NaN
    return slope.fails or not is_too_small
