"""Optimizers: equal to PyTorch's step for step, and resumable bit for bit."""

import numpy as np
import pytest
from parity import distinct

import minisk as ms
from minisk import nn, optim
from minisk.errors import CheckpointError, GraphError, ShapeError

SHAPES = [(3, 4), (4,), ()]
STEPS = 10

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
]
each_optimizer = pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
each_stateful = pytest.mark.parametrize(("name", "settings"), OPTIMIZERS[3:5], ids=["SGD", "AdamW"])


def weights(dtype="float64"):
    return [nn.Parameter(array.astype(dtype)) for array in distinct(SHAPES)]


def give_gradients(parameters, step):
    for parameter, grad in zip(parameters, distinct(SHAPES, seed=step + 1), strict=True):
        parameter.grad = ms.tensor(grad.astype(parameter.dtype))


def take_steps(optimizer, parameters, steps):
    for step in steps:
        give_gradients(parameters, step)
        optimizer.step()


def arrays(parameters):
    return [parameter.numpy().copy() for parameter in parameters]


def assert_equals_pytorch(name, settings, ours_of, theirs_of, without=lambda step: ()):
    """Take ten steps with the same gradients, none for the parameters `without(step)` lists; compare the weights."""
    torch = pytest.importorskip("torch")
    parameters = weights()
    references = [torch.tensor(array, requires_grad=True) for array in arrays(parameters)]
    ours = getattr(optim, name)(ours_of(parameters), **settings)
    theirs = getattr(torch.optim, name)(theirs_of(references), **settings)
    for step in range(STEPS):
        give_gradients(parameters, step)
        for i, (parameter, reference) in enumerate(zip(parameters, references, strict=True)):
            if i in without(step):
                parameter.grad = reference.grad = None
            else:
                reference.grad = torch.tensor(parameter.grad.numpy())
        ours.step()
        theirs.step()
        for parameter, reference in zip(parameters, references, strict=True):
            np.testing.assert_allclose(parameter.numpy(), reference.numpy(force=True), rtol=1e-12, atol=0)


# --- Optimizers ---------------------------------------------------------------------------------------------


@each_optimizer
def test_ten_steps_equal_pytorchs(name, settings):
    assert_equals_pytorch(name, settings, list, list)


@each_optimizer
def test_groups_override_the_defaults_for_their_parameters(name, settings):
    def groups(parameters):
        return [{"params": parameters[:1], "weight_decay": 0.2}, {"params": iter(parameters[1:]), "lr": 0.02}]

    assert_equals_pytorch(name, settings, groups, groups)


@pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
def test_a_parameter_without_a_gradient_is_skipped_and_its_update_count_starts_later(name, settings):
    assert_equals_pytorch(name, settings, list, list, without=lambda step: {0: [0, 1], 1: [1], 5: [2]}.get(step, ()))


@each_optimizer
def test_float32_weights_and_their_state_stay_float32(name, settings):
    parameters = weights("float32")
    optimizer = getattr(optim, name)(parameters, **{**settings, "lr": np.float64(0.1)})
    take_steps(optimizer, parameters, range(2))
    state = [array for one in optimizer.state_dict()["state"] for array in one.values()]
    assert {str(array.dtype) for array in [*arrays(parameters), *state]} == {"float32"}


def test_a_step_changes_the_parameters_array_in_place():
    parameter = nn.Parameter(np.ones(3))
    memory, alias = parameter.data, parameter.detach()
    parameter.grad = ms.tensor(np.full(3, 2.0))
    optim.SGD([parameter], lr=0.25).step()
    assert parameter.data is memory
    np.testing.assert_array_equal(alias.numpy(), np.full(3, 0.5))


def test_zero_grad_clears_the_gradients_of_all_groups():
    parameters = weights()
    optimizer = optim.SGD([{"params": parameters[:1]}, {"params": parameters[1:]}], lr=0.1)
    give_gradients(parameters, 0)
    optimizer.zero_grad()
    assert [parameter.grad for parameter in parameters] == [None] * 3


