"""Softmax and cross entropy agree with PyTorch to the second gradient."""

import numpy as np
import pytest
from hypothesis import strategies as st
from operations import assert_operation_agrees
from parity import assert_close, draws, inputs, shapes

import minisk as ms
from minisk import ops


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@draws(inputs(shapes(min_dims=1, max_dims=3, max_side=5)), st.data())
def test_softmax_agrees_along_any_axis(name, case, data):
    axis = data.draw(st.integers(-len(case.shape), len(case.shape) - 1))
    assert_operation_agrees(name, case, axis=axis)


@draws(st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.data())
def test_cross_entropy_agrees_with_and_without_label_smoothing(n, classes, smoothing, data):
    target = np.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)))
    integers = data.draw(st.sampled_from(["int64", "int32", "uint8"]))
    logits = data.draw(inputs((n, classes)))
    assert_operation_agrees("cross_entropy", logits, target=target.astype(integers), label_smoothing=smoothing)


@draws(st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.0, 0.1]), st.integers(0, 2**20), st.data())
def test_cross_entropy_with_shares_of_classes_agrees(n, classes, smoothing, seed, data):
    shares = np.random.default_rng(seed).uniform(0, 1, (n, classes)).astype(np.float32)  # rows need not sum to 1
    logits = data.draw(inputs((n, classes)))
    assert_operation_agrees("cross_entropy", logits, target=shares, label_smoothing=smoothing)


def test_cross_entropy_is_finite_where_another_class_is_impossible(torch):
    logits = np.array([[1.0, -np.inf, 2.0], [-np.inf, 0.5, 3.0]])
    x = ms.tensor(logits, requires_grad=True)
    ops.cross_entropy(x, np.array([0, 2])).backward()
    t = torch.tensor(logits, requires_grad=True)
    torch.nn.functional.cross_entropy(t, torch.tensor([0, 2])).backward()
    assert_close(x.grad, t.grad.numpy(), "float64")
