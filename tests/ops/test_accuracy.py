"""Rounding: sums of many terms, float16 that is rounded once, and results that people expect to be exact."""

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

import minisk as ms
from minisk import kernels, nn, ops, optim

ROWS = 100_000
EPS = float(np.finfo(np.float32).eps)
MODES = pytest.mark.parametrize("mode", ["numpy", "cpu"])


def relative_error(found, exact):
    return float(np.abs(np.asarray(found, np.float64) / exact - 1).max())


SUMS = {
    "sum over rows": (lambda x: x.sum(axis=0), lambda x: x.sum(dim=0)),
    "sum over rows of a transposed array": (lambda x: x.T.sum(axis=1), lambda x: x.T.sum(dim=1)),
    "sum over a middle axis": (lambda x: x.reshape(2, -1, 3).sum(axis=1), lambda x: x.reshape(2, -1, 3).sum(dim=1)),
    "sum of all": (lambda x: x.sum(), lambda x: x.sum()),
    "mean": (lambda x: x.mean(axis=0), lambda x: x.mean(dim=0)),
    "var": (lambda x: x.var(axis=0), lambda x: x.var(dim=0, correction=0)),
    "broadcast": (lambda x: ops.sum_to(x, (3,)), lambda x: x.sum_to_size(3)),
    "softmax over rows": (lambda x: ops.softmax(x, 0), lambda x: x.softmax(0)),
    "log_softmax over rows": (lambda x: ops.log_softmax(x, 0), lambda x: x.log_softmax(0)),
    "mean of planes": (
        lambda x: ops.global_avg_pool2d(x.T.reshape(1, 3, -1, 100)),
        lambda x: x.T.reshape(1, 3, -1, 100).mean((2, 3)),
    ),
    "gradient of a scale": (
        lambda x: ops.channel_dot(x.T.reshape(1, 3, -1, 100), x.T.reshape(1, 3, -1, 100)),
        lambda x: (x * x).sum(0)[None],
    ),
}


@needs_compiler
@MODES
@pytest.mark.parametrize("name", SUMS)
def test_error_of_a_long_sum_is_at_most_four_times_that_of_pytorch(torch, name, mode):
    x = np.random.default_rng(0).random((ROWS, 3), dtype=np.float32)
    ours, theirs = SUMS[name]
    exact = theirs(torch.tensor(x, dtype=torch.float64)).numpy()
    with kernel_mode(mode):
        found = relative_error(ours(ms.tensor(x)).numpy(), exact)
    # One rounding of the result is never a fault: PyTorch may be lucky.
    assert found <= 4 * max(relative_error(theirs(torch.tensor(x)).numpy(), exact), EPS / 2)


