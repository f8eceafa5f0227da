"""Arithmetic agrees with PyTorch for random shapes that broadcast; number operands stand in test_parity.py."""

import numpy as np
import pytest
from hypothesis import strategies as st
from operations import assert_operation_agrees
from parity import assert_parity, broadcastable, draws, inputs, positive, shapes


@pytest.mark.parametrize("name", ["add", "sub", "mul"])
@draws(broadcastable(2))
def test_arithmetic_agrees_and_broadcasts(name, case):
    assert_operation_agrees(name, case)


@draws(broadcastable(2), st.sampled_from([1, -1]))
def test_div_agrees_and_broadcasts(case, sign):
    assert_operation_agrees("div", case.map(lambda b: sign * positive(b), first=1))


@draws(inputs(shapes(min_side=0)))
def test_neg_agrees(case):
    assert_operation_agrees("neg", case)


@draws(inputs(shapes()), st.sampled_from([0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.5, 2.0]))
def test_pow_agrees_with_negative_bases_for_whole_exponents(case, exponent):
    # Away from 0: a negative power of a value near 0 is so large that the tolerance would hide errors elsewhere.
    case = case.map(lambda x: np.sign(x) * positive(np.abs(x))) if exponent == int(exponent) else case.map(positive)
    assert_operation_agrees("pow", case, exponent=exponent)


@draws(inputs(shapes()), st.sampled_from([2.0, 0.5, 10]))
def test_number_to_the_power_of_a_tensor_agrees(case, base):
    assert_parity(lambda x: base**x, lambda x: base**x, case)
