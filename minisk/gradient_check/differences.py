"""The numeric derivative along a line, with an estimate of its own error.

    s(t) = w · f(x + t·v)        r(h) = [s(h) - s(-h)] / 2h  -  g·v        g: the gradient under test

What is extrapolated is the *residual* r, numeric minus analytic: it should go to 0 with h. Central differences at
steps that halve are combined by Richardson's rule, and the spread of the table estimates the error (Ridders, 1982).
Steps come in *ladders*, from large to small: large ones are the least noisy, small ones stay on this side of a kink.
"""

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
# t → s(t) - s(0) minus the change that the gradient under test predicts, NaN where f is not finite.
Deviation = Callable[[float], float]

LADDERS = {
    "float64": ((2**-8, 2**-9, 2**-10), (2**-14, 2**-15), (2**-19, 2**-20), (2**-24, 2**-25)),
    "float32": ((2**-3, 2**-4, 2**-5), (2**-6, 2**-7), (2**-9, 2**-10)),
}
# Steps at which curvature has all but vanished: what is not a straight line is rounding.
TINY = {"float64": 2**-26, "float32": 2**-14}
# A number is wrong if it is off by more than this many times the estimated error.
SAFETY = 10.0
# Too noisy to tell: the smallest error that would be noticed is more than this share of what is measured.
RESOLUTION = {"float64": 1e-5, "float32": 0.05}


class Status(enum.Enum):
    """What differences say about a gradient along one line."""

    AGREES = "agrees"
    DIFFERS = "differs"
    KINK = "kink"
    NOISY = "noisy"


@dataclass(frozen=True)
class Slope:
    """The residual (numeric minus analytic slope), its estimated error, and what follows."""

    status: Status
    residual: float
    error: float

    @property
    def allowed(self) -> float:
        """The largest residual that may be numerical error."""
        return SAFETY * self.error

    @property
    def fails(self) -> bool:
        return self.status is not Status.AGREES

    @property
    def distance(self) -> float:
        """By this the failing are ranked: how far off, infinite where nothing could be measured; -1 if it agrees."""
        return (math.inf if math.isnan(self.residual) else abs(self.residual)) if self.fails else -1.0


def measure(deviation: Deviation, noise: float, size: float, dtype: str, count: int | None = None) -> Slope:
    """Go down the ladders until one agrees with the gradient; report the best-known slope if none does.

    noise: expected rounding error of s; size: |slope| or |s|, whichever is larger, the scale of what is measured.
    count: of the ladders, from the one with the largest steps on; all unless given.
    """
    found: list[Slope] = []
    for k in range(len(LADDERS[dtype][:count])):
        found.append(_climb(deviation, noise, size, dtype, LADDERS[dtype][k:count]))
        if found[-1].status is Status.AGREES:
            return found[-1]
    telling = [slope for slope in found if slope.status is not Status.NOISY]
    if telling and telling[-1].status is Status.KINK:  # a kink at the point, or nearer than the smallest useful step
        return telling[-1]
    differing = [slope for slope in telling if slope.status is Status.DIFFERS]
    best = min(differing or found, key=lambda slope: slope.error)
    # If not even the smallest steps' rounding explains how far the table spreads, there are kinks within all of them.
    is_kink = not telling and SAFETY * noise / LADDERS[dtype][-1][-1] < best.error < math.inf
    return Slope(Status.KINK, best.residual, best.error) if is_kink else best


def measured_noise(deviation: Deviation, dtype: str) -> float:
    """Return the rounding error that shows in s at tiny steps, as second differences: no slope, kink or jump does."""
    left = [deviation(k * TINY[dtype]) for k in range(1, 9)]
    seconds = np.diff(left, 2) / math.sqrt(6)
    return float(np.sqrt(np.mean(seconds**2))) if np.isfinite(seconds).all() else 0.0


def _climb(deviation: Deviation, noise: float, size: float, dtype: str, ladders: Sequence[Sequence[float]]) -> Slope:
    """Measure with the first of these ladders; what differs there must do so at the smaller steps of the others too."""
    steps, *others = ladders
    ahead, behind = ([deviation(sign * h) / (sign * h) for h in steps] for sign in (1, -1))
    if not all(map(math.isfinite, [*ahead, *behind])):
        return Slope(Status.NOISY, math.nan, math.inf)
    residual, error = extrapolate([(a + b) / 2 for a, b in zip(ahead, behind, strict=True)], steps, noise)
    slope = Slope(Status.AGREES, residual, error)
    jumps = [abs(a - b) for a, b in zip(ahead, behind, strict=True)]
    # Of a smooth function the one-sided slopes approach each other as fast as the step shrinks; at a kink they don't.
    if jumps[-1] > 2 * SAFETY * noise / steps[-1] and jumps[-1] > 0.75 * jumps[-2]:
        return Slope(Status.KINK, residual, error)
    if slope.allowed > RESOLUTION[dtype] * max(size, abs(residual)):
        return Slope(Status.NOISY, residual, error)
    if abs(residual) <= slope.allowed:
        return slope
    # A wrong gradient is as wrong at every smaller step, and the one-sided slopes approach each other in proportion, as
    # far as rounding lets it be seen. If not, these steps reached over kinks, and by chance the spread was small.
    finer = [(h, deviation(h) / h, deviation(-h) / -h) for smaller in others for h in smaller]
    persists = all(abs((a + b) / 2 - residual) <= max(abs(residual) / 2, SAFETY * noise / h) for h, a, b in finer)
    is_smooth = all(abs(a - b) <= jumps[-1] * h / steps[-1] + 2 * SAFETY * noise / h for h, a, b in finer)
    return Slope(Status.DIFFERS if persists and is_smooth else Status.KINK, residual, error)


def extrapolate(values: Sequence[float], steps: Sequence[float], noise: float) -> tuple[float, float]:
    """Return the limit of central differences for halving steps, and an estimate of its error.

    Each column of the table cancels one more even power of the step. An entry's error is how much it differs from the
    two it was made of, plus the rounding error of the smallest step in it.
    """
    best = values[0], math.inf
    row: list[float] = []
    for value, step in zip(values, steps, strict=True):
        previous, row = row, [value]
        for m, coarse in enumerate(previous):
            fine = row[m]
            row.append(fine + (fine - coarse) / (4 ** (m + 1) - 1))
            error = max(abs(row[-1] - fine), abs(row[-1] - coarse)) + noise / step
            if error < best[1]:
                best = row[-1], error
    return best


def random_signs(rng: np.random.Generator, shape: tuple[int, ...]) -> Vector:
    """Return magnitudes in [0.5, 1.5] with random signs: no element is ever out of sight, and no sum is special."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def chance_to_miss(directions: int, margin: float = 100.0) -> float:
    """Bound the chance that one wrong element of the Jacobian escapes every direction, whatever the others are.

    The element is wrong by `margin` times the smallest residual that is noticed. Its share of the residual is
    w_j·e·v_i; w_j and v_i have density 1/2 on either side of 0, so each lands within δ of a given value with a chance
    of at most δ; integrating over both gives (1 + ln margin) / margin for one direction.
    """
    return float(((1 + math.log(margin)) / margin) ** directions)
