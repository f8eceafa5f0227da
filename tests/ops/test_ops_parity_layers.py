"""Convolution, pooling, batch norm, softmax and losses, the select step: agree with PyTorch to the second gradient.

Dropout draws its own numbers; its answers are known without PyTorch.
"""

import numpy as np
import pytest
from hypothesis import strategies as st
from parity import assert_close, assert_parity, distinct, distinct_inputs, draws, inputs, positive, shapes

import minisk as ms
from minisk import ops

torch = pytest.importorskip("torch")
F = torch.nn.functional

pairs = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))  # noqa: E731
one_or_two = lambda low, high: st.integers(low, high) | pairs(low, high)  # noqa: E731


def both(value):
    return (value, value) if isinstance(value, int) else value


# --- Convolution --------------------------------------------------------------------------------------------


@st.composite
def convolutions(draw):
    """Inputs and settings of any convolution with at least one output: grouped, dilated, strided, not square."""
    groups = draw(st.integers(1, 3))
    inside, outside = draw(pairs(1, 2))
    kernel, extra = draw(pairs(1, 3)), draw(pairs(0, 4))
    settings = {
        "stride": draw(one_or_two(1, 3)),
        "padding": draw(one_or_two(0, 2)),
        "dilation": draw(one_or_two(1, 2)),
        "groups": groups,
    }
    reach = [d * (k - 1) + 1 for d, k in zip(both(settings["dilation"]), kernel, strict=True)]
    # The smallest image is one the kernel just covers with its padding.
    size = [max(1, r - 2 * p) + e for r, p, e in zip(reach, both(settings["padding"]), extra, strict=True)]
    x = (draw(st.integers(1, 2)), groups * inside, *size)
    weight = (groups * outside, inside, *kernel)
    return draw(inputs(x, weight, *[weight[:1]] * draw(st.booleans()))), settings


@draws(convolutions())
def test_conv2d_agrees_for_any_geometry(drawn):
    case, settings = drawn
    assert_parity(lambda *xs: ops.conv2d(*xs, **settings), lambda *xs: F.conv2d(*xs, **settings), case)


