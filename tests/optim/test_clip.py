"""Gradient clipping: equal to PyTorch's, and without a change where there is nothing to clip."""

import numpy as np
import pytest
from parity import distinct

import minisk as ms
from minisk import nn, optim
from minisk.errors import ArgumentError, MiniskError

SHAPES = [(3, 4), (5,), ()]


def parameters_with_gradients(dtype="float64"):
    parameters = [nn.Parameter(array.astype(dtype)) for array in distinct([*SHAPES, (2,)])]
    for parameter, grad in zip(parameters[:3], distinct(SHAPES, seed=1), strict=True):  # the last one has no gradient
        parameter.grad = ms.tensor(grad.astype(dtype))
    return parameters


def gradients(parameters):
    return [parameter.grad.numpy().copy() for parameter in parameters if parameter.grad is not None]


@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e3])
def test_clip_grad_norm_equals_pytorchs(torch, max_norm):
    ours = parameters_with_gradients()
    theirs = [torch.tensor(parameter.numpy(), requires_grad=True) for parameter in ours]
    for parameter, reference in zip(ours, theirs, strict=True):
        reference.grad = None if parameter.grad is None else torch.tensor(parameter.grad.numpy())
    norm = optim.clip_grad_norm_(ours, max_norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    np.testing.assert_allclose(norm.item(), expected.item(), rtol=1e-14)
    for gradient, reference in zip(gradients(ours), theirs, strict=False):
        np.testing.assert_allclose(gradient, reference.grad.numpy(), rtol=1e-14)


def test_clipping_keeps_float32_and_returns_the_norm_in_float64():
    parameters = parameters_with_gradients("float32")
    norm = optim.clip_grad_norm_(iter(parameters), 0.5)
    assert norm.shape == () and norm.dtype == np.float64
    assert {gradient.dtype for gradient in gradients(parameters)} == {np.dtype("float32")}
    assert optim.gradient_norm(parameters).item() == pytest.approx(0.5, rel=1e-5)


def test_one_tensor_may_be_given_instead_of_several():
    parameter = parameters_with_gradients()[0]
    assert optim.clip_grad_norm_(parameter, 1.0).item() > 1.0
    assert optim.gradient_norm([parameter]).item() == pytest.approx(1.0, rel=1e-5)


def test_parameters_without_gradients_have_norm_zero():
    assert optim.clip_grad_norm_([nn.Parameter(np.ones(2))], 1.0).item() == 0.0


@pytest.mark.parametrize("size", [1e20, 1e-25])  # the square overflows, or underflows, in float32
def test_the_norm_of_gradients_whose_squares_leave_float32_is_right(size):
    parameter = nn.Parameter(np.zeros(3, np.float32))
    parameter.grad = ms.tensor(np.full(3, size, np.float32))
    assert optim.clip_grad_norm_([parameter], np.inf).item() == pytest.approx(np.sqrt(3) * size, rel=1e-6)
    optim.clip_gradients([parameter], optim.gradient_norm([parameter]).item(), size / 10)
    np.testing.assert_allclose(parameter.grad.numpy(), size / 10 / np.sqrt(3), rtol=1e-6)


@pytest.mark.parametrize("max_norm", [-1.0, np.nan, "one"])
def test_a_bound_that_is_not_a_number_of_at_least_0_is_an_error(max_norm):
    with pytest.raises(ArgumentError, match=f"clip_grad_norm_: max_norm {max_norm!r} must be"):
        optim.clip_grad_norm_(parameters_with_gradients(), max_norm)


def test_a_module_in_place_of_its_parameters_is_an_error():
    with pytest.raises(ArgumentError, match="clip_grad_norm_: params is a Linear, expected a list of Tensors"):
        optim.clip_grad_norm_(nn.Linear(2, 2), 1.0)


def test_a_norm_that_is_not_finite_can_be_made_an_error():
    parameter = nn.Parameter(np.ones(2))
    parameter.grad = ms.tensor(np.array([np.inf, 1.0]))
    with pytest.raises(MiniskError, match="clip_grad_norm_: the norm of the gradients is inf"):
        optim.clip_grad_norm_([parameter], 1.0, error_if_nonfinite=True)
    assert parameter.grad.numpy().tolist() == [np.inf, 1.0]


@pytest.mark.parametrize(("norm", "max_norm"), [(2.0, 0.0), (2.0, 3.0), (np.inf, 1.0), (np.nan, 1.0)])
def test_clip_gradients_changes_nothing_below_the_bound_without_a_bound_or_for_a_norm_not_finite(norm, max_norm):
    parameters = parameters_with_gradients()
    before = gradients(parameters)
    optim.clip_gradients(parameters, norm, max_norm)
    for gradient, expected in zip(gradients(parameters), before, strict=True):
        np.testing.assert_array_equal(gradient, expected)


def test_clip_gradients_scales_to_the_bound():
    parameters = parameters_with_gradients()
    optim.clip_gradients(parameters, optim.gradient_norm(parameters).item(), 0.25)
    assert optim.gradient_norm(parameters).item() == pytest.approx(0.25, rel=1e-12)


def test_a_gradient_that_was_clipped_counts_as_written():
    parameter = parameters_with_gradients()[0]
    writes = parameter.grad.version.writes
    optim.clip_grad_norm_([parameter], 0.1)
    assert parameter.grad.version.writes > writes
