"""elementwise.cu against the reference formulas."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import assert_agrees, kernel_mode, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from minisk import kernels

pytestmark = needs_compiler

FEW = settings(max_examples=20, derandomize=True, deadline=None, database=None)
# One element; less than a warp; one more than a block; several rounds and a tail.
SIZES = [1, 31, 257, 2 * 256 * 8 + 3]


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@pytest.mark.parametrize("name", ["add", "relu", "add_relu", "relu_grad", "sigmoid"])
@FEW
@given(size=st.sampled_from(SIZES), dtype=st.sampled_from("fd"), whole=st.booleans())
def test_kernel_agrees_with_the_reference(name: str, mode: str, size: int, dtype: str, whole: bool) -> None:
    rng = np.random.default_rng(size)
    x, y = rng.standard_normal((2, size))
    if whole:  # gives zeros, and sums that are 0
        x, y = x.round(), y.round()
    args = (x,) if name in ("relu", "sigmoid") else (x, y)
    assert_agrees(mode, getattr(kernels, name), *(array.astype(dtype) for array in args))


@pytest.mark.parametrize("mode", ["numpy", "cpu", "threads"])
def test_nan_and_infinity_pass_through_relu(mode: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, -1, 2], "f")
    with kernel_mode(mode):
        np.testing.assert_array_equal(kernels.relu(x), [np.nan, np.inf, 0, 0, 2])
        np.testing.assert_array_equal(kernels.add_relu(x, np.ones_like(x)), [np.nan, np.inf, 0, 0, 3])
        np.testing.assert_array_equal(kernels.relu_grad(np.full_like(x, 5), x), [5, 5, 0, 0, 5])


@pytest.mark.parametrize("mode", ["numpy", "cpu", "threads"])
@pytest.mark.parametrize("dtype", "fd")
def test_sigmoid_overflows_nowhere(mode: str, dtype: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, -1e30, 1e30, 0], dtype)
    with kernel_mode(mode):
        np.testing.assert_array_equal(kernels.sigmoid(x), [np.nan, 1, 0, 0, 1, 0.5])
