"""The gradient checker: what it accepts, what it leaves behind, what it reports."""

import functools
import json

import correct
import numpy as np
import pytest
from parity import distinct
from PIL import Image
from planted import batch_norm, mismatched, scaled
from planted_structure import Relu, function

import minisk as ms
from minisk import models, nn, ops
from minisk.backend import random_generator
from minisk.gradient_check import Verdict
from minisk.gradient_check.differences import LADDERS, Status, chance_to_miss, extrapolate, measure, measured_noise

X = distinct([(3, 4)])[0]
WRONG_ELEMENT = mismatched(ops.tanh, spoil=scaled(0, 1.01, (2, 1)))


def check(fn, inputs, **options):
    return ms.gradcheck(fn, inputs, raise_on_failure=False, **options)


# --- No false alarms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("seed", range(20))
def test_every_operation_and_module_is_right_at_twenty_seeds(seed, dtype):
    for name, layer, inputs in correct.at_seed(seed):
        if name.startswith("SK") and dtype == "float32" and seed > 2:
            continue  # 1 s a seed, where kinks are near; tools/gradcheck_seeds.py goes on
        report = check(layer, inputs, dtype=dtype, seed=seed)
        # In float32 some ReLU's input is nearer to 0 than the smallest step: a kink, checked again beside it.
        right = {Verdict.CORRECT} if dtype == "float64" else {Verdict.CORRECT, Verdict.NOT_DIFFERENTIABLE}
        assert report.ok and report.verdict in right, f"{name}: {report}"


def test_every_operation_and_module_has_the_right_second_derivative():
    for name, layer, inputs in correct.at_seed(0):
        report = check(layer, inputs, order=2)
        assert report.verdict is Verdict.CORRECT, f"{name}: {report}"


def test_every_module_is_among_those_checked():
    containers = {"Module", "ModuleList", "Sequential"}
    named = [*vars(nn).items(), *((name, getattr(models, name)) for name in ("SKConv", "SKUnit"))]
    modules = {name for name, value in named if isinstance(value, type) and issubclass(value, nn.Module)}
    assert {name.split()[0] for name, _, _ in correct.MODULES} == modules - containers


def test_third_order_is_checked_too():
    assert check(lambda x: ops.exp(x) * x, X, order=3).verdict is Verdict.CORRECT


def test_full_mode_measures_every_element():
    report = check(ops.conv2d, distinct([(1, 2, 4, 4), (3, 2, 3, 3)]), mode="full")
    assert report.verdict is Verdict.CORRECT
    assert [summary.elements for summary in report.summaries.values()] == [32, 54]


def test_module_without_inputs_that_float_is_checked_by_its_parameters():
    class Embedding(nn.Module):
        def __init__(self):
            self.table = nn.Parameter(X.copy())

        def forward(self, index):
            return self.table[index]

    assert list(check(Embedding(), [np.array([0, 2, 2])]).summaries) == ["table"]


# --- What is accepted -----------------------------------------------------------------------------------------


def test_tensors_a_function_closes_over_are_checked_if_named():
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

    def forgetful(dout, x, w):
        return dout @ w.T, 0 * w

    arrays = distinct([(3, 4), (4, 2)])
    assert check((forward, backward), arrays).verdict is Verdict.CORRECT
    report = check((forward, forgetful), arrays)
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
def test_mistakes_in_the_form_of_a_pairs_backward_have_their_verdicts(backward, verdict):
    assert check((lambda x: 2 * x, backward), X).verdict is verdict


def test_pair_may_have_several_outputs_and_inputs_that_are_not_checked():
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
def test_misuse_is_told_in_a_sentence(arguments, options, message):
    with pytest.raises(ms.MiniskError, match=message):
        ms.gradcheck(*arguments, **options)


# --- What is left behind ------------------------------------------------------------------------------------------


def test_module_is_left_as_it_was():
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


def test_random_numbers_go_on_as_if_nothing_had_been_checked():
    ms.manual_seed(3)
    expected = random_generator().random(3)
    ms.manual_seed(3)
    check(nn.Dropout(0.5), X)
    assert random_generator().random(3).tolist() == expected.tolist()


def test_inputs_are_not_written_to_even_by_a_backward_that_does():
    x = X.copy()
    check(Relu, x)
    np.testing.assert_array_equal(x, X)


# --- What is reported ---------------------------------------------------------------------------------------------


def test_report_is_the_same_for_the_same_seed():
    first, second = (json.loads(check(WRONG_ELEMENT, X, seed=4).to_json()) for _ in range(2))
    assert first.pop("seconds") >= 0 and second.pop("seconds") >= 0
    assert first == second