def test_an_optimizer_without_parameters_is_an_error():
    with pytest.raises(ShapeError, match="SGD: no parameters"):
        optim.SGD([], lr=0.1)


@each_optimizer
def test_a_step_between_forward_and_backward_is_an_error(name, settings):
    parameter = nn.Parameter(np.ones(3))
    optimizer = getattr(optim, name)([parameter], **settings)
    parameter.grad = ms.tensor(np.ones(3))
    loss = (parameter * parameter).sum()
    optimizer.step()
    with pytest.raises(GraphError):
        loss.backward()


# --- Resuming -----------------------------------------------------------------------------------------------


@each_stateful
def test_a_resumed_optimizer_continues_bit_for_bit(name, settings):
    straight, interrupted = weights("float32"), weights("float32")
    take_steps(getattr(optim, name)(straight, **settings), straight, range(6))
    first = getattr(optim, name)(interrupted, **settings)
    take_steps(first, interrupted, range(3))
    # Different settings, which the saved ones must replace.
    second = getattr(optim, name)(interrupted, **{**settings, "lr": 77.0, "weight_decay": 0.5})
    second.load_state_dict(first.state_dict())
    take_steps(second, interrupted, range(3, 6))
    for one, other in zip(arrays(straight), arrays(interrupted), strict=True):
        np.testing.assert_array_equal(one, other)


@each_stateful
def test_loaded_state_is_a_copy(name, settings):
    parameters, others = weights(), weights()
    first, second = (getattr(optim, name)(ps, **settings) for ps in (parameters, others))
    take_steps(first, parameters, range(2))
    second.load_state_dict(first.state_dict())
    saved = [{key: array.copy() for key, array in state.items()} for state in second.state]
    take_steps(first, parameters, range(2, 4))
    for now, then in zip(second.state, saved, strict=True):
        assert now.keys() == then.keys() != set()
        assert all((now[key] == then[key]).all() for key in then)


@each_stateful
def test_loading_the_state_of_a_new_optimizer_clears_the_state(name, settings):
    parameters = weights()
    optimizer = getattr(optim, name)(parameters, **settings)
    fresh = optimizer.state_dict()
    take_steps(optimizer, parameters, range(2))
    optimizer.load_state_dict(fresh)
    assert [dict(state) for state in optimizer.state] == [{}, {}, {}]


def with_velocity(velocity):
    return {"steps": [1, 0, 0], "groups": [{}], "state": [velocity, {}, {}]}


@pytest.mark.parametrize(
    ("saved", "expected"),
    [
        (lambda: optim.SGD([nn.Parameter(np.ones(2))], lr=1.0).state_dict(), r"1 groups and 1 parameters.* 1 and 3"),
        (lambda: optim.SGD([{"params": weights()}, {"params": []}], lr=1.0).state_dict(), r"2 groups and 3 parameters"),
        (lambda: with_velocity({"velocity": np.ones((3, 5))}), r"parameter 0 does not fit \(3, 4\)"),
        (lambda: with_velocity({"mean": np.ones((3, 4)), "square": np.ones((3, 4))}), r"parameter 0 does not fit"),
    ],
    ids=["other parameters", "other groups", "other shape", "other optimizer"],
)
def test_the_state_of_other_parameters_is_an_error_and_changes_nothing(saved, expected):
    parameters = weights()
    optimizer = optim.SGD(parameters, lr=0.1, momentum=0.9)
    take_steps(optimizer, parameters, range(2))
    velocity = optimizer.state[0]["velocity"].copy()
    with pytest.raises(CheckpointError, match=f"SGD: .*{expected}"):
        optimizer.load_state_dict(saved())
    assert (optimizer.steps, optimizer.param_groups[0]["lr"]) == ([2, 2, 2], 0.1)
    np.testing.assert_array_equal(optimizer.state[0]["velocity"], velocity)
