"""What gradcheck accepts, and that it restores everything it uses."""

import numpy as np
import pytest
from parity import distinct
from planted_structure import Relu

import minisk as ms
from minisk import nn, ops
from minisk.backend import random_generator
from minisk.gradient_check import Verdict

X = distinct([(3, 4)])[0]


def check(fn, inputs, **options):
    return ms.gradcheck(fn, inputs, raise_on_failure=False, **options)


def test_module_with_integer_inputs_only_is_checked_by_its_parameters():
    class Embedding(nn.Module):
        def __init__(self):
            self.table = nn.Parameter(X.copy())

        def forward(self, index):
            return self.table[index]

    assert list(check(Embedding(), [np.array([0, 2, 2])]).summaries) == ["table"]


def test_tensors_that_a_function_uses_are_checked_if_they_are_named_in_params():
    scale = ms.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    report = check(lambda x: x * scale, [ms.tensor(X)], params={"scale": scale})
    assert report.verdict is Verdict.CORRECT
    assert list(report.summaries) == ["x", "scale"]
    assert scale.dtype == np.float32 and scale.numpy().tolist() == [1, 2, 3, 4]


def test_pair_of_numpy_functions_is_checked_without_a_tensor():
    def forward(x, w):
        return x @ w

    def backward(dout, x, w):
        return dout @ w.T, x.T @ dout

    def without_dw(dout, x, w):
        return dout @ w.T, 0 * w

    arrays = distinct([(3, 4), (4, 2)])
    assert check((forward, backward), arrays).verdict is Verdict.CORRECT
    report = check((forward, without_dw), arrays)
    assert report.verdict is Verdict.WRONG and {row.input for row in report.rows} == {"w"}
    assert "are 0 in the analytic gradient" in str(report)


@pytest.mark.parametrize(
    ("backward", "verdict"),
    [
        (lambda d, x: (2 * d).sum(0), Verdict.MALFORMED),
        (lambda d, x: (2 * d).astype("float32"), Verdict.MALFORMED),
        (lambda d, x: [1, 2], Verdict.MALFORMED),
        (lambda d, x: np.multiply(d, 2, out=d), Verdict.OVERWRITTEN),
        (lambda d, x: np.sign(d), Verdict.NOT_LINEAR),
    ],
)
def test_each_mistake_in_the_form_of_a_pairs_backward_gets_its_verdict(backward, verdict):
    assert check((lambda x: 2 * x, backward), X).verdict is verdict


def test_pair_accepts_several_outputs_and_integer_inputs():
    def forward(x, axis, index):
        return x.sum(axis), x[index] ** 2

    def backward(dout, x, axis, index):
        dx = np.expand_dims(dout[0], axis) + np.zeros_like(x)
        np.add.at(dx, index, 2 * x[index] * dout[1])
        return dx

    assert check((forward, backward), [X, 1, np.array([0, 2, 2])]).verdict is Verdict.CORRECT


def test_several_outputs_are_weighted_together():
    assert check(lambda x: (x * x, ops.exp(x)), X, order=2).verdict is Verdict.CORRECT
    assert check(lambda x: (x * x, x.detach() * 2), X).verdict is Verdict.WRONG


def test_output_that_depends_on_nothing_has_the_gradient_0():
    assert check(lambda x: ms.tensor(np.ones(3)), X).verdict is Verdict.CORRECT


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((ops.exp, X), {"dtype": "float16"}, "dtype 'float16'"),
        ((ops.exp, X), {"mode": "slow"}, "mode 'slow'"),
        ((ops.exp, X), {"order": 0}, "order 0"),
        ((ops.exp, np.array([1, 2])), {}, "no floating input"),
        ((3, X), {}, "got a int"),
        (((np.exp, np.exp), X), {"order": 2}, "pair"),
        ((lambda x: x.numpy(), X), {}, "returned a ndarray"),
        ((lambda x: x * ms.tensor([1.0]), X), {}, "float32.*named in params"),
    ],
)
def test_invalid_arguments_raise_an_error_that_names_them(arguments, options, message):
    with pytest.raises(ms.MiniskError, match=message):
        ms.gradcheck(*arguments, **options)


def test_module_is_restored():
    module = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    module[1].freeze()
    before = {name: tensor.numpy().copy() for name, tensor in module.state_dict().items()}
    memory = [tensor.data for tensor in module.parameters()]
    assert check(module, distinct([(3, 4, 2, 2)])).ok
    for name, tensor in module.state_dict().items():
        assert tensor.dtype == before[name].dtype
        np.testing.assert_array_equal(tensor.numpy(), before[name])
    assert all(tensor.data is data for tensor, data in zip(module.parameters(), memory, strict=True))
    assert all(tensor.grad is None for tensor in module.parameters())


def test_random_state_is_restored():
    ms.manual_seed(3)
    expected = random_generator().random(3)
    ms.manual_seed(3)
    check(nn.Dropout(0.5), X)
    assert random_generator().random(3).tolist() == expected.tolist()


def test_inputs_stay_unchanged_if_backward_writes_to_its_inputs():
    x = X.copy()
    check(Relu, x)
    np.testing.assert_array_equal(x, X)


def test_gradcheck_records_inside_no_grad():
    with ms.no_grad():
        assert check(ops.tanh, X, order=2).verdict is Verdict.CORRECT


def test_outputs_near_zero_may_round_differently_in_another_layout():
    x = np.array([[1.0, 0.1, -0.3], [1e8, -1e8, -0.8]])
    assert check(ops.mean, x).ok