def test_numeric_derivative_is_right_to_within_its_estimate():
    row = check(WRONG_ELEMENT, X).rows[0]
    assert row.relative_error == pytest.approx(0.01 / 1.01, rel=1e-6)
    assert abs(row.numeric - row.analytic / 1.01) <= 10 * row.estimate < 1e-8


def test_fast_mode_says_wrong_but_not_where():
    report = check(WRONG_ELEMENT, X, mode="fast")
    assert report.verdict is Verdict.WRONG and report.rows == []
    assert "along random directions" in report.message


def test_wrong_element_of_a_large_input_is_found_by_dividing():
    report = check(mismatched(ops.tanh, spoil=scaled(0, 1.01, (40, 17))), distinct([(64, 32)]))
    assert (report.rows[0].index, report.summaries["input 0"].elements) == ((40, 17), 4)


@pytest.mark.parametrize(
    ("layer", "inputs", "told"),
    [
        (mismatched(ops.exp, spoil=scaled(0, -1)), X, "are -1 × the numeric value"),
        (mismatched(ops.exp, spoil=scaled(0, 3, (slice(None), 3))), X, "have index 3 on axis 1 (the last)"),
        (mismatched(ops.matmul, spoil=lambda g: [g[0], g[1].T.copy()]), distinct([(3, 4), (4, 4)]), "the transpose"),
    ],
)
def test_report_says_what_the_wrong_elements_have_in_common(layer, inputs, told):
    assert told in str(check(layer, inputs))


def test_backward_that_cannot_add_its_shapes_up_is_told_with_its_line():
    def backward(dout, x):
        return dout @ x

    report = check(function(np.square, backward), X)
    assert report.verdict is Verdict.MALFORMED
    assert "raised in backward at" in report.message and "return dout @ x" in report.message


def test_kink_is_reported_and_passes_if_the_gradient_is_right_beside_it():
    report = ms.gradcheck(ops.relu, np.array([1.0, 0.0, -1.0]))
    assert report.verdict is Verdict.NOT_DIFFERENTIABLE
    assert [row.index for row in report.rows] == [(1,)]
    assert "Passed: 2e-02 of the inputs' size aside, the gradient is right." in str(report)


def test_float32_says_how_far_it_can_tell():
    report = check(lambda x: (x + 1e5) - 1e5, X, dtype="float32")
    assert report.verdict is Verdict.TOO_NOISY
    assert "cannot be seen" in report.message


def test_domain_that_ends_near_one_small_element_is_stepped_into_carefully():
    assert check(ops.log, np.array([1e-6, 1.0, 1e6])).verdict is Verdict.CORRECT
    wrong = check(mismatched(ops.log, spoil=scaled(0, 1.01, (0,))), np.array([1e-6, 1.0, 1e6]))
    assert wrong.verdict is Verdict.WRONG and wrong.rows[0].index == (0,)


def test_failure_raises_with_the_report():
    with pytest.raises(ms.GradcheckError, match="input 0") as caught:
        ms.gradcheck(WRONG_ELEMENT, X)
    assert caught.value.report.rows[0].index == (2, 1)


def test_json_has_no_numbers_that_json_lacks():
    told = json.loads(check(lambda x: (x + 1e300) * 1e300, X).to_json())
    assert told["verdict"] == "NaN or infinite" and told["remedy"]


