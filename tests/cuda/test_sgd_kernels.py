"""sgd.cu against the reference formula; arrays of any layout are updated in place."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import assert_agrees, kernel_mode, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from minisk import kernels

pytestmark = needs_compiler

FEW = settings(max_examples=20, derandomize=True, deadline=None, database=None)
SIZES = [1, 31, 257, 2 * 256 * 8 + 3]  # as in test_elementwise_kernels


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@FEW
@given(
    size=st.sampled_from(SIZES),
    dtype=st.sampled_from("fd"),
    momentum=st.sampled_from([0.0, 0.9]),
    weight_decay=st.sampled_from([0.0, 1e-2]),
    nesterov=st.booleans(),
)
def test_kernel_agrees_with_the_reference(
    mode: str, size: int, dtype: str, momentum: float, weight_decay: float, nesterov: bool
) -> None:
    arrays = np.random.default_rng(size).standard_normal((3, size)).astype(dtype)
    assert_agrees(mode, kernels.sgd_momentum, *arrays, 0.1, momentum, weight_decay, nesterov)


@pytest.mark.parametrize("mode", ["numpy", "cpu", "threads"])
def test_a_weight_that_is_not_contiguous_is_updated_in_place(mode: str) -> None:
    memory = np.arange(12.0).reshape(3, 4)
    weight, velocity = memory.T, np.zeros((4, 3))
    with kernel_mode(mode):
        kernels.sgd_momentum(weight, np.ones((4, 3)), velocity, 0.5, 0.9, 0.0, False)
    np.testing.assert_array_equal(memory, np.arange(12.0).reshape(3, 4) - 0.5)
    np.testing.assert_array_equal(velocity, np.ones((4, 3)))
