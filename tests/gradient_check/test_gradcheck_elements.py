"""The search for wrong elements, and kinks, noise and domains along the way."""

import numpy as np
from parity import distinct
from planted import mismatched, scaled

import minisk as ms
from minisk import ops
from minisk.gradient_check import Verdict

X = distinct([(3, 4)])[0]
WRONG_ELEMENT = mismatched(ops.tanh, spoil=scaled(0, 1.01, (2, 1)))


def check(fn, inputs, **options):
    return ms.gradcheck(fn, inputs, raise_on_failure=False, **options)


def test_full_mode_measures_every_element():
    report = check(ops.conv2d, distinct([(1, 2, 4, 4), (3, 2, 3, 3)]), mode="full")
    assert report.verdict is Verdict.CORRECT
    assert [summary.elements for summary in report.summaries.values()] == [32, 54]


def test_fast_mode_reports_a_wrong_gradient_without_elements():
    report = check(WRONG_ELEMENT, X, mode="fast")
    assert report.verdict is Verdict.WRONG and report.rows == []
    assert "along random directions" in report.message


def test_wrong_element_of_a_large_input_is_found_by_dividing_the_input():
    report = check(mismatched(ops.tanh, spoil=scaled(0, 1.01, (40, 17))), distinct([(64, 32)]))
    assert (report.rows[0].index, report.summaries["input 0"].elements) == ((40, 17), 4)


def test_kink_is_reported_and_passes_if_the_gradient_is_right_beside_it():
    report = ms.gradcheck(ops.relu, np.array([1.0, 0.0, -1.0]))
    assert report.verdict is Verdict.NOT_DIFFERENTIABLE
    assert [row.index for row in report.rows] == [(1,)]
    assert "Passed: 2e-02 of the inputs' size aside, the gradient is right." in str(report)


def test_float32_reports_the_smallest_error_it_can_see():
    report = check(lambda x: (x + 1e5) - 1e5, X, dtype="float32")
    assert report.verdict is Verdict.TOO_NOISY
    assert "cannot be seen" in report.message


def test_steps_stay_inside_a_domain_that_ends_near_a_small_element():
    assert check(ops.log, np.array([1e-6, 1.0, 1e6])).verdict is Verdict.CORRECT
    wrong = check(mismatched(ops.log, spoil=scaled(0, 1.01, (0,))), np.array([1e-6, 1.0, 1e6]))
    assert wrong.verdict is Verdict.WRONG and wrong.rows[0].index == (0,)