def test_picture_is_brightest_at_the_wrong_element(tmp_path):
    report = check(WRONG_ELEMENT, X)
    report.save_picture(tmp_path / "errors.png")
    picture = np.array(Image.open(tmp_path / "errors.png"))
    row, column = (int(at) for at in np.argwhere(picture == 255)[0])
    cell = picture.shape[1] // 4
    assert (row // cell, column // cell) == (2, 1)


def test_error_estimate_covers_the_error_of_a_smooth_function():
    steps = (0.1, 0.05, 0.025)
    values = [(np.sin(1 + h) - np.sin(1 - h)) / (2 * h) for h in steps]
    value, error = extrapolate(values, steps, 1e-16)
    assert abs(value - np.cos(1)) <= error < 1e-6


@pytest.mark.parametrize(
    ("ahead", "behind"),
    [
        (
            (-3.3348, -2.6829, -1.4058, -1.0032, -0.5368, -0.2812, 0.0002),
            (-0.7324, 0.5971, -0.2093, -0.0058, -0.0028, -0.0003, -0.0010),
        ),
        (  # the smaller ladders' extrapolations tell nothing here, but their differences do
            (0.345394, 0.751560, 0.595308, 0.333458, -0.163680, -0.337037, 0.001642),
            (-0.982594, -0.514034, -0.172385, -0.077887, -0.011237, -0.002384, -0.000782),
        ),
    ],
)
def test_wrong_slope_at_large_steps_that_is_another_at_small_ones_is_a_kink(ahead, behind):
    # What one weight of an SKUnit showed in float32, ahead and behind, with some ReLUs' kinks within these steps
    # (tools/gradcheck_seeds.py, the second at seed 118): by chance, the three largest steps tell of one wrong slope.
    steps = [step for ladder in LADDERS["float32"] for step in ladder]
    slopes = dict(zip([*steps, *(-step for step in steps)], ahead + behind, strict=True))
    assert measure(lambda t: slopes[t] * t, 1.1e-5, 27.1, "float32", ladder_count=1).status is Status.DIFFERS
    assert measure(lambda t: slopes[t] * t, 1.1e-5, 27.1, "float32").status is Status.KINK


def test_slopes_that_do_not_approach_each_other_at_smaller_steps_are_a_kink():
    # SKConv in evaluation, seed 268: the central slope alone would pass for one wrong slope, with rounding of 0.01.
    ahead = {2**-3: 0.0018, 2**-4: 0.5391, 2**-5: 0.9497, 2**-6: 0.7982, 2**-7: 0.6199, 2**-9: 0.4384, 2**-10: 0.1959}
    behind = {2**-3: -0.5802, 2**-4: -0.5604, 2**-5: -0.5208, 2**-6: -0.4416, 2**-7: -0.2831, 2**-9: 0.0, 2**-10: 0.0}
    slopes = ahead | {-h: slope for h, slope in behind.items()}
    assert measure(lambda t: slopes[t] * t, 9.7e-6, 20.4, "float32").status is Status.KINK


@pytest.mark.parametrize(("dtype", "noise"), [("float32", 1e-4), ("float64", 1e-10)])
@pytest.mark.parametrize("share", [-1.0, 1.0, 10.0])
def test_wrong_slope_is_found_although_rounding_hides_it_at_the_smallest_step(share, dtype, noise):
    rng = np.random.default_rng(0)
    wrong = share * noise / LADDERS[dtype][-1][-1]
    found = measure(functools.cache(lambda t: wrong * t + t**2 + noise * rng.standard_normal()), noise, 1.0, dtype)
    assert found.status is Status.DIFFERS and abs(found.residual - wrong) < found.allowed


def test_spread_at_every_step_that_rounding_cannot_explain_is_that_of_kinks():
    # Of an SKUnit at seed 755: ReLUs' kinks on both sides, the nearest at 0.001. With much rounding it may be rounding.
    ahead = (-1.148582, -1.613061, -1.960752, -2.110018, -2.113551, -0.719003, 0.005326)
    behind = (5.830985, 4.679673, 2.452011, 0.904876, -0.039370, -0.009433, -0.005191)
    steps = [step for ladder in LADDERS["float32"] for step in ladder]
    slopes = dict(zip([*steps, *(-step for step in steps)], ahead + behind, strict=True))
    assert measure(lambda t: slopes[t] * t, 1.13e-5, 23.7, "float32").status is Status.KINK
    assert measure(lambda t: slopes[t] * t, 1e-3, 23.7, "float32").status is Status.NOISY


def test_kink_beyond_the_smallest_steps_is_not_taken_for_rounding():
    assert measured_noise(lambda t: max(0.0, t - 2**-11), "float32") == 0


def test_chance_to_miss_bounds_what_is_observed():
    rng = np.random.default_rng(0)
    signs = rng.uniform(0.5, 1.5, (2, 100_000)) * rng.choice([-1, 1], (2, 100_000))
    # The worst case that the bound allows: the other elements all but cancel this one.
    missed = np.abs((signs[0] - 1) * signs[1]) < 0.01
    assert missed.mean() <= chance_to_miss(1)


def test_batch_norm_alone_passes_in_both_orders():
    assert check(batch_norm, distinct([(3, 2, 2, 2), (2,), (2,)]), order=2).verdict is Verdict.CORRECT


def test_gradcheck_records_inside_no_grad():
    with ms.no_grad():
        assert check(ops.tanh, X, order=2).verdict is Verdict.CORRECT


def test_outputs_near_zero_may_round_differently_in_another_layout():
    x = np.array([[1.0, 0.1, -0.3], [1e8, -1e8, -0.8]])
    assert check(ops.mean, x).ok