@pytest.mark.parametrize(
    ("x", "weight", "settings"),
    [
        ((2, 3, 4, 5), (4, 3, 1, 1), {}),
        ((2, 3, 5, 4), (4, 3, 1, 1), {"stride": 2}),
        ((2, 3, 4, 4), (2, 3, 1, 1), {"padding": 1, "stride": (2, 3)}),
        ((2, 4, 5, 5), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
        ((2, 2, 5, 5), (6, 1, 3, 3), {"groups": 2, "stride": 2}),
        ((1, 8, 4, 4), (8, 2, 3, 3), {"groups": 4, "padding": 2, "dilation": 2}),
        ((1, 3, 15, 13), (4, 3, 7, 7), {"stride": 2, "padding": 3}),
        ((1, 2, 3, 3), (2, 2, 3, 3), {}),
        ((1, 1, 9, 2), (1, 1, 3, 2), {"stride": (4, 1)}),
    ],
    ids=[
        "1x1",
        "1x1 strided",
        "1x1 padded",
        "depthwise",
        "depthwise widening",
        "grouped dilated",
        "stem",
        "whole image",
        "rows no window reaches",
    ],
)
def test_conv2d_agrees_for_the_kinds_networks_use(x, weight, settings):
    for layout in ["contiguous", "transposed"]:
        case = distinct_inputs((x, weight, weight[:1]), layout=layout)
        assert_parity(lambda *xs: ops.conv2d(*xs, **settings), lambda *xs: F.conv2d(*xs, **settings), case)


# --- Pooling ------------------------------------------------------------------------------------------------


@st.composite
def pools(draw):
    """Images and a window: overlapping or with gaps between, padded by up to half the kernel."""
    kernel = draw(one_or_two(1, 4))
    padding = tuple(draw(st.integers(0, k // 2)) for k in both(kernel))
    settings = {"stride": draw(st.none() | one_or_two(1, 4)), "padding": padding}
    size = [max(1, k - 2 * p) + draw(st.integers(0, 4)) for k, p in zip(both(kernel), padding, strict=True)]
    return draw(inputs((draw(st.integers(1, 2)), draw(st.integers(1, 2)), *size))), kernel, settings


@pytest.mark.parametrize("ceil_mode", [False, True])
@draws(pools())
def test_max_pool2d_agrees_for_any_window(ceil_mode, drawn):
    case, kernel, settings = drawn
    assert_parity(
        lambda x: ops.max_pool2d(x, kernel, **settings, ceil_mode=ceil_mode),
        lambda x: F.max_pool2d(x, kernel, **settings, ceil_mode=ceil_mode),
        case,
    )


@draws(pools())
def test_avg_pool2d_agrees_for_any_window(drawn):
    case, kernel, settings = drawn
    assert_parity(lambda x: ops.avg_pool2d(x, kernel, **settings), lambda x: F.avg_pool2d(x, kernel, **settings), case)


@draws(inputs(shapes(min_dims=4, max_side=5)))
def test_global_avg_pool2d_agrees(case):
    assert_parity(ops.global_avg_pool2d, lambda x: x.mean((2, 3)), case)


def test_first_of_equal_values_in_overlapping_windows_takes_the_gradient():
    x = np.array([[0, 2, 2, 1], [2, 2, 0, 2], [1, 2, 2, 2], [0, 0, 0, 0]], float).reshape(1, 1, 4, 4)
    assert_parity(lambda x: ops.max_pool2d(x, 3, 1, 1), lambda x: F.max_pool2d(x, 3, 1, 1), [x])


def test_padding_never_wins_a_max_pool():
    x = -positive(distinct([(1, 2, 3, 3)])[0])
    assert_parity(lambda x: ops.max_pool2d(x, 3, 2, 1), lambda x: F.max_pool2d(x, 3, 2, 1), [x])


# --- Batch norm ---------------------------------------------------------------------------------------------


def batch_norm(x, weight, bias, training, **settings):
    """minisk's batch_norm from fresh running statistics that suit the values `distinct` draws."""
    running = [ms.Tensor(array.astype(x.dtype)) for array in running_arrays(weight.shape[0])]
    return ops.batch_norm(x, weight, bias, *running, training=training, **settings)


def torch_batch_norm(x, weight, bias, training, **settings):
    running = [torch.tensor(array) for array in running_arrays(weight.shape[0])]
    return F.batch_norm(x, *running, weight, bias, training, **settings)


def running_arrays(channels):
    mean, var = distinct([(channels,), (channels,)], seed=9)
    return mean, positive(var)


@st.composite
def batches(draw, least):
    """x: (N, C) or (N, C, H, W) with at least so many values per channel; weight and bias."""
    n, c = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    spatial = draw(st.sampled_from([(), (2, 3), (4, 1)]))
    n = max(n, -(-least // int(np.prod(spatial))))
    return draw(inputs((n, c, *spatial), (c,), (c,)))


@pytest.mark.parametrize("training", [True, False])
@draws(batches(least=8))
def test_batch_norm_agrees_in_training_and_in_evaluation(training, case):
    assert_parity(lambda *xs: batch_norm(*xs, training), lambda *xs: torch_batch_norm(*xs, training), case)


@pytest.mark.parametrize("training", [True, False])
@draws(batches(least=8))
def test_batch_norm_and_relu_in_one_agree_with_one_after_the_other(training, case):
    assert_parity(
        lambda *xs: batch_norm(*xs, training, relu=True), lambda *xs: F.relu(torch_batch_norm(*xs, training)), case
    )


@draws(batches(least=3), st.sampled_from([1e-5, 1e-3, 0.5]))
def test_batch_norm_of_few_values_agrees_in_double_precision(case, eps):
    assert_parity(
        lambda *xs: batch_norm(*xs, True, eps=eps), lambda *xs: torch_batch_norm(*xs, True, eps=eps), case, ("float64",)
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(8, 3), (2, 3, 4, 2), (2, 3)])
@pytest.mark.parametrize("momentum", [0.1, 0.05, 1.0, 0.0])
def test_running_statistics_move_by_momentum_towards_mean_and_unbiased_variance(shape, momentum, dtype):
    x, weight, bias = (a.astype(dtype) for a in distinct([shape, (3,), (3,)]))
    running = [a.astype(dtype) for a in running_arrays(3)]
    ours, theirs = [ms.Tensor(a.copy()) for a in running], [torch.tensor(a.astype("float64")) for a in running]
    memory = [t.data for t in ours]
    for scale in (1, 2):  # twice: the second step starts from the first
        ops.batch_norm(*map(ms.Tensor, (x * scale, weight, bias)), *ours, training=True, momentum=momentum)
        F.batch_norm(torch.tensor(x.astype("float64") * scale), *theirs, training=True, momentum=momentum)
    for found, expected, array in zip(ours, theirs, memory, strict=True):
        assert found.data is array, "in place"
        assert_close(found, expected.numpy(), dtype)


def test_evaluation_and_training_without_momentum_leave_the_running_statistics_alone():
    x, weight, bias = map(ms.Tensor, distinct([(4, 2), (2,), (2,)]))
    running = [ms.tensor(array) for array in running_arrays(2)]
    ops.batch_norm(x, weight, bias, *running, training=False)
    for found, expected in zip(running, running_arrays(2), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)


# --- Softmax and cross entropy ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@draws(inputs(shapes(min_dims=1, max_dims=3, max_side=5)), st.data())
def test_softmax_agrees_along_any_axis(name, case, data):
    axis = data.draw(st.integers(-len(case.shape), len(case.shape) - 1))
    assert_parity(lambda x: getattr(ops, name)(x, axis), lambda x: getattr(torch, name)(x, axis), case)


@draws(st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.data())
def test_cross_entropy_agrees_with_and_without_label_smoothing(n, classes, smoothing, data):
    target = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)))
    integers = data.draw(st.sampled_from(["int64", "int32", "uint8"]))
    assert_parity(
        lambda x: ops.cross_entropy(x, ms.Tensor(target.astype(integers)), label_smoothing=smoothing),
        lambda x: F.cross_entropy(x, torch.tensor(target), label_smoothing=smoothing),
        data.draw(inputs((n, classes))),
    )


@draws(st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.0, 0.1]), st.integers(0, 2**20), st.data())
def test_cross_entropy_with_shares_of_classes_agrees(n, classes, smoothing, seed, data):
    shares = np.random.default_rng(seed).uniform(0, 1, (n, classes)).astype(np.float32)  # rows need not sum to 1
    assert_parity(
        lambda x: ops.cross_entropy(x, shares.astype(x.dtype), smoothing),
        lambda x: F.cross_entropy(x, torch.tensor(shares.astype("float64")), label_smoothing=smoothing),
        data.draw(inputs((n, classes))),
    )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("minisk", "theirs"),
    [
        (lambda x: ops.softmax(x), lambda x: torch.softmax(x, -1)),
        (lambda x: ops.log_softmax(x), lambda x: torch.log_softmax(x, -1)),
        (lambda x: ops.cross_entropy(x, np.array([0, 1])), lambda x: F.cross_entropy(x, torch.tensor([0, 1]))),
        (lambda x: ops.sigmoid(x), lambda x: torch.sigmoid(x)),
        (lambda x: ops.tanh(x), lambda x: torch.tanh(x)),
    ],
    ids=["softmax", "log_softmax", "cross_entropy", "sigmoid", "tanh"],
)
def test_values_far_from_zero_neither_overflow_nor_warn(minisk, theirs, dtype):
    x = np.array([[1e4, -1e4, 88.5, 0.0], [-745.0, 710.0, 709.5, -1.0]])
    ours = ms.tensor(x, requires_grad=True, dtype=dtype)
    reference = torch.tensor(x.astype(dtype).astype("float64"), requires_grad=True)
    y, y_torch = minisk(ours), theirs(reference)
    y.sum().backward()
    y_torch.sum().backward()
    assert_close(y, y_torch.detach().numpy(), dtype)
    assert_close(ours.grad, reference.grad.numpy(), dtype)


