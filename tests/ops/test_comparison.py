"""Comparisons have the values of PyTorch's, broadcast, and have no gradient."""

import numpy as np
import pytest
from operations import FUNCTIONS, counterparts
from parity import broadcastable, draws

import minisk as ms


@pytest.mark.parametrize("name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
@draws(broadcastable(2))
def test_comparison_agrees_broadcasts_and_has_no_gradient(torch, name, case):
    a, b = (np.round(array) for array in case.arrays)  # rounding makes ties
    found = FUNCTIONS[name](ms.Tensor(a, requires_grad=True), ms.Tensor(b))
    assert found.dtype == bool and not found.requires_grad
    expected = counterparts(torch)[name](torch.tensor(a), torch.tensor(b))
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
