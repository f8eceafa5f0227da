"""Optimizers: equal to PyTorch's step for step, and resumable bit for bit."""

import numpy as np
import pytest
from parity import distinct

import minisk as ms
from minisk import nn, optim
from minisk.errors import ArgumentError, CheckpointError, GraphError

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
MUON = ("Muon", {"lr": 0.1, "weight_decay": 0.01})
each_optimizer = pytest.mark.parametrize(("name", "settings"), OPTIMIZERS)
each_stateful = pytest.mark.parametrize(("name", "settings"), [*OPTIMIZERS[3:5], MUON], ids=["SGD", "AdamW", "Muon"])


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


W = nn.Parameter(np.ones((2, 3), np.float32))


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (W, "params is a Parameter, expected a list of Tensors"),
        (nn.Linear(2, 2), "params is a Linear, expected a list of Tensors"),
        ({W}, "params is a set, expected a list"),
        (None, "params is a NoneType, expected a list"),
        ([], "no parameters to optimize"),
        ([{"params": []}], "no parameters to optimize"),
        (iter([]), "no parameters to optimize"),
        ([1, 2], "parameter 0 is a int, expected a Tensor"),
        ([np.ones(3)], "parameter 0 is a ndarray, expected a Tensor"),
        (nn.Linear(2, 2).named_parameters(), "parameter 0 is a tuple, expected a Tensor"),
        ([W * 2], "parameter 0 is the result of 'mul', expected a leaf"),
        ([W, W[0]], "parameter 1 is the result of .*, expected a leaf"),
        ([ms.tensor([1, 2])], "parameter 0 has dtype int64, expected a floating"),
        ([W, nn.Parameter([1.0]), W], "parameter 2 is parameter 0 again"),
        ([{"params": [W]}, {"params": [W]}], "parameter 1 is parameter 0 again"),
        ([{"param": [W]}], r"a group must be a dict of params, lr, .*, not \['param'\]"),
        ([{"params": [W], "l_r": 1.0}], r"a group must be a dict .*, not \['params', 'l_r'\]"),
        ([{"params": [W]}, W], "a group must be a dict .*, not a Parameter"),
        ([{"params": [W], "lr": -1.0}], "lr -1.0 must be"),
    ],
)
def test_what_an_optimizer_cannot_train_is_an_error(params, expected):
    with pytest.raises(ArgumentError, match=f"SGD: {expected}"):
        optim.SGD(params, lr=0.1)


def test_one_tensor_as_a_group_is_trained():
    parameter = nn.Parameter(np.ones((2, 2), np.float32))
    optimizer = optim.SGD([{"params": parameter}], lr=0.1)
    (parameter * parameter).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(parameter.numpy(), 0.8, rtol=1e-6)


NOT_POSITIVE = [-1e-9, np.nan, np.inf, "0.1", None]
OUTSIDE_0_TO_1 = [*NOT_POSITIVE, 1.0]


@pytest.mark.parametrize(
    ("name", "setting", "values"),
    [
        ("SGD", "lr", NOT_POSITIVE),
        ("SGD", "momentum", OUTSIDE_0_TO_1),
        ("SGD", "weight_decay", NOT_POSITIVE),
        ("AdamW", "lr", NOT_POSITIVE),
        ("AdamW", "eps", NOT_POSITIVE),
        ("AdamW", "weight_decay", NOT_POSITIVE),
        ("AdamW", "betas", [0.9, (0.9,), (0.9, 0.99, 0.999), None]),
        ("AdamW", "betas", [(0.9, value) for value in OUTSIDE_0_TO_1]),
        ("AdamW", "betas", [(value, 0.9) for value in OUTSIDE_0_TO_1]),
    ],
)
def test_a_setting_out_of_range_is_an_error(name, setting, values):
    for value in values:
        with pytest.raises(ArgumentError, match=f"{name}: {setting.removesuffix('s')}"):
            getattr(optim, name)([W], **{"lr": 0.1, setting: value})


def test_nesterov_without_momentum_is_an_error():
    with pytest.raises(ArgumentError, match="SGD: nesterov has no effect with momentum 0"):
        optim.SGD([W], lr=0.1, nesterov=True)


def test_repr_shows_the_number_of_parameters_and_the_settings_of_each_group():
    optimizer = optim.SGD([{"params": [W], "lr": 1.0}, {"params": weights()}], lr=0.1)
    settings = "momentum=0.0, weight_decay=0.0, nesterov=False"
    assert repr(optimizer) == f"SGD(lr=1.0, {settings}, params=1; lr=0.1, {settings}, params=3)"


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
