"""Infinite and NaN elements of inputs and incoming gradients reach what they reach in PyTorch, and nothing else."""

import itertools

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler
from operation_cases import DIFFERENTIABLE
from operations import counterparts
from parity import as_list, gradients, leaves, weights_like

import minisk as ms
from minisk import ops

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, about inf - inf

# Each spoiled array makes a result of minisk differ from PyTorch's; the reason stands beside it.
OTHERWISE = {
    ("abs", "x0", "nan"): "a NaN operand gets the gradient of the NaN that it makes, as in relu; PyTorch gives it 0",
    ("sigmoid", "g0", "inf"): "the second derivative is inf · (1 - y) - inf · y; PyTorch has one formula for it",
    ("var", "x0", "inf"): "the gradient of the mean, a sum of inf and -inf, reaches every element",
    ("var", "g0", "inf"): "the same, in the second derivative",
    ("batch_norm", "x1", "inf"): "an infinite weight makes the output infinite; 0 · inf then depends on the formula",
    ("conv2d", "x0", "inf"): "kernels multiply by the zeros of the padding, as PyTorch does in some of its own",
    ("conv2d", "x0", "nan"): "the same",
    ("conv2d", "x1", "inf"): "the same",
    ("conv2d", "x1", "nan"): "the same",
}
# PyTorch's result may be NaN where minisk's is not: it multiplies by a mask in max and min, for example. Elsewhere,
# whatever is not NaN in PyTorch has PyTorch's value.
VALUES = [np.inf, -np.inf, np.nan]
COMPARED = [case for case in DIFFERENTIABLE if case.expression is None and not case.has_images]


@needs_compiler
@pytest.mark.parametrize("mode", ["numpy", "cpu"])
@pytest.mark.parametrize("case", COMPARED, ids=str)
def test_spoiled_element_reaches_what_it_reaches_in_pytorch(torch, case, mode):
    if case.operation not in counterparts(torch):
        pytest.skip("PyTorch has no such operation")
    inputs = case.arrays()
    incoming = weights_like([out.numpy() for out in as_list(case.function(*leaves(inputs)))], 1)
    names = [f"x{i}" for i in range(len(inputs))] + [f"g{i}" for i in range(len(incoming))]
    for (i, name), value, position in itertools.product(enumerate(names), VALUES, (0, 2)):
        arrays = [given.copy() for given in [*inputs, *incoming]]
        if arrays[i].size == 0 or (case.operation, name, str(abs(value))) in OTHERWISE:
            continue
        arrays[i].reshape(-1)[position % arrays[i].size] = value
        with kernel_mode(mode):
            found = results_of_minisk(case, arrays[: len(inputs)], arrays[len(inputs) :])
        expected = results_of_torch(torch, case, arrays[: len(inputs)], arrays[len(inputs) :])
        for (what, ours), theirs in zip(found.items(), expected, strict=True):
            known = ~np.isnan(theirs)
            message = f"{what}, for {name} = {value} at {position}"
            np.testing.assert_allclose(ours[known], theirs[known], rtol=1e-9, atol=1e-12, err_msg=message)


def results_of_minisk(case, inputs, incoming):
    """Return outputs, first gradients without and with a graph, and second gradients, as arrays by name."""
    xs, gs = leaves(inputs), leaves(incoming)
    outs = as_list(case.function(*xs))
    fused = gradients(outs, xs, gs, retain_graph=True)
    firsts = gradients(outs, xs, gs, create_graph=True)
    seconds = gradients(firsts, [*xs, *gs], leaves(np.ones(first.shape) for first in firsts))
    named = {"output": outs, "gradient without a graph": fused, "gradient": firsts, "second gradient": seconds}
    shapes = {"second gradient": [x.shape for x in [*xs, *gs]]}
    return {
        f"{name} {i}": np.zeros(shapes[name][i]) if result is None else result.numpy()
        for name, results in named.items()
        for i, result in enumerate(results)
    }


def results_of_torch(torch, case, inputs, incoming):
    xs, gs = ([torch.tensor(array, requires_grad=True) for array in arrays] for arrays in (inputs, incoming))
    outs = as_list(counterparts(torch)[case.operation](*xs, **case.settings))
    firsts = torch.autograd.grad(outs, xs, gs, create_graph=True, materialize_grads=True)
    recorded = [first for first in firsts if first.requires_grad]
    ones = [torch.ones_like(first) for first in recorded]
    seconds = torch.autograd.grad(recorded, [*xs, *gs], ones, materialize_grads=True)
    return [result.numpy(force=True) for result in [*outs, *firsts, *firsts, *seconds]]


