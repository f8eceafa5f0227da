"""batch_norm.cu against the reference formulas: whole channels and channels in parts, with and without ReLU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from agreement import assert_agrees, kernel_mode, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

import minisk as ms
from minisk import kernels, ops
from minisk.cuda import batch_norm as launcher

pytestmark = needs_compiler

FEW = settings(max_examples=25, derandomize=True, deadline=None, database=None)
# One element; less than a vector or a warp; one vector of 64 bytes; planes that end inside a round of a block; two
# rounds of a block and a tail.
SPATIAL = [1, 3, 16, 49, 400, 2 * 512 + 7]
MODES = pytest.mark.parametrize("mode", ["cpu", "threads"])
PARTS = pytest.mark.parametrize("values", [32768, 256], ids=["whole channels", "parts"])
RELU = pytest.mark.parametrize("relu", [False, True], ids=["", "relu"])


def train(*args: Any) -> tuple[np.ndarray, ...]:
    out, statistics = kernels.batch_norm_train(*args)
    return out, statistics.mean, statistics.var


def moments(x: np.ndarray) -> np.ndarray:
    return kernels.batch_norm_moments(x).astype(x.dtype)  # the comparison allows what x's dtype does


def layer(n: int, c: int, spatial: int, dtype: str = "d", seed: int = 0) -> tuple[np.ndarray, ...]:
    """Return x, weight, bias and dout; the channels of x differ in mean and deviation."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, c, spatial)) * rng.uniform(0.5, 3, (c, 1)) + 5 * rng.standard_normal((c, 1))
    weight, bias, dout = 1 + rng.random(c), rng.standard_normal(c), rng.standard_normal(x.shape)
    return tuple(array.astype(dtype) for array in (x, weight, bias, dout))


def statistics_of(x: np.ndarray) -> kernels.BatchStatistics:
    center = x.mean(axis=(0, 2))
    return kernels.BatchStatistics(center, np.full_like(center, 1 / 64), x.var(axis=(0, 2)))


@MODES
@PARTS
@RELU
@FEW
@given(n=st.integers(2, 5), c=st.integers(1, 3), spatial=st.sampled_from(SPATIAL), dtype=st.sampled_from("fd"))
def test_forward_agrees_with_the_reference(
    relu: bool, values: int, mode: str, n: int, c: int, spatial: int, dtype: str
) -> None:
    x, weight, bias, _ = layer(n, c, spatial, dtype if n * spatial >= 8 else "d", seed=spatial)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "PART", values)
        assert_agrees(mode, train, x, weight, bias, 1e-5, relu)
        assert_agrees(mode, kernels.batch_norm_apply, x, weight, bias, statistics_of(x), 1e-5, relu)
        assert_agrees(mode, moments, x)


@MODES
@PARTS
@RELU
@pytest.mark.parametrize("depends", [True, False], ids=["training", "evaluation"])
@FEW
@given(n=st.integers(2, 5), c=st.integers(1, 3), spatial=st.sampled_from(SPATIAL), dtype=st.sampled_from("fd"))
def test_backward_agrees_with_the_reference(
    depends: bool, relu: bool, values: int, mode: str, n: int, c: int, spatial: int, dtype: str
) -> None:
    x, weight, bias, dout = layer(n, c, spatial, dtype if n * spatial >= 8 else "d", seed=spatial)
    given = x, weight, bias, statistics_of(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launcher, "PART", values)
        assert_agrees(mode, kernels.batch_norm_backward, dout, *given, 1e-5, relu, depends)
        if depends:
            means = np.stack([bias, weight]) / 7
            assert_agrees(mode, kernels.batch_norm_gradient_sums, dout, *given, 1e-5, relu)
            assert_agrees(mode, kernels.batch_norm_input_grad, dout, *given, 1e-5, relu, means)


@PARTS
@pytest.mark.parametrize("mode", ["numpy", "cpu", "threads"])
def test_float32_is_exact_enough_for_a_mean_of_ten_thousand_deviations(
    mode: str, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "PART", values)
    rng = np.random.default_rng(0)
    x = (1e4 + rng.standard_normal((4, 2, 600))).astype("f")
    exact = x.astype("d")
    mean, var = exact.mean(axis=(0, 2), keepdims=True), exact.var(axis=(0, 2), keepdims=True)
    xhat = (exact - mean) / np.sqrt(var + 1e-5)
    dout = rng.standard_normal(x.shape).astype("f")
    dweight, dbias = (dout * xhat).sum(axis=(0, 2)), dout.astype("d").sum(axis=(0, 2))
    with kernel_mode(mode):
        one, zero = np.ones(2, "f"), np.zeros(2, "f")
        out, found = kernels.batch_norm_train(x, one, zero, 1e-5, False)
        gradients = kernels.batch_norm_backward(dout, x, one, zero, found, 1e-5, False, True)
    np.testing.assert_allclose(out, xhat, atol=1e-5)
    np.testing.assert_allclose(found.var, var.ravel(), rtol=1e-5)
    np.testing.assert_allclose(gradients[1], dweight, atol=1e-4)
    np.testing.assert_allclose(gradients[2], dbias, atol=1e-4)


