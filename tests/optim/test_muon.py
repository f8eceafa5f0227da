"""Muon: its steps against a singular value decomposition, against PyTorch's, and for what PyTorch's does not take."""

import numpy as np
import pytest

import minisk as ms
from minisk import nn
from minisk.errors import ArgumentError, ShapeError
from minisk.optim import SGD, Muon

PLAIN = {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0, "nesterov": False}


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def step_of(optimizer_class, weight, gradients, **settings):
    """Return the weight after a step for each gradient."""
    parameter = nn.Parameter(weight)
    optimizer = optimizer_class([parameter], **settings)
    for grad in gradients:
        parameter.grad = ms.tensor(grad)
        optimizer.step()
    return parameter.numpy()


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6), (1, 7), (7, 1)])
def test_a_step_has_the_singular_vectors_of_the_gradient_and_singular_values_near_1(shape):
    grad = drawn(*shape)
    left, _, right = np.linalg.svd(grad, full_matrices=False)
    step = -step_of(Muon, np.zeros(shape), [grad], **PLAIN) / max(1.0, shape[0] / shape[1]) ** 0.5
    seen = left.T @ step @ right.T
    assert np.abs(seen - np.diag(np.diag(seen))).max() < 1e-9
    assert np.diag(seen).min() > 0.65
    assert np.diag(seen).max() < 1.25


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_length_of_the_gradient_does_not_change_the_step(scale):
    weight, grad = drawn(4, 6), drawn(4, 6, seed=1)
    expected, seen = (step_of(Muon, weight, [each], **PLAIN) for each in (grad, scale * grad))
    np.testing.assert_allclose(seen, expected, rtol=1e-3)


def test_a_gradient_of_zeros_moves_nothing():
    weight = drawn(3, 4)
    np.testing.assert_array_equal(step_of(Muon, weight, [np.zeros((3, 4))], **PLAIN), weight)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("shape", [(8, 12), (24, 6)])
def test_ten_steps_are_pytorchs_to_the_digits_of_bfloat16(shape, nesterov):
    torch = pytest.importorskip("torch")
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05, "nesterov": nesterov}
    weight, gradients = drawn(*shape).astype("float32"), drawn(10, *shape, seed=1).astype("float32")
    parameter = torch.tensor(weight, requires_grad=True)
    theirs = torch.optim.Muon([parameter], **settings)
    for grad in gradients:
        parameter.grad = torch.tensor(grad)
        theirs.step()
    moved = np.abs(parameter.numpy(force=True) - weight).max()
    assert np.abs(step_of(Muon, weight, gradients, **settings) - parameter.numpy(force=True)).max() < 0.02 * moved


def test_the_weight_of_a_convolution_is_a_matrix_of_one_row_for_each_output():
    weight, gradients = drawn(6, 4, 3, 2), drawn(3, 6, 4, 3, 2, seed=1)
    as_matrices = step_of(Muon, weight.reshape(6, 24), gradients.reshape(3, 6, 24))
    np.testing.assert_array_equal(step_of(Muon, weight, gradients).reshape(6, 24), as_matrices)


def test_a_grouped_convolution_is_a_matrix_for_each_group():
    weight, gradients = drawn(6, 4, 1, 1), drawn(3, 6, 4, 1, 1, seed=1)
    halves = [step_of(Muon, weight[rows], gradients[:, rows]) for rows in (slice(3), slice(3, 6))]
    np.testing.assert_allclose(step_of(Muon, weight, gradients, groups=2), np.concatenate(halves), rtol=1e-12)


@pytest.mark.parametrize("shape", [(5,), ()])
def test_vectors_and_numbers_are_updated_as_sgd_does(shape):
    weight, gradients = drawn(*shape), drawn(3, *shape, seed=1)
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}
    np.testing.assert_array_equal(
        step_of(Muon, weight, gradients, **settings), step_of(SGD, weight, gradients, **settings)
    )


def test_a_small_network_learns():
    ms.manual_seed(0)
    model, images = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), ms.tensor(drawn(30, 8).astype("f4"))
    classes = ms.tensor(np.arange(30) % 3)
    optimizer = Muon(model.parameters(), lr=0.05)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = ms.ops.cross_entropy(model(images), classes)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("settings", "error", "expected"),
    [
        ({"ns_steps": 0}, ShapeError, "Muon: ns_steps 0 must be an integer of at least 1"),
        ({"ns_steps": 2.5}, ShapeError, "Muon: ns_steps 2.5 must be an integer"),
        ({"groups": 0}, ShapeError, "Muon: groups 0 must be"),
        ({"groups": 4}, ArgumentError, r"Muon: 4 groups do not divide the 6 rows of \(6, 2\)"),
        ({"lr": -1.0}, ArgumentError, "Muon: lr -1.0 must be"),
        ({"momentum": 1.0}, ArgumentError, "Muon: momentum 1.0 must be"),
        ({"momentum": 0.0}, ArgumentError, "Muon: nesterov has no effect with momentum 0"),
    ],
)
def test_a_setting_that_cannot_work_is_an_error(settings, error, expected):
    with pytest.raises(error, match=expected):
        Muon([nn.Parameter(drawn(6, 2))], **settings)
