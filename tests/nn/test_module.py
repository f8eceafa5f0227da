"""minisk.nn.Module and its containers: parameters, state, modes, hooks."""

import numpy as np
import pytest
from module_parity import assert_equal_states, randomized, values_of
from parity import assert_close, distinct

import minisk as ms
from minisk import nn
from minisk.errors import ArgumentError, CheckpointError


class Net(nn.Module):
    """A module with every kind of attribute, on two levels, and one parameter under two names."""

    def __init__(self):
        self.scale = nn.Parameter(np.full(2, 3.0, np.float32))
        self.body = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
        self.seen = nn.Buffer(np.zeros((), np.float32))
        self.label, self.plain = "not a tensor", ms.tensor([1.0])
        self.head = nn.Linear(3, 3)
        self.shared = self.scale

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


PARAMETERS = ["scale", "body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias", "head.weight", "head.bias"]
BUFFERS = ["seen", "body.1.running_mean", "body.1.running_var"]


# --- Parameters, buffers and children -----------------------------------------------------------------------


def test_parameters_and_buffers_have_dotted_names_in_the_order_of_assignment():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == PARAMETERS
    assert [name for name, _ in net.named_buffers()] == BUFFERS
    assert list(net.state_dict()) == PARAMETERS + BUFFERS
    assert [name for name, _ in net.named_modules("net")] == ["net", "net.body", "net.body.0", "net.body.1", "net.head"]
    assert list(net.modules()) == [net, net.body, net.body[0], net.body[1], net.head]
    assert list(net.named_children()) == [("body", net.body), ("head", net.head)]
    assert list(net.children()) == [net.body, net.head]


def test_a_parameter_shared_by_two_modules_is_one_parameter():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    pair = nn.Sequential(first, second, first)
    assert [name for name, _ in pair.named_parameters()] == ["0.weight", "0.bias", "1.bias"]


def test_a_module_list_can_be_appended_to_indexed_and_iterated():
    layers = [nn.ReLU() for _ in range(12)]
    row = nn.ModuleList(layers[:11])
    row.append(layers[11])
    assert (len(row), list(row), row[10], row[-1]) == (12, layers, layers[10], layers[11])


@pytest.mark.parametrize(
    ("container", "arguments", "expected"),
    [
        (nn.Sequential, (nn.Linear(3, 3), ms.ops.relu), "argument 2 is a function"),
        (nn.Sequential, ([nn.Linear(3, 5), nn.ReLU()],), "argument 1 is a list"),
        (nn.Sequential, ({"a": nn.Linear(2, 2)},), "argument 1 is a dict"),
        (nn.Sequential, (nn.ReLU(), nn.ReLU), "argument 2 is the class ReLU"),
        (nn.Sequential, (None,), "argument 1 is a NoneType"),
        (nn.ModuleList, ([ms.ops.relu, nn.Linear(2, 2)],), "argument 1 is a function"),
        (nn.ModuleList, ({"a": nn.Linear(2, 2)},), "argument 1 is a str"),
        (nn.ModuleList, ([nn.Parameter([1.0])],), "argument 1 is a Parameter"),
    ],
)
def test_what_is_not_a_module_is_not_dropped_but_an_error(container, arguments, expected):
    with pytest.raises(ArgumentError, match=f"{container.__name__}: {expected}, expected a Module"):
        container(*arguments)


def test_appending_what_is_not_a_module_is_an_error():
    layers = nn.ModuleList([nn.ReLU()])
    with pytest.raises(ArgumentError, match="ModuleList: argument 2 is a function"):
        layers.append(ms.ops.relu)
    assert len(layers) == 1


def test_keywords_reach_forward():
    class Scaled(nn.Module):
        def forward(self, x, scale=1.0):
            return x * scale

    assert Scaled()(ms.tensor([3.0]), scale=2.0).item() == 6.0
    with pytest.raises(TypeError, match="scal"):
        Scaled()(ms.tensor([3.0]), scal=2.0)


@pytest.mark.parametrize("kind", [nn.Parameter, nn.Buffer])
@pytest.mark.parametrize("data", [[1.0, 2.0], ms.tensor([1.0, 2.0]), np.array([1, 2], np.float32)])
def test_a_parameter_or_buffer_is_made_from_a_list_a_tensor_or_an_array(kind, data):
    made = kind(data)
    assert (made.numpy().tolist(), str(made.dtype), made.requires_grad) == ([1, 2], "float32", kind is nn.Parameter)
    made.data[...] = 0
    assert list(data) == [1, 2], "the values are copied"


def test_sequential_applies_its_modules_in_order():
    layer, x = randomized(nn.Linear(4, 2)), distinct([(2, 4, 3, 5)])[0]
    expected = x.mean((2, 3)) @ layer.weight.numpy().T + layer.bias.numpy()
    assert_close(nn.Sequential(nn.GlobalAvgPool2d(), layer)(ms.tensor(x)), expected, "float64")


# --- State --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_arrays", [False, True], ids=["tensors", "arrays"])
def test_loading_a_state_dict_copies_values_and_keeps_the_dtype(as_arrays):
    one, other = randomized(Net()), Net()
    state = {k: v.numpy() for k, v in one.state_dict().items()} if as_arrays else one.state_dict()
    assert other.load_state_dict(state) == ([], [])
    expected = {name: values.astype("float32") for name, values in values_of(one.state_dict()).items()}
    for tensor in one.state_dict().values():
        tensor.data[...] = 0  # the loaded module must not share this memory
    assert_equal_states(values_of(other.state_dict()), expected)
    assert {str(tensor.dtype) for tensor in other.state_dict().values()} == {"float32"}


