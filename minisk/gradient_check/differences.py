"""The numeric derivative along a line, with an estimate of its own error.

    s(t) = w · f(x + t·v)        r(h) = [s(h) - s(-h)] / 2h  -  g·v

    x: the point    v: the direction    w: the output weights    g: the gradient under test    h: the step

The *residual* r, numeric minus analytic slope, is extrapolated to h = 0, where a correct gradient leaves 0.
Richardson's rule combines central differences at steps that halve. The spread of its table estimates the error
(Ridders, 1982). Steps are grouped in *ladders*, from large to small. Large steps have the least rounding error; small
steps are less likely to cross a kink.
"""

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
# t → s(t) - s(0) minus the change that the gradient under test predicts; NaN where f is not finite.
Deviation = Callable[[float], float]
Ladder = Sequence[float]

LADDERS = {
    "float64": ((2**-8, 2**-9, 2**-10), (2**-14, 2**-15), (2**-19, 2**-20), (2**-24, 2**-25)),
    "float32": ((2**-3, 2**-4, 2**-5), (2**-6, 2**-7), (2**-9, 2**-10)),
}
# At multiples of this step curvature is negligible: deviations from a straight line are rounding.
TINY = {"float64": 2**-26, "float32": 2**-14}
# A residual counts as an error of the gradient if it exceeds this many times its estimated error.
SAFETY = 10.0
# A slope is too noisy if the smallest error it could show exceeds this share of what is measured.
RESOLUTION = {"float64": 1e-5, "float32": 0.05}
# Halving the step halves the jump between one-sided slopes of a smooth function. A larger ratio means a kink.
JUMP_RATIO = 0.75


class Status(enum.Enum):
    """What differences say about a gradient along one line."""

    AGREES = "agrees"
    DIFFERS = "differs"
    KINK = "kink"
    NOISY = "noisy"


@dataclass(frozen=True)
class Slope:
    """The residual (numeric minus analytic slope), its estimated error, and the status that follows."""

    status: Status
    residual: float
    error: float

    @property
    def allowed(self) -> float:
        """Return the largest residual that numerical error can explain."""
        return SAFETY * self.error

    @property
    def fails(self) -> bool:
        """Return whether the slope does not agree with the gradient."""
        return self.status is not Status.AGREES

    @property
    def distance(self) -> float:
        """Return the key by which slopes are ranked: |residual|, infinite if not measurable, -1 if it agrees."""
        if not self.fails:
            return -1.0
        return math.inf if math.isnan(self.residual) else abs(self.residual)


def measure(deviation: Deviation, noise: float, size: float, dtype: str, ladder_count: int | None = None) -> Slope:
    """Try the ladders, largest steps first, until one agrees with the gradient.

    Args:
        deviation: t → deviation of s(t) from the line that the gradient predicts.
        noise: expected rounding error of s.
        size: scale of what is measured: the larger of |slope| and |s|.
        dtype: "float64" or "float32".
        ladder_count: how many ladders to use, from the one with the largest steps; default: all.

    Returns:
        The slope that agrees, or the best-known slope if none does.
    """
    ladders = LADDERS[dtype][:ladder_count]
    slopes: list[Slope] = []
    for k in range(len(ladders)):
        slope = _measure_ladder(deviation, noise, size, dtype, ladders[k:])
        if slope.status is Status.AGREES:
            return slope
        slopes.append(slope)
    conclusive = [slope for slope in slopes if slope.status is not Status.NOISY]
    if conclusive and conclusive[-1].status is Status.KINK:
        # The kink is at the point, or closer than the smallest useful step.
        return conclusive[-1]
    differing = [slope for slope in conclusive if slope.status is Status.DIFFERS]
    best = min(differing or slopes, key=lambda slope: slope.error)
    # If rounding at the smallest step cannot explain the spread of the table, every ladder crosses kinks.
    if not conclusive and SAFETY * noise / LADDERS[dtype][-1][-1] < best.error < math.inf:
        return Slope(Status.KINK, best.residual, best.error)
    return best


