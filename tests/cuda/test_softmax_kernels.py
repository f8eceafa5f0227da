"""softmax.cu and cross_entropy.cu against the reference formulas: rows and columns, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import assert_agrees, kernel_mode, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

import minisk as ms
from minisk import kernels, ops

pytestmark = needs_compiler

FEW = settings(max_examples=20, derandomize=True, deadline=None, database=None)
# One element; less than a warp; one warp; two rounds of the largest block and a tail.
LENGTHS = [1, 5, 32, 2 * 256 + 3]
# 1 means rows. Columns: less than a tile, one tile, three tiles and a tail.
INNERS = [1, 7, 256, 3 * 256 + 5]


def drawn(seed: int, shape: tuple[int, ...], dtype: str, far: float = 0) -> np.ndarray:
    """Return random numbers around `far`."""
    return (3 * np.random.default_rng(seed).standard_normal(shape) + far).astype(dtype)


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@FEW
@given(
    outer=st.integers(1, 5),
    n=st.sampled_from(LENGTHS),
    inner=st.sampled_from(INNERS),
    dtype=st.sampled_from("fd"),
    far=st.sampled_from([0, 1e4, -1e4]),
)
def test_softmax_agrees_with_the_reference_near_and_far_from_zero(
    name: str, mode: str, outer: int, n: int, inner: int, dtype: str, far: float
) -> None:
    n = min(n, 40) if inner > 1 else n
    assert_agrees(mode, getattr(kernels, name), drawn(n, (outer, n, inner), dtype, far), 1)


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@pytest.mark.parametrize("name", ["softmax_grad", "log_softmax_grad"])
@FEW
@given(outer=st.integers(1, 5), n=st.sampled_from(LENGTHS), inner=st.sampled_from(INNERS), dtype=st.sampled_from("fd"))
def test_gradient_agrees_with_the_reference(name: str, mode: str, outer: int, n: int, inner: int, dtype: str) -> None:
    shape = (outer, min(n, 40) if inner > 1 else n, inner)
    assert_agrees(mode, getattr(kernels, name), drawn(1, shape, dtype), drawn(2, shape, dtype), 1)


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@FEW
@given(rows=st.integers(1, 9), n=st.sampled_from(LENGTHS), dtype=st.sampled_from("fd"))
def test_cross_entropy_agrees_with_the_reference(mode: str, rows: int, n: int, dtype: str) -> None:
    logits, target = drawn(1, (rows, n), dtype, far=1e4), np.abs(drawn(2, (rows, n), dtype))
    assert_agrees(mode, kernels.cross_entropy, logits, target)
    assert_agrees(mode, kernels.cross_entropy_grad, np.array(0.3, dtype), logits, target)


@pytest.mark.parametrize("mode", ["numpy", "cpu", "threads"])
def test_minus_infinity_has_probability_0_and_a_nan_affects_its_row_only(mode: str) -> None:
    x = np.array([[0, -np.inf, 0], [0, np.nan, 1], [1, 1, -200]], np.float32)
    with kernel_mode(mode):
        y = kernels.softmax(x, 1)
    np.testing.assert_allclose(y, [[0.5, 0, 0.5], [np.nan] * 3, [0.5, 0.5, 0]], rtol=1e-6)
    assert y[0, 1] == 0


def test_exponential_is_accurate_to_the_last_bits() -> None:
    # softmax of (0, x) is 1 / (1 + e^x), e^x / (1 + e^x): their ratio is e^x as the kernel computes it.
    x = np.linspace(-85, 0, 4097, dtype=np.float32)
    with kernel_mode("cpu"):
        y = kernels.softmax(np.stack([np.zeros_like(x), x]), 0).astype(np.float64)
    np.testing.assert_allclose(y[1] / y[0], np.exp(x.astype(np.float64)), rtol=4e-7)


@pytest.mark.parametrize("mode", ["numpy", "cpu", "threads"])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: ops.softmax(x, 1),
        lambda x: ops.log_softmax(x, -1),
        lambda x: ops.cross_entropy(x.reshape(15, 7), np.arange(15) % 7, 0.1),
    ],
    ids=["softmax", "log_softmax", "cross_entropy"],
)
def test_fused_backward_equals_the_composition(function: object, mode: str) -> None:
    x = ms.tensor(drawn(1, (3, 5, 7), "d"), requires_grad=True)
    with kernel_mode(mode):
        y = function(x)  # type: ignore[operator]
        seed = ms.tensor(np.asarray(drawn(2, y.shape, "d")))
        (fused,) = ms.grad(y, x, seed, retain_graph=True)
        (composed,) = ms.grad(y, x, seed, create_graph=True)
    assert composed.requires_grad and not fused.requires_grad
    np.testing.assert_allclose(fused.numpy(), composed.numpy(), rtol=1e-12, atol=1e-14)