@pytest.mark.parametrize(
    ("change", "strict", "expected"),
    [
        (lambda state: [state.pop("scale"), state.pop("seen")], True, r"2 missing: scale, seen"),
        (lambda state: state.update(tail=np.ones(2)), True, r"1 unexpected: tail"),
        (
            lambda state: state.update({"head.bias": np.ones(4)}),
            True,
            r"1 wrong shape: head.bias \(4,\) instead of \(3",
        ),
        (
            lambda state: state.update({"head.bias": np.ones(4)}),
            False,
            r"1 wrong shape: head.bias \(4,\) instead of \(3",
        ),
        (lambda state: [state.pop(name) for name in PARAMETERS], True, r"7 missing: scale, body.0.weight, .*bias, …"),
    ],
    ids=["missing", "unexpected", "wrong shape", "wrong shape, not strict", "many"],
)
def test_a_state_that_does_not_fit_is_an_error_that_names_entries_and_copies_nothing(change, strict, expected):
    net = randomized(Net())
    before, state = values_of(net.state_dict()), values_of(randomized(Net(), seed=1).state_dict())
    change(state)
    with pytest.raises(CheckpointError, match=expected):
        net.load_state_dict(state, strict)
    assert_equal_states(values_of(net.state_dict()), before)


def test_loading_without_strict_copies_what_fits_and_returns_missing_and_unexpected_names():
    net, state = randomized(Net()), values_of(randomized(Net(), seed=1).state_dict())
    bias, weight = net.head.bias.numpy().copy(), state["head.weight"].copy()
    del state["head.bias"]
    assert net.load_state_dict({**state, "tail": np.ones(2)}, strict=False) == (["head.bias"], ["tail"])
    np.testing.assert_array_equal(net.head.bias.numpy(), bias)
    np.testing.assert_array_equal(net.head.weight.numpy(), weight)


def test_loading_weights_between_forward_and_backward_is_an_error():
    net, x = nn.Linear(2, 2), ms.tensor(np.ones((2, 2), np.float32), requires_grad=True)
    loss = net(x).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(ms.GraphError):
        loss.backward()


# --- Modes, dtype, hooks ------------------------------------------------------------------------------------


def test_train_and_eval_set_the_mode_of_a_module_and_all_below_it():
    net = Net()
    assert all(module.training for module in net.modules())
    assert net.eval() is net and not any(module.training for module in net.modules())
    net.body.train()
    assert [module.training for module in net.modules()] == [False, True, True, True, False]
    assert net.train() is net and all(module.training for module in net.modules())


@pytest.mark.parametrize("clear", [lambda net: net.to(dtype="float64"), nn.Module.zero_grad], ids=["to", "zero_grad"])
def test_zero_grad_and_a_change_of_dtype_set_gradients_to_none(clear):
    net = Net()
    net(ms.tensor(np.ones((2, 2, 3, 3), np.float32))).sum().backward()
    assert net.head.weight.grad is not None
    clear(net)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_to_changes_the_dtype_of_parameters_and_buffers_in_place():
    net = Net()
    before = [id(tensor) for tensor in [*net.parameters(), *net.buffers()]]
    assert net.to(dtype="float64") is net
    assert [id(tensor) for tensor in [*net.parameters(), *net.buffers()]] == before
    assert {str(tensor.dtype) for tensor in net.state_dict().values()} == {"float64"}
    assert net(ms.tensor(np.ones((2, 2, 3, 3)))).dtype == "float64"


def test_forward_hooks_are_called_in_order_until_removed():
    layer, x, calls = nn.ReLU(), ms.tensor([-1.0, 2.0]), []
    remove_before = layer.register_forward_pre_hook(lambda module, inputs: calls.append(("before", module, inputs)))
    remove = layer.register_forward_hook(lambda module, inputs, out: calls.append(("first", module, inputs, out)))
    layer.register_forward_hook(lambda module, inputs, out: calls.append(("second", module, inputs, out)))
    out = layer(x)
    assert calls == [("before", layer, (x,)), ("first", layer, (x,), out), ("second", layer, (x,), out)]
    remove()
    remove_before()
    layer(x)
    assert [call[0] for call in calls] == ["before", "first", "second", "second"]


def test_only_a_hook_with_always_call_is_called_after_an_error():
    layer, calls = nn.BatchNorm2d(3), []
    layer.register_forward_hook(lambda module, inputs, out: calls.append("plain"))
    layer.register_forward_hook(lambda module, inputs, out: calls.append(out), always_call=True)
    with pytest.raises(ms.ShapeError):
        layer(ms.tensor([1.0]))
    assert calls == [None]


def test_a_hook_that_removes_itself_does_not_skip_the_next_one():
    layer, seen = nn.ReLU(), []
    removers = [layer.register_forward_hook(lambda module, inputs, out: removers[0]())]
    layer.register_forward_hook(lambda module, inputs, out: seen.append(out))
    layer(ms.tensor([1.0]))
    assert len(seen) == 1


def test_repr_shows_settings_and_the_shapes_of_parameters():
    net = nn.Sequential(nn.Linear(3, 4), nn.MaxPool2d(2), nn.ReLU()).eval()
    lines = ["(0): Linear(weight=(4, 3), bias=(4,))", "(2): ReLU()"]
    pool = "(1): MaxPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0), ceil_mode=False)"
    assert repr(net) == f"Sequential(\n  {lines[0]}\n  {pool}\n  {lines[1]}\n)"
    net.scale = nn.Parameter(np.ones(2))
    assert repr(net) == f"Sequential(\n  scale=(2,)\n  {lines[0]}\n  {pool}\n  {lines[1]}\n)"