@needs_compiler
@MODES
def test_statistics_and_gradients_of_batch_norm_are_as_exact_as_those_of_pytorch(torch, mode):
    rng = np.random.default_rng(0)
    x, incoming = (rng.random((ROWS // 20, 3, 4, 5), dtype=np.float32) for _ in range(2))

    def results(dtype):
        leaves = [torch.tensor(a, dtype=dtype, requires_grad=True) for a in (np.ones(3, "f"), np.zeros(3, "f"))]
        mean, var = torch.zeros(3, dtype=dtype), torch.ones(3, dtype=dtype)
        y = torch.nn.functional.batch_norm(
            torch.tensor(x, dtype=dtype), mean, var, *leaves, training=True, momentum=1.0
        )
        return [mean, var, *torch.autograd.grad(y, leaves, torch.tensor(incoming, dtype=dtype))]

    with kernel_mode(mode):
        weight, bias = ms.tensor(np.ones(3, "f"), requires_grad=True), ms.tensor(np.zeros(3, "f"), requires_grad=True)
        mean, var = ms.zeros(3), ms.ones(3)
        y = ops.batch_norm(ms.tensor(x), weight, bias, mean, var, training=True, momentum=1.0)
        found = [mean, var, *ms.grad(y, [weight, bias], ms.tensor(incoming))]
    for ours, single, exact in zip(found, results(torch.float32), results(torch.float64), strict=True):
        scale = np.abs(exact.numpy()).max()
        errors = [np.abs(a.numpy() - exact.numpy()).max() / scale for a in (ours, single)]
        assert errors[0] <= 4 * max(errors[1], EPS / 2)


def test_many_rows_are_all_counted():
    # 2 to the 24 is the last count that adding ones in float32 reaches.
    x = ms.tensor(np.ones((20_000_000, 1), np.float32))
    bias = ms.tensor(np.zeros(1, np.float32), requires_grad=True)
    (x + bias).sum().backward()
    assert bias.grad.item() == 20_000_000
    assert x.mean(axis=0).item() == 1 and x.var(axis=0).item() == 0
    loss = ops.cross_entropy(ms.zeros(ROWS, 2), np.zeros(ROWS, int))
    assert abs(loss.item() - np.log(2)) <= EPS


@pytest.mark.core
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_mean_of_ones_is_one(dtype):
    assert [n for n in range(1, 1000) if ms.ones(n, dtype=dtype).mean().item() != 1] == []
    assert ms.ones(3, 41, 7, dtype=dtype).mean(axis=(0, 1)).numpy().tolist() == [1] * 7
    assert ops.global_avg_pool2d(ms.ones(1, 1, 41, 47, dtype=dtype)).item() == 1


@pytest.mark.core
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_powers_that_are_numbers_of_the_dtype_are_exact(dtype):
    exponents = np.arange(-14, 16)
    x = ms.tensor(exponents.astype(dtype))
    np.testing.assert_array_equal((2**x).numpy(), 2.0**exponents)
    np.testing.assert_array_equal((4.0 ** (x * 0.5)).numpy(), 2.0**exponents)
    np.testing.assert_array_equal((10 ** x[14:19]).numpy(), [1, 10, 100, 1000, 10_000])
    squares = ms.tensor(np.arange(1, 200).astype(dtype))
    np.testing.assert_array_equal((squares**2).numpy(), (np.arange(1, 200.0) ** 2).astype(dtype))
    np.testing.assert_array_equal(((squares[:100] ** 2) ** 0.5).numpy(), np.arange(1, 101))
    assert int((2 ** ms.tensor(19)).item()) == 2**19


def test_derivative_of_a_power_of_a_number_agrees_with_pytorch(torch):
    x = np.linspace(-3, 3, 7)
    ours, theirs = ms.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    (2.5**ours).sum().backward()
    (2.5**theirs).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-14)


# --- float16 is rounded once -------------------------------------------------------------------------------


def half(values, **settings):
    return ms.tensor(np.array(values, np.float16), **settings)


NUMBERS_WITH_FLOAT16 = {
    "x · 1e-6": (lambda x: x * 1e-6, [1e-6, 2e-6, 3e-6]),
    "1e-6 · x": (lambda x: 1e-6 * x, [1e-6, 2e-6, 3e-6]),
    "x · 0.1": (lambda x: x * 0.1, [0.1, 0.2, 0.3]),
    "x / 1e5": (lambda x: x / 1e5, [1e-5, 2e-5, 3e-5]),
    "70000 / x": (lambda x: 70000 / (2 * x), [35000, 17500, 70000 / 6]),
    "x ** 0.1": (lambda x: x**0.1, np.array([1, 2, 3.0]) ** 0.1),
    "1.1 ** x": (lambda x: 1.1**x, [1.1, 1.21, 1.331]),
}


@pytest.mark.parametrize(("function", "expected"), NUMBERS_WITH_FLOAT16.values(), ids=NUMBERS_WITH_FLOAT16.keys())
def test_number_is_applied_to_float16_in_float32(function, expected):
    y = function(half([1, 2, 3]))
    assert y.dtype == np.float16
    np.testing.assert_array_equal(y.numpy(), np.array(expected).astype(np.float16))


@pytest.mark.parametrize("mode", ["numpy", "threads"])  # the modes that compute float16 without a GPU
def test_mean_cross_entropy_of_float16_is_rounded_once(mode):
    if mode == "threads" and (reason := kernels_missing()):
        pytest.skip(reason)
    with kernel_mode(mode):
        loss = ops.cross_entropy(half(np.zeros((300, 1000))), np.zeros(300, int))
        assert loss.dtype == np.float16 and loss.item() == np.float16(np.log(1000))
        assert kernels.cross_entropy(*[np.zeros((2, 3), np.float16)] * 2).dtype == np.float32


def kernels_missing():
    from minisk.runtime import why_no_kernels

    return why_no_kernels()


def test_gradient_of_cross_entropy_of_many_float16_rows_does_not_underflow_on_the_way():
    logits = half(np.zeros((4096, 2)), requires_grad=True)
    loss = ops.cross_entropy(logits, np.zeros(4096, int))
    for settings in ({}, {"create_graph": True}):
        (gradient,) = ms.grad(loss, logits, half(1024.0), retain_graph=True, **settings)
        np.testing.assert_array_equal(gradient.numpy()[0], [-0.125, 0.125])


def test_more_ties_than_float16_can_count_share_the_gradient():
    x = half(np.ones(70_000), requires_grad=True)
    (dx,) = ms.grad(x.max(), x, half(1024.0))
    np.testing.assert_array_equal(dx.numpy(), np.full(70_000, np.float16(1024 / 70_000)))


@pytest.mark.parametrize("is_recorded", [False, True])
def test_fixed_statistics_of_float16_images_are_not_rounded_to_float16(is_recorded):
    x = half(np.full((2, 1, 2, 2), 1000), requires_grad=True)
    one, zero = half([1], requires_grad=True), half([0])
    out = ops.batch_norm(x, one, zero, ms.tensor([0.25], dtype="float32"), ms.tensor([1e6], dtype="float32"), False)
    np.testing.assert_array_equal(out.numpy(), np.full((2, 1, 2, 2), np.float16(0.99975)))
    dx, dweight = ms.grad(out.sum(), [x, one], create_graph=is_recorded)
    np.testing.assert_array_equal(dx.numpy(), np.full((2, 1, 2, 2), np.float16(1e-3)))
    assert dweight.item() == np.float16(8 * 0.99975)


def test_running_statistics_in_float16_are_updated_with_one_rounding():
    mean, var = half([0.1]), half([1])
    x = half(np.full((2, 1, 1, 1), 3))
    ops.batch_norm(x, half([1]), half([0]), mean, var, training=True, momentum=0.1)
    assert mean.item() == np.float16(0.9 * np.float64(np.float16(0.1)) + 0.3)


@pytest.mark.parametrize("value", [1e20, 1e-25])
def test_norm_of_gradients_whose_squares_leave_float32(value):
    weight = nn.Parameter(np.zeros(3, np.float32))
    weight.grad = ms.Tensor(np.full(3, value, np.float32))
    norm = optim.clip_grad_norm_([weight], 1.0)
    assert norm.item() == pytest.approx(np.sqrt(3) * value, rel=1e-6)
    assert np.abs(weight.grad.numpy()).max() == pytest.approx(min(value, 1 / np.sqrt(3)), rel=1e-5)


def test_norm_of_float16_gradients_may_exceed_float16():
    weight = nn.Parameter(np.zeros(100, np.float16))
    weight.grad = half(np.full(100, 60_000))
    assert optim.clip_grad_norm_([weight], 1.0).item() == pytest.approx(600_000, rel=1e-3)
    np.testing.assert_allclose(weight.grad.numpy(), np.full(100, 0.1), rtol=2e-3)