def measured_noise(deviation: Deviation, dtype: str) -> float:
    """Return the rounding error of s, estimated from second differences at tiny steps.

    A slope, a kink beyond these steps and a jump at 0 do not contribute.
    """
    values = [deviation(k * TINY[dtype]) for k in range(1, 9)]
    # The second difference a - 2b + c of independent errors has 1 + 4 + 1 = 6 times their variance.
    second_differences = np.diff(values, 2) / math.sqrt(6)
    if not np.isfinite(second_differences).all():
        return 0.0
    return float(np.sqrt(np.mean(second_differences**2)))


def _measure_ladder(deviation: Deviation, noise: float, size: float, dtype: str, ladders: Sequence[Ladder]) -> Slope:
    """Measure with the first of these ladders; a difference must persist at the smaller steps of the others."""
    steps = ladders[0]
    central, jumps = _central_slopes_and_jumps(deviation, steps)
    if not all(math.isfinite(slope) for slope in central + jumps):
        return Slope(Status.NOISY, math.nan, math.inf)
    residual, error = extrapolate(central, steps, noise)
    slope = Slope(Status.AGREES, residual, error)
    if jumps[-1] > 2 * SAFETY * noise / steps[-1] and jumps[-1] > JUMP_RATIO * jumps[-2]:
        return Slope(Status.KINK, residual, error)
    if slope.allowed > RESOLUTION[dtype] * max(size, abs(residual)):
        return Slope(Status.NOISY, residual, error)
    if abs(residual) <= slope.allowed:
        return slope
    # A wrong gradient is as wrong at every smaller step, and the jumps shrink in proportion to the step, except for
    # rounding. Otherwise these steps crossed kinks, and the spread of the table was small by chance.
    persists = True
    for finer_steps in ladders[1:]:
        for h, slope_at_h, jump in zip(finer_steps, *_central_slopes_and_jumps(deviation, finer_steps), strict=True):
            rounding = SAFETY * noise / h
            is_same_residual = abs(slope_at_h - residual) <= max(abs(residual) / 2, rounding)
            is_smooth = jump <= jumps[-1] * h / steps[-1] + 2 * rounding
            persists = persists and is_same_residual and is_smooth
    return Slope(Status.DIFFERS if persists else Status.KINK, residual, error)


def _central_slopes_and_jumps(deviation: Deviation, steps: Ladder) -> tuple[list[float], list[float]]:
    """Return, at each step, the mean of the two one-sided slopes and the distance between them."""
    central, jumps = [], []
    for h in steps:
        ahead, behind = deviation(h) / h, deviation(-h) / -h
        central.append((ahead + behind) / 2)
        jumps.append(abs(ahead - behind))
    return central, jumps


def extrapolate(values: Sequence[float], steps: Sequence[float], noise: float) -> tuple[float, float]:
    """Return the limit of central differences for halving steps, and an estimate of its error.

    Each column of Richardson's table cancels one more even power of the step. The error of an entry is its distance
    from the two entries it combines, plus the rounding error at the smallest step used.

    Args:
        values: the central difference at each step.
        steps: the steps, each half of the one before.
        noise: expected rounding error of s.
    """
    best, best_error = values[0], math.inf
    row: list[float] = []
    for value, step in zip(values, steps, strict=True):
        previous, row = row, [value]
        for m, coarse in enumerate(previous):
            fine = row[m]
            entry = fine + (fine - coarse) / (4 ** (m + 1) - 1)
            row.append(entry)
            error = max(abs(entry - fine), abs(entry - coarse)) + noise / step
            if error < best_error:
                best, best_error = entry, error
    return best, best_error


def random_signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Vector:
    """Return magnitudes in [0.5, 1.5] with random signs: every element takes part, and no sum is special."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def chance_to_miss(directions: int, margin: float = 100.0) -> float:
    """Bound the chance that one wrong element of the Jacobian escapes every direction, whatever the other elements are.

    The element is wrong by e = `margin` times the smallest residual that is noticed. Its share of the residual is
    w_j·e·v_i. w_j and v_i have density 1/2 on either side of 0, so each lies within δ of a given value with a chance of
    at most δ. Integrating over both gives (1 + ln margin) / margin for one direction.
    """
    return float(((1 + math.log(margin)) / margin) ** directions)
