"""Dropout draws its own mask, so its answers are known without PyTorch."""

import numpy as np
import pytest
from parity import assert_close, distinct

import minisk as ms
from minisk import ops


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_a_share_p_of_the_values_and_scales_the_rest(p):
    ms.manual_seed(3)
    count = 20_000
    y = ops.dropout(ms.tensor(np.full(count, 3.0)), p).numpy()
    np.testing.assert_allclose(y[y != 0], 3.0 / (1 - p))
    deviation = np.sqrt(p * (1 - p) / count)
    assert abs((y == 0).mean() - p) < 5 * deviation


def test_first_and_second_gradient_of_dropout_use_its_mask():
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
