"""conv_norm: a convolution and its batch norm are one operation in evaluation, and two wherever that could be seen."""

from __future__ import annotations

import numpy as np
import pytest
from module_parity import randomized
from parity import assert_close, distinct

import minisk as ms
from minisk import kernels, models, nn, ops
from minisk.autograd import Observer, observe
from minisk.errors import ShapeError
from minisk.nn import Conv2d, conv_norm

X = distinct([(3, 4, 9, 8)])[0]


@pytest.fixture
def pair():
    """A convolution of two groups and a batch norm with ReLU, in evaluation mode, in float64."""
    conv = randomized(nn.Conv2d(4, 6, 3, (1, 2), padding=(2, 1), dilation=(2, 1), groups=2, bias=False))
    return conv.eval(), randomized(nn.BatchNorm2d(6, eps=1e-2, relu=True)).eval()


@pytest.fixture
def calls(monkeypatch):
    """The names of the operations that are called: conv2d_affine, conv2d, batch_norm."""
    called = []

    def spy(name, operation):
        def run(*args, **settings):
            called.append(name)
            return operation(*args, **settings)

        monkeypatch.setattr(ops, name, run)

    for name in ("conv2d_affine", "conv2d", "batch_norm"):
        spy(name, getattr(ops, name))
    return called


def test_one_operation_gives_the_values_of_the_two(pair, calls):
    conv, norm = pair
    expected = norm(conv(ms.tensor(X, dtype="float64"))).numpy()
    calls.clear()
    with ms.no_grad():
        assert_close(conv_norm(conv, norm, ms.tensor(X, dtype="float64")), expected, "float64")
        norm.relu = False
        found = conv_norm(conv, norm, ms.tensor(X, dtype="float64")).numpy()
    assert calls == ["conv2d_affine", "conv2d_affine"]
    assert found.min() < 0
    np.testing.assert_array_equal(found > 0, expected > 0)


def test_a_changed_weight_or_statistic_counts_at_once(pair):
    conv, norm = pair
    x = ms.tensor(X, dtype="float64")
    for array in (conv.weight.data, norm.weight.data, norm.bias.data, norm.running_mean.data, norm.running_var.data):
        array *= 1.5
        with ms.no_grad():
            found = conv_norm(conv, norm, x)
        assert_close(found, norm(conv(x)).numpy(), "float64")


class Subclass(Conv2d):
    """A convolution that could do something else."""


def hooked(conv, norm):
    conv.register_forward_hook(lambda module, inputs, output: None)


def hooked_before(conv, norm):
    norm.register_forward_pre_hook(lambda module, inputs: None)


def biased(conv, norm):
    conv.bias = nn.Parameter(np.ones(6))


def in_training(conv, norm):
    norm.train()


def frozen_in_training(conv, norm):
    norm.train()
    norm.freeze()


def subclassed(conv, norm):
    conv.__class__ = Subclass


def normalized_otherwise(conv, norm):
    norm.normalize = ops.batch_norm


@pytest.mark.parametrize(
    "change", [hooked, hooked_before, biased, in_training, frozen_in_training, subclassed, normalized_otherwise]
)
def test_pairs_of_another_kind_are_called_one_by_one(pair, calls, change):
    conv, norm = pair
    change(conv, norm)
    with ms.no_grad():
        conv_norm(conv, norm, ms.tensor(X, dtype="float64"))
    assert "conv2d_affine" not in calls and calls[0] == "conv2d"


@pytest.mark.parametrize(
    "block",
    [ms.enable_grad, lambda: observe(Observer()), lambda: kernels.replaced(relu=kernels.relu)],
    ids=["gradients", "an observer", "a replaced kernel"],
)
def test_blocks_that_need_both_modules_call_them_one_by_one(pair, calls, block):
    conv, norm = pair
    with ms.no_grad(), block():
        conv_norm(conv, norm, ms.tensor(X, dtype="float64"))
    assert calls == ["conv2d", "batch_norm"]


def test_mixed_precision_keeps_the_float32_statistics_of_the_batch_norm(pair, calls):
    conv, norm = (module.to(dtype="float32") for module in pair)
    with ms.no_grad(), ms.autocast():
        assert conv_norm(conv, norm, ms.tensor(X, dtype="float32")).dtype == "float16"
    assert calls == ["conv2d", "batch_norm"]


def test_a_norm_of_other_channels_is_an_error_of_the_batch_norm(pair):
    conv, _ = pair
    with ms.no_grad(), pytest.raises(ShapeError, match=r"batch_norm: weight \(5,\)"):
        conv_norm(conv, nn.BatchNorm2d(5).to(dtype="float64").eval(), ms.tensor(X, dtype="float64"))


def test_a_hook_that_was_removed_is_no_hook(pair, calls):
    conv, norm = pair
    remove = conv.register_forward_hook(lambda module, inputs, output: None)
    assert conv.has_hooks() and not norm.has_hooks()
    remove()
    with ms.no_grad():
        conv_norm(conv, norm, ms.tensor(X, dtype="float64"))
    assert calls == ["conv2d_affine"]


def test_a_sequence_pairs_a_convolution_with_the_module_after_it(pair, calls):
    conv, norm = pair
    last = randomized(nn.Conv2d(6, 2, 1)).eval()
    with ms.no_grad():
        nn.Sequential(conv, norm, nn.ReLU(), last)(ms.tensor(X, dtype="float64"))
    assert calls == ["conv2d_affine", "conv2d"]


@pytest.mark.parametrize("name", ["sknet_small", "skresnet18", "attention56", "inception_v3", "resnext50_cbam"])
def test_a_network_in_evaluation_computes_nearly_every_norm_of_a_convolution_with_it(calls, name):
    ms.manual_seed(0)
    model = models.create(name, num_classes=3).eval()
    x = ms.tensor(distinct([(1, 3, 80, 80)])[0], dtype="float32")
    expected = model(x).numpy()
    separate = calls.count("batch_norm")
    calls.clear()
    with ms.no_grad():
        found = model(x)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4 * abs(expected).max())
    # Norms before a convolution, as in attention56, stay.
    assert calls.count("conv2d_affine") + calls.count("batch_norm") == separate
    assert calls.count("batch_norm") < separate / 2
