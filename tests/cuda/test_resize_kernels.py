"""resize.cu against the reference: larger, smaller, equal sizes, and single rows; the adjoint against the resize."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import assert_agrees, kernel_mode, needs_compiler

from minisk import kernels

pytestmark = needs_compiler

# Up and down by a whole ratio and by others, to and from one row or column, more columns than a thread takes (256).
SIZES = [((7, 5), (14, 11)), ((14, 14), (28, 28)), ((28, 28), (15, 13)), ((1, 1), (3, 3)), ((9, 6), (1, 1))]
SIZES += [((6, 7), (6, 7)), ((5, 1), (1, 5)), ((3, 40), (5, 700)), ((2, 700), (9, 30)), ((41, 33), (57, 9))]


def drawn(*shape: int, dtype: str) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", "fd")
@pytest.mark.parametrize("mode", ["cpu", "threads"])
@pytest.mark.parametrize(("size", "other"), SIZES, ids=str)
def test_resize_agrees_with_the_reference(size: tuple[int, int], other: tuple[int, int], mode: str, dtype: str) -> None:
    assert_agrees(mode, kernels.bilinear, drawn(2, 3, *size, dtype=dtype), other)
    assert_agrees(mode, kernels.bilinear_adjoint, drawn(2, 3, *other, dtype=dtype), size)


@pytest.mark.parametrize("mode", ["numpy", "cpu"])
@pytest.mark.parametrize(("size", "other"), SIZES, ids=str)
def test_the_adjoint_is_the_transpose_of_the_resize(size: tuple[int, int], other: tuple[int, int], mode: str) -> None:
    x, dout = drawn(2, 3, *size, dtype="d"), drawn(2, 3, *other, dtype="d")
    with kernel_mode(mode):
        out, dx = kernels.bilinear(x, other), kernels.bilinear_adjoint(dout, size)
    assert (out * dout).sum() == pytest.approx((x * dx).sum(), rel=1e-12)


def test_resize_has_the_same_bits_in_every_run() -> None:
    x, dout = drawn(2, 16, 56, 56, dtype="f"), drawn(2, 16, 112, 112, dtype="f")
    with kernel_mode("cpu"):
        runs = [
            kernels.bilinear(x, (112, 112)).tobytes() + kernels.bilinear_adjoint(dout, (56, 56)).tobytes()
            for _ in range(3)
        ]
    assert len(set(runs)) == 1