CUT_OFF = {
    "relu": (ops.relu, [-1.0, 1.0]),
    "add_relu": (lambda x: ops.add_relu(x, x), [-1.0, 1.0]),
    "clip": (lambda x: ops.clip(x, 0.0), [-1.0, 1.0]),
    "maximum": (lambda x: ops.maximum(x, 0.0), [-1.0, 1.0]),
    "minimum": (lambda x: ops.minimum(x, 0.0), [1.0, -1.0]),
    "where": (lambda x: ops.where(x > 0, x, 0.0), [-1.0, 1.0]),
    "abs": (ops.abs, [0.0, 1.0]),
    "pow 0": (lambda x: x**0, [2.0, 1.0]),
    "max": (lambda x: ops.max(x.reshape(-1, 2), axis=1), [-1.0, 1.0]),
    "min": (lambda x: ops.min(x.reshape(-1, 2), axis=1), [1.0, -1.0]),
    "max_pool2d": (lambda x: ops.max_pool2d(x.reshape(1, 1, -1, 2), (1, 2)), [-1.0, 1.0]),
}


@needs_compiler
@pytest.mark.parametrize("mode", ["numpy", "cpu"])
@pytest.mark.parametrize("count", [2, 70_000])  # in mode auto, the second is large enough for every kernel
@pytest.mark.parametrize("name", CUT_OFF)
def test_infinite_gradient_does_not_reach_an_element_that_was_cut_off(name, count, mode):
    function, pair = CUT_OFF[name]
    with kernel_mode(mode):
        x = ms.tensor(np.tile(np.float32(pair), count // 2), requires_grad=True)
        y = function(x)
        incoming = ms.tensor(np.full(y.shape, np.inf, np.float32), requires_grad=True)
        (dx,) = ms.grad(y, x, incoming, create_graph=True)
        assert np.all(dx.numpy()[::2] == 0)
        # The second derivative lets through what the first did.
        (again,) = ms.grad(dx, incoming, ms.tensor(np.full(count, np.inf, np.float32)))
        assert not np.isnan(again.numpy()).any()


@needs_compiler
@pytest.mark.parametrize("mode", ["numpy", "cpu"])
@pytest.mark.parametrize("pixels", [3, 40])  # 24 · 40 · 40 > 32768: the channel is cut into two parts
def test_infinite_element_spoils_only_its_own_gradient_in_evaluation(mode, pixels):
    x = np.random.default_rng(0).standard_normal((24, 2, pixels, pixels)).astype(np.float32)
    x[0, 0, 0, 0] = np.inf
    one, zero = ms.ones(2), ms.zeros(2)
    with kernel_mode(mode):
        leaf = ms.tensor(x, requires_grad=True)
        out = ops.batch_norm(leaf, one, zero, zero, one, training=False)
        (dx,) = ms.grad(out.sum(), leaf)
    np.testing.assert_allclose(dx.numpy(), np.full_like(x, 1 / np.sqrt(np.float32(1 + 1e-5))), rtol=1e-6)


def test_dropped_infinity_is_zero():
    ms.manual_seed(0)
    y = ops.dropout(ms.tensor(np.full(1000, np.inf, np.float32)), 0.5).numpy()
    assert set(y) == {0, np.inf}


@needs_compiler
@pytest.mark.parametrize("mode", ["numpy", "cpu"])
def test_class_that_is_masked_by_minus_infinity_has_no_part_in_cross_entropy(mode):
    logits = np.random.default_rng(0).standard_normal((100, 100)).astype(np.float32)
    target = np.arange(100) % 50
    masked = np.where(np.arange(100) < 50, logits, -np.inf).astype(np.float32)
    with kernel_mode(mode):
        x, part = (ms.tensor(array, requires_grad=True) for array in (masked, logits[:, :50]))
        (dx,), (dpart,) = (ms.grad(ops.cross_entropy(leaf, target), leaf) for leaf in (x, part))
    np.testing.assert_allclose(dx.numpy()[:, :50], dpart.numpy(), rtol=1e-5, atol=1e-8)
    assert np.all(dx.numpy()[:, 50:] == 0)


@needs_compiler
@pytest.mark.parametrize("mode", ["numpy", "cpu"])
@pytest.mark.parametrize("create_graph", [False, True])
def test_infinite_branch_does_not_reach_the_gradient_of_the_weights_of_select(mode, create_graph):
    arrays = np.random.default_rng(0).standard_normal((2, 3, 4))
    with kernel_mode(mode):
        logits = ms.tensor(arrays, requires_grad=True)
        branches = [ms.tensor(np.full((2, 4, 5, 5), np.inf), requires_grad=True) for _ in range(3)]
        _, weights = ops.select(logits, branches)
        (found,) = ms.grad((weights * weights).sum(), logits, create_graph=create_graph)
        (expected,) = ms.grad((ops.softmax(logits, 1) ** 2).sum(), logits)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-12)