def test_float16_runs_with_one_thread_a_block() -> None:
    """Networks compute float16 with NumPy on a CPU, but `minisk check --dtype float16` tries this for ANY_BLOCK."""
    x, weight, bias, dout = layer(4, 3, 49, "e")
    with kernel_mode("cpu"):
        out, found = launcher.launch_batch_norm_train(x, weight, bias, 1e-5, True)
        dx = launcher.launch_batch_norm_backward(dout, x, weight, bias, found, 1e-5, True, True)[0]
    with kernel_mode("numpy"):
        expected, statistics = kernels.batch_norm_train(x, weight, bias, 1e-5, True)
        dx_expected = kernels.batch_norm_backward(dout, x, weight, bias, statistics, 1e-5, True, True)[0]
    assert out.dtype == dx.dtype == np.float16
    np.testing.assert_allclose(out, expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_allclose(dx, dx_expected, rtol=4e-3, atol=4e-3)


@pytest.mark.parametrize("mode", ["numpy", "cpu", "threads"])
@pytest.mark.parametrize("pixels", [9, 16], ids=["less than a vector", "a vector"])
def test_sums_over_many_small_planes_are_exact(mode: str, pixels: int) -> None:
    images = 27000 // pixels  # added one by one in float32, 0.1 would give an error of 1e-4
    x = np.random.default_rng(0).standard_normal((images, 1, pixels)).astype("f")
    one, zero = np.ones(1, "f"), np.zeros(1, "f")
    with kernel_mode(mode):
        found = kernels.batch_norm_train(x, one, zero, 1e-5, False)[1]
        gradients = kernels.batch_norm_backward(np.full_like(x, 0.1), x, one, zero, found, 1e-5, False, True)
    np.testing.assert_allclose(gradients[2], images * pixels * 0.1, rtol=1e-6)


@PARTS
@pytest.mark.parametrize("mode", ["numpy", "cpu", "threads"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [(0, 1, 0), (3, 1, 250)], ids=["in the first plane", "in the last"])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_non_finite_element_affects_its_own_channel_only(
    where: tuple[int, int, int], bad: float, mode: str, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "PART", values)
    x, weight, bias, dout = layer(4, 3, 300, "f")
    x[where] = bad
    with kernel_mode(mode):
        out, found = kernels.batch_norm_train(x, weight, bias, 1e-5, True)
        dx, dweight, _ = kernels.batch_norm_backward(dout, x, weight, bias, found, 1e-5, True, True)
    for result in (out, dx):
        assert np.isnan(result[:, 1]).all() and np.isfinite(result[:, [0, 2]]).all()
    assert np.isnan(dweight[1]) and np.isfinite(dweight[[0, 2]]).all()


@PARTS
def test_forward_and_backward_give_the_same_bits_in_every_run(values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "PART", values)
    x, weight, bias, dout = layer(6, 40, 300, "f")
    runs = set()
    with kernel_mode("cpu"):
        for _ in range(5):
            out, found = kernels.batch_norm_train(x, weight, bias, 1e-5, True)
            gradients = kernels.batch_norm_backward(dout, x, weight, bias, found, 1e-5, True, True)
            runs.add(b"".join(array.tobytes() for array in (out, *found, *gradients)))
    assert len(runs) == 1


@pytest.mark.parametrize("mode", ["numpy", "cpu"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@RELU
def test_fused_backward_equals_the_composition_used_for_higher_orders(relu: bool, training: bool, mode: str) -> None:
    arrays = layer(3, 4, 50)
    with kernel_mode(mode):
        x, weight, bias = (ms.tensor(array, requires_grad=True) for array in arrays[:3])
        running = ms.tensor(np.linspace(-1, 1, 4)), ms.tensor(np.linspace(0.5, 2, 4))
        out = ops.batch_norm(x, weight, bias, *running, training, relu=relu)
        given = [out], [x, weight, bias], [ms.tensor(arrays[3])]
        composed = ms.grad(*given, create_graph=True)
        fused = ms.grad(*given)
    for a, b in zip(composed, fused, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-9)


def test_running_statistics_may_change_between_forward_and_backward() -> None:
    x, weight, bias, dout = (ms.tensor(array, requires_grad=True) for array in layer(3, 2, 10))
    mean, var = ms.tensor(np.zeros(2)), ms.tensor(np.ones(2))
    before = ops.batch_norm(x, weight, bias, mean, var, False)
    (expected,) = ms.grad((before * dout).sum(), weight, retain_graph=True)
    ops.batch_norm(x, weight, bias, mean, var, True)  # changes both
    (found,) = ms.grad((before * dout).sum(), weight)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
