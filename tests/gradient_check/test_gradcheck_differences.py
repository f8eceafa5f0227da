"""Numeric slopes: error estimates, kinks and rounding, on deviations given directly."""

import functools

import numpy as np
import pytest

from minisk.gradient_check.differences import LADDERS, Status, chance_to_miss, extrapolate, measure, measured_noise


def slopes_at_every_step(ahead, behind):
    """Return step → slope: ahead at each step of the float32 ladders, behind at its negative."""
    steps = [step for ladder in LADDERS["float32"] for step in ladder]
    slopes = dict(zip(steps, ahead, strict=True))
    return slopes | {-step: slope for step, slope in zip(steps, behind, strict=True)}


def test_error_estimate_covers_the_error_of_a_smooth_function():
    steps = (0.1, 0.05, 0.025)
    values = [(np.sin(1 + h) - np.sin(1 - h)) / (2 * h) for h in steps]
    value, error = extrapolate(values, steps, 1e-16)
    assert abs(value - np.cos(1)) <= error < 1e-6


@pytest.mark.parametrize(
    ("ahead", "behind"),
    [
        (
            (-3.3348, -2.6829, -1.4058, -1.0032, -0.5368, -0.2812, 0.0002),
            (-0.7324, 0.5971, -0.2093, -0.0058, -0.0028, -0.0003, -0.0010),
        ),
        (  # here the smaller ladders are too noisy to extrapolate, but their central differences show the kink
            (0.345394, 0.751560, 0.595308, 0.333458, -0.163680, -0.337037, 0.001642),
            (-0.982594, -0.514034, -0.172385, -0.077887, -0.011237, -0.002384, -0.000782),
        ),
    ],
)
def test_wrong_slope_that_changes_at_smaller_steps_is_a_kink(ahead, behind):
    # One-sided slopes of one weight of an SKUnit in float32, where kinks of ReLUs lie within these steps
    # (tools/gradcheck_seeds.py, the second at seed 118). By chance, the three largest steps agree on one wrong slope.
    slopes = slopes_at_every_step(ahead, behind)
    assert measure(lambda t: slopes[t] * t, 1.1e-5, 27.1, "float32", ladder_count=1).status is Status.DIFFERS
    assert measure(lambda t: slopes[t] * t, 1.1e-5, 27.1, "float32").status is Status.KINK


def test_slopes_that_do_not_approach_each_other_at_smaller_steps_are_a_kink():
    # SKConv in evaluation, seed 268: the central slopes alone look like one wrong slope, with rounding of 0.01.
    ahead = {2**-3: 0.0018, 2**-4: 0.5391, 2**-5: 0.9497, 2**-6: 0.7982, 2**-7: 0.6199, 2**-9: 0.4384, 2**-10: 0.1959}
    behind = {2**-3: -0.5802, 2**-4: -0.5604, 2**-5: -0.5208, 2**-6: -0.4416, 2**-7: -0.2831, 2**-9: 0.0, 2**-10: 0.0}
    slopes = ahead | {-h: slope for h, slope in behind.items()}
    assert measure(lambda t: slopes[t] * t, 9.7e-6, 20.4, "float32").status is Status.KINK


@pytest.mark.parametrize(("dtype", "noise"), [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("share", [-1.0, 1.0, 10.0])
def test_wrong_slope_is_found_although_rounding_hides_it_at_the_smallest_step(share, dtype, noise):
    rng = np.random.default_rng(0)
    wrong = share * noise / LADDERS[dtype][-1][-1]
    found = measure(functools.cache(lambda t: wrong * t + t**2 + noise * rng.standard_normal()), noise, 1.0, dtype)
    assert found.status is Status.DIFFERS and abs(found.residual - wrong) < found.allowed


def test_spread_that_rounding_cannot_explain_at_any_step_is_a_kink():
    # An SKUnit at seed 755: kinks of ReLUs on both sides, the nearest at 0.001. Large rounding errors could explain it.
    ahead = (-1.148582, -1.613061, -1.960752, -2.110018, -2.113551, -0.719003, 0.005326)
    behind = (5.830985, 4.679673, 2.452011, 0.904876, -0.039370, -0.009433, -0.005191)
    slopes = slopes_at_every_step(ahead, behind)
    assert measure(lambda t: slopes[t] * t, 1.13e-5, 23.7, "float32").status is Status.KINK
    assert measure(lambda t: slopes[t] * t, 1e-3, 23.7, "float32").status is Status.NOISY


def test_kink_beyond_the_smallest_steps_does_not_count_as_rounding():
    assert measured_noise(lambda t: max(0.0, t - 2**-11), "float32") == 0


def test_chance_to_miss_bounds_the_observed_frequency():
    rng = np.random.default_rng(0)
    signs = rng.uniform(0.5, 1.5, (2, 100_000)) * rng.choice([-1, 1], (2, 100_000))
    # The worst case that the bound allows: the other elements nearly cancel this one.
    missed = np.abs((signs[0] - 1) * signs[1]) < 0.01
    assert missed.mean() <= chance_to_miss(1)
