"""The layers of minisk.nn against PyTorch's, their multiply-adds, and their initial weights."""

import re

import numpy as np
import pytest
from module_parity import assert_equal_states, assert_parity, randomized, torch_state, values_of
from parity import assert_close, distinct, weights_like

import minisk as ms
from minisk import models, nn
from minisk.errors import DtypeError, MiniskError

# --- Against PyTorch --------------------------------------------------------------------------

LAYERS = [
    ("Conv2d", (4, 6, 3), {}, (3, 4, 7, 6)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}, (3, 4, 7, 6)),
    ("Conv2d", (4, 4, 3), {"padding": 2, "dilation": 2, "groups": 4, "bias": False}, (3, 4, 7, 6)),
    ("Linear", (4, 3), {}, (5, 4)),
    ("Linear", (4, 3), {"bias": False}, (2, 5, 4)),
    ("BatchNorm1d", (4,), {}, (5, 4)),
    ("BatchNorm1d", (4,), {"eps": 1e-2}, (3, 4, 6)),
    ("BatchNorm2d", (4,), {}, (3, 4, 5, 6)),
    ("BatchNorm2d", (4,), {"eps": 1e-2, "momentum": 0.3}, (3, 4, 5, 6)),
    ("ReLU", (), {}, (3, 4)),
    ("MaxPool2d", (3,), {}, (2, 3, 8, 7)),
    ("MaxPool2d", ((3, 2), 2), {"padding": 1, "ceil_mode": True}, (2, 3, 8, 7)),
    ("AvgPool2d", (3, (2, 1)), {"padding": 1}, (2, 3, 8, 7)),
]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("name", "args", "settings", "shape"), LAYERS)
def test_a_layer_equals_pytorchs_in_output_and_every_gradient(torch, name, args, settings, shape, training):
    ours = randomized(getattr(nn, name)(*args, **settings)).train(training)
    theirs = getattr(torch.nn, name)(*args, **settings).double().train(training)
    theirs.load_state_dict(
        torch_state(torch, ours), strict=False
    )  # not strict: PyTorch's batch norm also counts its batches
    assert_parity(torch, ours, distinct([shape], seed=2)[0], theirs, dict(theirs.named_parameters()))


def test_dropout_zeroes_and_rescales_in_training_and_is_the_identity_in_evaluation():
    ms.manual_seed(0)
    layer, x = nn.Dropout(0.25), ms.tensor(np.ones((100, 100)))
    values, counts = np.unique(layer(x).numpy(), return_counts=True)
    np.testing.assert_allclose(values, [0, 4 / 3])
    assert abs(counts[0] / 10_000 - 0.25) < 0.02  # 4.6 standard deviations
    assert layer.eval()(x) is x


@pytest.mark.parametrize(
    ("layer", "output_shape", "macs"),
    [
        (lambda: nn.Conv2d(4, 6, (3, 2), groups=2), (5, 6, 7, 8), 5 * 6 * 7 * 8 * (2 * 3 * 2)),
        (lambda: nn.Linear(4, 3), (5, 2, 3), 5 * 2 * 3 * 4),
        (lambda: nn.BatchNorm2d(4), (5, 4, 3, 3), 0),
        (lambda: models.SKConv(8, [(3, 1, 2)] * 3), (5, 8, 7, 7), 3 * (5 * 8 * 7 * 7)),  # the select step alone
    ],
    ids=["grouped convolution", "linear", "batch norm", "selective kernel"],
)
def test_a_layer_counts_its_own_multiply_adds(layer, output_shape, macs):
    assert layer().macs(ms.zeros(output_shape)) == macs


# --- Arguments ----------------------------------------------------------------------------------------------

NOT_SIZES = [0, -1, 2.0, "3", None]


@pytest.mark.parametrize(
    ("make", "name", "values"),
    [
        (lambda size: nn.Linear(size, 3), "Linear: in_features", NOT_SIZES),
        (lambda size: nn.Linear(3, size), "Linear: out_features", NOT_SIZES),
        (lambda size: nn.Conv2d(size, 4, 3), "Conv2d: in_channels", NOT_SIZES),
        (lambda size: nn.Conv2d(4, size, 3), "Conv2d: out_channels", NOT_SIZES),
        (lambda size: nn.Conv2d(4, 4, 3, groups=size), "Conv2d: groups", NOT_SIZES),
        (lambda size: nn.Conv2d(4, 4, size), "Conv2d: kernel_size", [*NOT_SIZES, (1, 0), (1, 2, 3)]),
        (lambda size: nn.Conv2d(4, 4, 3, stride=size), "Conv2d: stride", NOT_SIZES),
        (lambda size: nn.Conv2d(4, 4, 3, dilation=size), "Conv2d: dilation", NOT_SIZES),
        (lambda size: nn.Conv2d(4, 4, 3, padding=size), "Conv2d: padding", [*NOT_SIZES[1:], "same"]),
        (lambda size: nn.BatchNorm2d(size), "BatchNorm2d: num_features", NOT_SIZES),
        (lambda size: nn.MaxPool2d(size), "MaxPool2d: kernel_size", NOT_SIZES),
        (lambda size: nn.AvgPool2d(2, stride=size), "AvgPool2d: stride", NOT_SIZES[:-1]),
        (lambda size: nn.AvgPool2d(2, padding=size), "AvgPool2d: padding", NOT_SIZES[1:]),
        (lambda eps: nn.BatchNorm2d(3, eps=eps), "BatchNorm2d: eps", [-1e-9, np.nan, "0", None]),
        (lambda share: nn.BatchNorm2d(3, momentum=share), "BatchNorm2d: momentum", [-0.1, 1.1, np.nan, None]),
        (lambda p: nn.Dropout(p), "Dropout: p", [-0.1, 1, np.nan, "0.5", None]),
    ],
)
def test_a_size_or_share_out_of_range_is_an_error_of_the_constructor(make, name, values):
    for value in values:
        with pytest.raises(MiniskError, match=re.escape(f"{name} {value!r} must be")):
            make(value)


