"""Batch norm agrees with PyTorch to the second gradient, and its running statistics move as PyTorch's do."""

import numpy as np
import pytest
from hypothesis import strategies as st
from operations import assert_operation_agrees, running_arrays
from parity import assert_close, distinct, draws, inputs

import minisk as ms
from minisk import ops


@st.composite
def batches(draw, least):
    """Draw x, (N, C) or (N, C, H, W) with at least `least` values per channel, weight and bias."""
    n, c = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    spatial = draw(st.sampled_from([(), (2, 3), (4, 1)]))
    n = max(n, -(-least // int(np.prod(spatial))))
    return draw(inputs((n, c, *spatial), (c,), (c,)))


@pytest.mark.parametrize("relu", [False, True], ids=["without ReLU", "with ReLU"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@draws(batches(least=8))
def test_batch_norm_agrees(training, relu, case):
    assert_operation_agrees("batch_norm", case, training=training, relu=relu)


@draws(batches(least=3), st.sampled_from([1e-5, 1e-3, 0.5]))
def test_batch_norm_of_few_values_agrees_in_double_precision(case, eps):
    assert_operation_agrees("batch_norm", case, ("float64",), training=True, eps=eps)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(8, 3), (2, 3, 4, 2), (2, 3)])
@pytest.mark.parametrize("momentum", [0.1, 0.05, 1.0, 0.0])
def test_running_statistics_move_by_momentum_towards_mean_and_unbiased_variance(torch, shape, momentum, dtype):
    x, weight, bias = (a.astype(dtype) for a in distinct([shape, (3,), (3,)]))
    running = [a.astype(dtype) for a in running_arrays(3)]
    ours, theirs = [ms.Tensor(a.copy()) for a in running], [torch.tensor(a.astype("float64")) for a in running]
    memory = [t.data for t in ours]
    for scale in (1, 2):  # the second step starts from the statistics of the first
        ops.batch_norm(*map(ms.Tensor, (x * scale, weight, bias)), *ours, training=True, momentum=momentum)
        images = torch.tensor(x.astype("float64") * scale)
        torch.nn.functional.batch_norm(images, *theirs, training=True, momentum=momentum)
    for found, expected, array in zip(ours, theirs, memory, strict=True):
        assert found.data is array, "in place"
        assert_close(found, expected.numpy(), dtype)


def test_evaluation_leaves_the_running_statistics_alone():
    x, weight, bias = map(ms.Tensor, distinct([(4, 2), (2,), (2,)]))
    running = [ms.tensor(array) for array in running_arrays(2)]
    ops.batch_norm(x, weight, bias, *running, training=False)
    for found, expected in zip(running, running_arrays(2), strict=True):
        np.testing.assert_array_equal(found.numpy(), expected)
