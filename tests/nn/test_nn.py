"""minisk.nn: what a Module owns and remembers, and every layer against PyTorch's."""

import numpy as np
import pytest
from module_parity import assert_parity, randomized, torch_state, values_of
from parity import assert_close, distinct, weights_like

import minisk as ms
from minisk import models, nn
from minisk.errors import CheckpointError


class Net(nn.Module):
    """Every kind of thing a module can own, on two levels, with one parameter under two names."""

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


def assert_equal_states(found, expected):
    assert found.keys() == expected.keys()
    assert [name for name in expected if not np.array_equal(found[name], expected[name])] == []


# --- Module: what it owns -----------------------------------------------------------------------------------


def test_parameters_and_buffers_have_dotted_names_in_the_order_of_assignment():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == PARAMETERS
    assert [name for name, _ in net.named_buffers()] == BUFFERS
    assert list(net.state_dict()) == PARAMETERS + BUFFERS
    assert [name for name, _ in net.named_modules("net")] == ["net", "net.body", "net.body.0", "net.body.1", "net.head"]
    assert list(net.modules()) == [net, net.body, net.body[0], net.body[1], net.head]


def test_a_parameter_shared_by_two_modules_is_one_parameter():
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    pair = nn.Sequential(first, second, first)
    assert [name for name, _ in pair.named_parameters()] == ["0.weight", "0.bias", "1.bias"]


def test_module_lists_grow_are_indexed_and_looped_over():
    layers = [nn.ReLU() for _ in range(12)]
    row = nn.ModuleList(layers[:11])
    row.append(layers[11])
    assert (len(row), list(row), row[10], row[-1]) == (12, layers, layers[10], layers[11])


def test_sequential_applies_its_modules_one_after_the_other():
    layer, x = randomized(nn.Linear(4, 2)), distinct([(2, 4, 3, 5)])[0]
    expected = x.mean((2, 3)) @ layer.weight.numpy().T + layer.bias.numpy()
    assert_close(nn.Sequential(nn.GlobalAvgPool2d(), layer)(ms.tensor(x)), expected, "float64")


# --- Module: what it remembers ------------------------------------------------------------------------------


@pytest.mark.parametrize("as_arrays", [False, True], ids=["tensors", "arrays"])
def test_a_state_dict_makes_another_module_equal_up_to_its_dtype(as_arrays):
    one, other = randomized(Net()), Net()
    state = {k: v.numpy() for k, v in one.state_dict().items()} if as_arrays else one.state_dict()
    assert other.load_state_dict(state) == ([], [])
    expected = {name: values.astype("float32") for name, values in values_of(one.state_dict()).items()}
    for tensor in one.state_dict().values():
        tensor.data[...] = 0  # loading copied: what was given may change
    assert_equal_states(values_of(other.state_dict()), expected)
    assert {str(tensor.dtype) for tensor in other.state_dict().values()} == {"float32"}, "it keeps its own dtype"