def test_cross_entropy_of_an_impossible_class_that_is_not_wanted_is_finite():
    logits = np.array([[1.0, -np.inf, 2.0], [-np.inf, 0.5, 3.0]])
    x = ms.tensor(logits, requires_grad=True)
    ops.cross_entropy(x, np.array([0, 2])).backward()
    t = torch.tensor(logits, requires_grad=True)
    F.cross_entropy(t, torch.tensor([0, 2])).backward()
    assert_close(x.grad, t.grad.numpy(), "float64")


# --- The select step ----------------------------------------------------------------------------------------


@draws(shapes(min_dims=4), st.booleans(), st.data())
def test_axpy_channel_scale_and_channel_dot_agree_with_their_formulas(shape, has_four_axes, data):
    scale = shape[:2] + (1, 1) * has_four_axes
    a, x, y = data.draw(inputs(scale, shape, shape)).arrays
    wide = lambda a: a.reshape(*shape[:2], 1, 1)  # noqa: E731
    assert_parity(ops.axpy, lambda a, x, y: wide(a) * x + y, [a, x, y])
    assert_parity(ops.channel_scale, lambda a, x: wide(a) * x, [a, x])
    assert_parity(ops.channel_dot, lambda x, y: (x * y).sum((2, 3)), [x, y])


