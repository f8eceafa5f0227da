"""axpy.cu against the reference formulas, and the three versions of the scale gradient against each other."""

from __future__ import annotations

import numpy as np
import pytest
from agreement import assert_agrees, kernel_mode, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

from minisk import kernels
from minisk.cuda import axpy as launcher
from minisk.runtime import Kernel, launch
from minisk.runtime.signature import PACKAGE

pytestmark = needs_compiler

# Idle threads; one warp; one more than a block; two rounds of a block and a tail; several tiles and a tail.
SPATIAL = [1, 31, 32, 257, 2 * 256 * 4 + 3, 3 * 1024 + 5]
STEPS = PACKAGE / "steps" / "sum.cu"
FEW = settings(max_examples=20, derandomize=True, deadline=None, database=None)


def planes_of(n: int, c: int, spatial: int, dtype: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = (rng.standard_normal((n, c, spatial, 1)).astype(dtype) for _ in range(2))
    return rng.standard_normal((n, c)).astype(dtype), x, y


def arguments_of(name: str, a: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    scaled = {"axpy": (a, x, y), "channel_scale": (a, x), "channel_add": (a, x)}
    return {**scaled, "channel_dot": (y, x), "plane_mean": (x,)}[name]


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@pytest.mark.parametrize("name", ["axpy", "channel_scale", "channel_add", "channel_dot", "plane_mean"])
@FEW
@given(n=st.integers(1, 3), c=st.integers(1, 3), spatial=st.sampled_from(SPATIAL), dtype=st.sampled_from("fd"))
def test_kernel_agrees_with_the_reference(name: str, mode: str, n: int, c: int, spatial: int, dtype: str) -> None:
    a, x, y = planes_of(n, c, spatial, dtype, seed=spatial)
    assert_agrees(mode, getattr(kernels, name), *arguments_of(name, a, x, y))


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@pytest.mark.parametrize("step", ["channel_dot_serial", "channel_dot_tree", "channel_dot_shuffle"])
@pytest.mark.parametrize("spatial", SPATIAL)
def test_every_version_of_the_scale_gradient_sums_each_product_once(step: str, spatial: int, mode: str) -> None:
    _, x, g = planes_of(2, 3, spatial, "d", seed=1)
    out, serial = np.full((2, 3), np.nan), np.full((2, 3), np.nan)
    with kernel_mode(mode):
        launch(Kernel(STEPS, "channel_dot_serial"), (6,), (256,), (spatial, g, x, serial))
        if step == "channel_dot_shuffle":
            launch(Kernel("axpy.cu", step), (6,), (256,), (6, spatial, g, x, out))
        else:
            launch(Kernel(STEPS, step), (6,), (256,), (spatial, g, x, out))
    np.testing.assert_allclose(serial, (g * x).sum(axis=(2, 3)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(out, serial, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["axpy", "channel_scale", "channel_add", "channel_dot", "plane_mean"])
def test_float16_is_stored_and_computed_in_float32(name: str) -> None:
    a, x, y = planes_of(2, 3, 2 * 256 * 4 + 3, "e", seed=0)
    assert_agrees("threads", getattr(kernels, name), *arguments_of(name, a, x, y))


@pytest.mark.parametrize("mode", ["cpu", "threads"])
def test_add_reads_an_operand_that_repeats_over_each_plane_once_per_plane(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, x, _ = planes_of(2, 3, 2 * 256 * 4 + 3, "f", seed=0)
    spread, launched = np.broadcast_to(a[:, :, None, None], x.shape), []
    monkeypatch.setattr(launcher, "launch", lambda kernel, *rest: (launched.append(kernel.name), launch(kernel, *rest)))
    with kernel_mode(mode):
        for one, other in ((x, spread), (spread, x)):
            np.testing.assert_array_equal(kernels.add(one, other), x + spread)
        np.testing.assert_array_equal(
            kernels.add(spread, spread), spread + spread
        )  # neither is contiguous: the reference
        empty = np.zeros((2, 3, 0, 4), np.float32)  # its strides in NumPy may be 0 too
        assert kernels.add(empty, empty).shape == empty.shape
    assert launched == ["channel_add"] * 2


def test_channel_dot_reads_an_unaligned_plane_element_by_element() -> None:
    memory = np.arange(1 + 2 * 64, dtype=np.float32)
    x = memory[1:].reshape(1, 2, 8, 8)
    for mode in ("cpu", "threads"):
        with kernel_mode(mode):
            np.testing.assert_array_equal(kernels.channel_dot(np.ones_like(x), x), x.sum(axis=(2, 3)))