@pytest.mark.parametrize(
    ("change", "strict", "told"),
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
def test_a_state_that_does_not_fit_is_told_by_name_and_nothing_is_copied(change, strict, told):
    net = randomized(Net())
    before, state = values_of(net.state_dict()), values_of(randomized(Net(), seed=1).state_dict())
    change(state)
    with pytest.raises(CheckpointError, match=told):
        net.load_state_dict(state, strict)
    assert_equal_states(values_of(net.state_dict()), before)


def test_loading_without_strict_returns_what_was_missing_and_unexpected_and_copies_the_rest():
    net, state = randomized(Net()), values_of(randomized(Net(), seed=1).state_dict())
    bias, weight = net.head.bias.numpy().copy(), state["head.weight"].copy()
    del state["head.bias"]
    assert net.load_state_dict({**state, "tail": np.ones(2)}, strict=False) == (["head.bias"], ["tail"])
    np.testing.assert_array_equal(net.head.bias.numpy(), bias)
    np.testing.assert_array_equal(net.head.weight.numpy(), weight)


def test_loading_weights_between_forward_and_backward_is_noticed():
    net, x = nn.Linear(2, 2), ms.tensor(np.ones((2, 2), np.float32), requires_grad=True)
    loss = net(x).sum()
    net.load_state_dict(net.state_dict())
    with pytest.raises(ms.GraphError):
        loss.backward()


# --- Module: how it runs ------------------------------------------------------------------------------------


def test_train_and_eval_switch_the_module_and_all_below_it():
    net = Net()
    assert all(module.training for module in net.modules())
    assert net.eval() is net and not any(module.training for module in net.modules())
    net.body.train()
    assert [module.training for module in net.modules()] == [False, True, True, True, False]
    assert net.train() is net and all(module.training for module in net.modules())


@pytest.mark.parametrize("forget", [lambda net: net.to(dtype="float64"), nn.Module.zero_grad], ids=["to", "zero_grad"])
def test_gradients_are_forgotten_by_zero_grad_and_by_another_dtype(forget):
    net = Net()
    net(ms.tensor(np.ones((2, 2, 3, 3), np.float32))).sum().backward()
    assert net.head.weight.grad is not None
    forget(net)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_to_changes_the_dtype_of_the_very_parameters_and_buffers_it_has():
    net = Net()
    before = [id(tensor) for tensor in [*net.parameters(), *net.buffers()]]
    assert net.to(dtype="float64") is net
    assert [id(tensor) for tensor in [*net.parameters(), *net.buffers()]] == before
    assert {str(tensor.dtype) for tensor in net.state_dict().values()} == {"float64"}
    assert net(ms.tensor(np.ones((2, 2, 3, 3)))).dtype == "float64"


def test_forward_hooks_see_module_and_output_in_order_until_removed():
    layer, seen = nn.ReLU(), []
    remove = layer.register_forward_hook(lambda module, out: seen.append(("first", module, out)))
    layer.register_forward_hook(lambda module, out: seen.append(("second", module, out)))
    out = layer(ms.tensor([-1.0, 2.0]))
    assert seen == [("first", layer, out), ("second", layer, out)]
    remove()
    layer(ms.tensor([1.0]))
    assert [name for name, _, _ in seen] == ["first", "second", "second"]


def test_a_hook_that_removes_itself_does_not_silence_the_next_one():
    layer, seen = nn.ReLU(), []
    removers = [layer.register_forward_hook(lambda module, out: removers[0]())]
    layer.register_forward_hook(lambda module, out: seen.append(out))
    layer(ms.tensor([1.0]))
    assert len(seen) == 1


# --- The layers, against PyTorch's --------------------------------------------------------------------------

LAYERS = [
    ("Conv2d", (4, 6, 3), {}, (3, 4, 7, 6)),
    ("Conv2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2}, (3, 4, 7, 6)),
    ("Conv2d", (4, 4, 3), {"padding": 2, "dilation": 2, "groups": 4, "bias": False}, (3, 4, 7, 6)),
    ("Linear", (4, 3), {}, (5, 4)),
    ("Linear", (4, 3), {"bias": False}, (2, 5, 4)),
    ("BatchNorm2d", (4,), {}, (3, 4, 5, 6)),
    ("BatchNorm2d", (4,), {"eps": 1e-2, "momentum": 0.3}, (3, 4, 5, 6)),
    ("ReLU", (), {}, (3, 4)),
    ("MaxPool2d", (3,), {}, (2, 3, 8, 7)),
    ("MaxPool2d", ((3, 2), 2), {"padding": 1, "ceil_mode": True}, (2, 3, 8, 7)),
    ("AvgPool2d", (3, (2, 1)), {"padding": 1}, (2, 3, 8, 7)),
]


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("name", "args", "settings", "shape"), LAYERS)
def test_a_layer_equals_pytorchs_in_its_output_and_every_gradient(torch, name, args, settings, shape, training):
    ours = randomized(getattr(nn, name)(*args, **settings)).train(training)
    theirs = getattr(torch.nn, name)(*args, **settings).double().train(training)
    theirs.load_state_dict(torch_state(torch, ours), strict=False)  # not strict: it also counts its batches
    assert_parity(torch, ours, distinct([shape], seed=2)[0], theirs, dict(theirs.named_parameters()))


def test_dropout_drops_and_rescales_in_training_and_does_nothing_in_evaluation():
    ms.manual_seed(0)
    layer, x = nn.Dropout(0.25), ms.tensor(np.ones((100, 100)))
    values, counts = np.unique(layer(x).numpy(), return_counts=True)
    np.testing.assert_allclose(values, [0, 4 / 3])
    assert abs(counts[0] / 10_000 - 0.25) < 0.02  # 4.6 standard deviations
    assert layer.eval()(x) is x


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
    assert norm.weight.grad is None and norm.bias.grad is None, "an optimizer would still apply what was left there"
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


def test_weights_start_with_the_spread_their_definition_says():
    ms.manual_seed(1)
    sk = models.SKConv(128, [(3, 1, 2)], r=2)
    grouped, dense = nn.Conv2d(64, 96, 3, groups=2), nn.Linear(200, 100)
    he = {grouped: np.sqrt(2 / (32 * 9)), dense: np.sqrt(2 / 200), sk.convs[0]: np.sqrt(2 / (64 * 9))}
    for layer, std in {**he, sk.fc1: 0.01, sk.fc2: 0.01}.items():
        weight, values = layer.weight, layer.weight.numpy() / std
        # Five standard deviations of each estimate.
        assert abs(values.mean()) < 5 / np.sqrt(weight.size) and abs(values.std() - 1) < 5 / np.sqrt(2 * weight.size)


def test_one_seed_makes_one_network_and_another_seed_another():
    def weight(seed, dtype):
        ms.manual_seed(seed)
        return nn.init.kaiming_normal_(nn.Parameter(np.empty((4, 3, 3, 3), dtype))).numpy()

    np.testing.assert_array_equal(weight(5, "float32"), weight(5, "float32"))
    np.testing.assert_array_equal(weight(5, "float32"), weight(5, "float64").astype("float32"))
    assert (weight(5, "float32") != weight(6, "float32")).all()


def test_a_module_is_shown_with_its_settings_and_the_shapes_of_its_parameters():
    net = nn.Sequential(nn.Linear(3, 4), nn.MaxPool2d(2), nn.ReLU()).eval()
    lines = ["(0): Linear(weight=(4, 3), bias=(4,))", "(2): ReLU()"]
    pool = "(1): MaxPool2d(kernel_size=2, stride=None, padding=0, ceil_mode=False)"
    assert repr(net) == f"Sequential(\n  {lines[0]}\n  {pool}\n  {lines[1]}\n)"