@draws(shapes(min_dims=4), st.integers(1, 3), st.data())
def test_select_agrees_with_a_softmax_over_branches_and_their_weighted_sum(shape, m, data):
    logits, *branches = data.draw(inputs((shape[0], m, shape[1]), *[shape] * m)).arrays

    def theirs(logits, *branches):
        weights = logits.softmax(1)
        return (weights[..., None, None] * torch.stack(branches, 1)).sum(1), weights

    assert_parity(lambda logits, *branches: ops.select(logits, branches), theirs, [logits, *branches])


# --- Dropout ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_a_share_p_of_the_values_and_scales_the_rest(p):
    ms.manual_seed(3)
    count = 20_000
    y = ops.dropout(ms.tensor(np.full(count, 3.0)), p).numpy()
    np.testing.assert_allclose(y[y != 0], 3.0 / (1 - p))
    deviation = np.sqrt(p * (1 - p) / count)
    assert abs((y == 0).mean() - p) < 5 * deviation


def test_dropout_gradient_is_its_mask_and_so_is_the_gradient_of_the_gradient():
    x = ms.tensor(distinct([(40, 5)])[0], requires_grad=True)
    g = ms.tensor(distinct([(40, 5)], seed=1)[0], requires_grad=True)
    y = ops.dropout(x, 0.4)
    mask = (y.numpy() != 0) / 0.6
    assert 0 < (mask == 0).sum() < mask.size
    (dx,) = ms.grad((y * g).sum(), x, create_graph=True)
    assert_close(y, x.numpy() * mask, "float64")
    assert_close(dx, g.numpy() * mask, "float64")
    assert_close(ms.grad((dx * x).sum(), g)[0], x.numpy() * mask, "float64")


def test_same_seed_gives_the_same_mask_and_the_next_call_another():
    x = ms.tensor(np.ones(100))
    ms.manual_seed(11)
    first, second = ops.dropout(x).numpy(), ops.dropout(x).numpy()
    ms.manual_seed(11)
    np.testing.assert_array_equal(ops.dropout(x).numpy(), first)
    assert (first != second).any()


@pytest.mark.parametrize("settings", [{"training": False}, {"p": 0.0}])
def test_dropout_that_drops_nothing_returns_its_input(settings):
    x = ms.tensor(np.ones(5))
    assert ops.dropout(x, **settings) is x