def test_data_in_float64_names_the_remedy():
    with pytest.raises(DtypeError, match=r"x float64, weight float32, .*: convert with \.to\(dtype='float32'\)"):
        nn.Linear(4, 3)(ms.tensor(np.ones((2, 4))))


def test_small_layers_are_their_operations():
    x = ms.tensor(distinct([(2, 3, 4)])[0])
    assert nn.Flatten()(x).shape == (2, 12)
    assert nn.Flatten()(ms.zeros(0, 3, 4)).shape == (0, 12)
    assert nn.Identity()(x) is x
    assert_close(nn.Sigmoid()(x), 1 / (1 + np.exp(-x.numpy())), "float64")
    assert_close(nn.Tanh()(x), np.tanh(x.numpy()), "float64")


# --- Batch norm ---------------------------------------------------------------------------------------------


def test_running_statistics_equal_pytorchs_after_several_batches(torch):
    ours, theirs = nn.BatchNorm2d(4, momentum=0.05).to(dtype="float64"), torch.nn.BatchNorm2d(4, momentum=0.05).double()
    for seed, batch in enumerate([2, 1, 5, 3]):
        x = distinct([(batch, 4, 3, 2)], seed)[0] * 3 + 7
        assert_close(ours(ms.tensor(x)), theirs(torch.tensor(x)).numpy(force=True), "float64")
    for name in ("running_mean", "running_var"):
        assert_close(getattr(ours, name), getattr(theirs, name).numpy(), "float64", name)
    before = values_of(ours.state_dict())
    ours.eval()(ms.tensor(x))
    assert_equal_states(values_of(ours.state_dict()), before)


def test_a_frozen_batch_norm_keeps_running_statistics_scale_and_bias_also_in_training():
    norm = randomized(nn.BatchNorm2d(4))
    x = ms.tensor(distinct([(3, 4, 5, 6)])[0], requires_grad=True)
    norm(x).sum().backward()
    assert norm.freeze() is norm
    assert norm.weight.grad is None and norm.bias.grad is None, "an optimizer would still apply an old gradient"
    before, expected = values_of(norm.state_dict()), norm.eval()(x.detach()).numpy()
    x.grad, incoming = None, ms.tensor(weights_like([x], 0)[0])
    out = norm.train()(x)
    out.backward(incoming)
    assert_close(out, expected, "float64")
    factor = before["weight"] / np.sqrt(before["running_var"] + norm.eps)
    assert_close(x.grad, factor[:, None, None] * incoming.numpy(), "float64", "gradient of x")
    assert_equal_states(values_of(norm.state_dict()), before)
    assert not any(p.requires_grad or p.grad is not None for p in norm.parameters())


# --- Initial weights ----------------------------------------------------------------------------------------


def test_initial_weights_have_the_standard_deviation_of_their_definition():
    ms.manual_seed(1)
    sk = models.SKConv(128, [(3, 1, 2)], r=2)
    grouped, dense = nn.Conv2d(64, 96, 3, groups=2), nn.Linear(200, 100)
    he = {grouped: np.sqrt(2 / (32 * 9)), dense: np.sqrt(2 / 200), sk.convs[0]: np.sqrt(2 / (64 * 9))}
    for layer, std in {**he, sk.fc1: 0.01, sk.fc2: 0.01}.items():
        weight, values = layer.weight, layer.weight.numpy() / std
        # Five standard deviations of each estimate.
        assert abs(values.mean()) < 5 / np.sqrt(weight.size) and abs(values.std() - 1) < 5 / np.sqrt(2 * weight.size)


def test_initial_weights_depend_on_the_seed_and_not_on_the_dtype():
    def weight(seed, dtype):
        ms.manual_seed(seed)
        return nn.init.kaiming_normal_(nn.Parameter(np.empty((4, 3, 3, 3), dtype))).numpy()

    np.testing.assert_array_equal(weight(5, "float32"), weight(5, "float32"))
    np.testing.assert_array_equal(weight(5, "float32"), weight(5, "float64").astype("float32"))
    assert (weight(5, "float32") != weight(6, "float32")).all()


def test_skipped_draws_no_initial_weights_inside_the_block_alone():
    ms.manual_seed(5)
    expected = nn.Conv2d(2, 3, 3).weight.numpy()
    ms.manual_seed(5)
    with nn.init.skipped():
        skipped = [nn.Conv2d(2, 3, 3).weight, nn.Linear(4, 2).weight]
    assert [weight.shape for weight in skipped] == [(3, 2, 3, 3), (2, 4)]
    assert not any(weight.numpy().any() for weight in skipped)
    assert np.array_equal(nn.Conv2d(2, 3, 3).weight.numpy(), expected)
