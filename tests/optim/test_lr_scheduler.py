"""Learning-rate schedules: the values of their definitions."""

import math

import numpy as np
import pytest

from minisk import nn, optim
from minisk.errors import MiniskError


def rates(schedule_of, steps):
    """Return the learning rate at each step, of a group whose peak is 2."""
    optimizer = optim.SGD([nn.Parameter(np.ones(2))], lr=2.0)
    schedule = schedule_of(optimizer)
    values = [optimizer.param_groups[0]["lr"]]
    for _ in range(steps - 1):
        schedule.step()
        values.append(optimizer.param_groups[0]["lr"])
    return values


HALF = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (lambda o: optim.MultiStepLR(o, [2, 4]), [2, 2, 0.2, 0.2, 0.02, 0.02]),
        (lambda o: optim.MultiStepLR(o, [1, 1, 3], gamma=0.5), [2, 0.5, 0.5, 0.25]),
        (lambda o: optim.MultiStepLR(o, [3], warmup_steps=4), [0.5, 1, 1.5, 0.2, 0.2]),
        (lambda o: optim.CosineAnnealingLR(o, 4), [2, 1 + HALF, 1, 1 - HALF, 0, 0]),
        (lambda o: optim.CosineAnnealingLR(o, 4, warmup_steps=2), [1, 1 + HALF, 1, 1 - HALF, 0]),
        (lambda o: optim.OneCycleLR(o, 8), [0.08, 1.04, 2, 10 / 6, 8 / 6, 1, 4 / 6, 2 / 6, 0, 0]),
        (lambda o: optim.OneCycleLR(o, 4, pct_start=0.5), [0.08, 1.04, 2, 1, 0]),
        (lambda o: optim.OneCycleLR(o, 1), [0.08, 0]),
    ],
    ids=["steps", "twice at once", "steps, warm", "cosine", "cosine, warm", "one cycle", "late peak", "one step"],
)
def test_a_schedule_gives_the_learning_rates_of_its_definition(schedule, expected):
    np.testing.assert_allclose(rates(schedule, len(expected)), expected, rtol=1e-14, atol=1e-15)


def test_every_group_keeps_its_own_peak():
    one, two, three = (nn.Parameter(np.ones(2)) for _ in range(3))
    optimizer = optim.SGD([{"params": [one], "lr": 8.0}, {"params": [two, three]}], lr=2.0)
    optim.MultiStepLR(optimizer, [1], gamma=0.25).step()
    assert [group["lr"] for group in optimizer.param_groups] == [2.0, 0.5]


@pytest.mark.parametrize("make", [optim.CosineAnnealingLR, optim.OneCycleLR], ids=["cosine", "one cycle"])
def test_a_schedule_resumed_by_its_step_count_continues_as_before(make):
    def resumed(optimizer):
        schedule = make(optimizer, 10, warmup_steps=3)
        schedule.go_to(4)
        return schedule

    assert rates(resumed, 6) == rates(lambda optimizer: make(optimizer, 10, warmup_steps=3), 10)[4:]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (lambda o: optim.OneCycleLR(o, 0), "OneCycleLR: total_steps 0 must be an integer of at least 1"),
        (lambda o: optim.OneCycleLR(o, 10.5), "OneCycleLR: total_steps 10.5 must be an integer"),
        (lambda o: optim.OneCycleLR(o, 9, pct_start=1.5), "OneCycleLR: pct_start 1.5 must be .* at most 1"),
        (lambda o: optim.CosineAnnealingLR(o, -1), "CosineAnnealingLR: total_steps -1 must be"),
        (lambda o: optim.CosineAnnealingLR(o, 5, -1), "CosineAnnealingLR: warmup_steps -1 must be .* at least 0"),
        (lambda o: optim.MultiStepLR(o, [-5]), "MultiStepLR: milestone -5 must be"),
        (lambda o: optim.MultiStepLR(o, ["5"]), "MultiStepLR: milestone '5' must be"),
        (lambda o: optim.MultiStepLR(o, [5], gamma=np.nan), "MultiStepLR: gamma nan must be"),
        (lambda o: optim.OneCycleLR(o.param_groups, 5), "OneCycleLR: list is not an Optimizer"),
    ],
)
def test_an_argument_out_of_range_is_an_error(schedule, expected):
    with pytest.raises(MiniskError, match=expected):
        rates(schedule, 1)
