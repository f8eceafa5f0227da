"""pooling.cu against the reference: many windows, with padding, ceil_mode's last window, NaN and infinity."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import assert_agrees, kernel_mode, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from minisk import kernels
from minisk.kernels import PoolWindow

pytestmark = needs_compiler

MODES = pytest.mark.parametrize("mode", ["cpu", "threads"])
SOME = settings(max_examples=40, derandomize=True, deadline=None, database=None)
# Kernel, stride, padding: sizes with a compiled version of their own, and others; up to 49 taps.
ALONG = [(1, 1, 0), (2, 2, 0), (2, 2, 1), (2, 1, 1), (3, 2, 1), (3, 2, 0), (3, 1, 1), (3, 4, 1), (7, 3, 3), (7, 7, 0)]


@st.composite
def windows(draw: st.DrawFn) -> tuple[tuple[int, int], PoolWindow]:
    """Draw height and width of an input, and a window on it."""
    sizes = draw(st.sampled_from([(7, 7), (8, 16), (9, 70), (41, 33), (37, 530)]))  # one tile to two, with tails
    axes = []
    for size in sizes:
        kernel, stride, padding = draw(st.sampled_from(ALONG))
        free = size + 2 * padding - kernel
        out = free // stride + 1
        # ceil_mode adds a window that lies partly outside the input.
        if draw(st.booleans()) and free % stride and out * stride < size + padding:
            out += 1
        axes.append((kernel, stride, padding, out))
    return sizes, PoolWindow(*zip(*axes, strict=True))  # type: ignore[arg-type]


def drawn(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    # Few different values, so that equal maxima are common: the first must win.
    return np.random.default_rng(len(shape) + shape[-1]).integers(-4, 5, shape).astype(dtype)


@MODES
@SOME
@given(case=windows(), dtype=st.sampled_from("fd"))
def test_pooling_agrees_with_the_reference(mode: str, case: tuple[tuple[int, int], PoolWindow], dtype: str) -> None:
    size, window = case
    x, dout = drawn((2, 3, *size), dtype), drawn((2, 3, *window.out), dtype)
    winner = kernels.max_pool2d(x, window)[1]
    assert_agrees(mode, kernels.max_pool2d, x, window)
    assert_agrees(mode, kernels.max_pool2d_scatter, dout, winner, window, x.shape)
    assert_agrees(mode, kernels.max_pool2d_gather, x, winner, window)
    for averaged in (window, window._replace(count_padding=False)):
        assert_agrees(mode, kernels.avg_pool2d, x, averaged)
        assert_agrees(mode, kernels.avg_pool2d_spread, dout, averaged, x.shape)


@MODES
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kernel", [2, 3])
def test_nan_wins_and_the_first_tap_wins_a_window_of_minus_infinity(kernel: int, value: float, mode: str) -> None:
    window = PoolWindow((kernel, kernel), (2, 2), (1, 1), (6, 6))
    x = drawn((2, 2, 11, 11), "f")
    x[0, 0, 3:5, 4], x[1] = value, -np.inf
    assert_agrees(mode, kernels.max_pool2d, x, window)
    winner = kernels.max_pool2d(x, window)[1]
    assert_agrees(mode, kernels.max_pool2d_gather, drawn(x.shape, "f"), winner, window)
    assert_agrees(mode, kernels.max_pool2d_scatter, drawn(winner.shape, "f"), winner, window, x.shape)


def test_gradients_have_the_same_bits_in_every_run() -> None:
    window = PoolWindow((3, 3), (2, 2), (1, 1), (56, 56))
    rng = np.random.default_rng(0)
    x, dout = rng.standard_normal((2, 16, 112, 112), np.float32), rng.standard_normal((2, 16, 56, 56), np.float32)
    with kernel_mode("cpu"):
        winner = kernels.max_pool2d(x, window)[1]
        runs = [
            kernels.max_pool2d_scatter(dout, winner, window, x.shape).tobytes()
            + kernels.avg_pool2d_spread(dout, window, x.shape).tobytes()
            for _ in range(3)
        ]
    assert len(set(runs)) == 1
