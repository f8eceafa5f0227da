"""Matrix products agree with PyTorch for vectors, matrices and stacks of matrices."""

from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from operations import assert_operation_agrees
from parity import draws, inputs


@st.composite
def matrix_products(draw):
    """Draw (…, n, k) and (…, k, m), or a vector on either side; leading axes broadcast."""
    n, k, m = (draw(st.integers(1, 4)) for _ in range(3))
    leading = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, max_side=3)).input_shapes
    left = draw(st.sampled_from([(k,), (*leading[0], n, k)]))
    right = draw(st.sampled_from([(k,), (*leading[1], k, m)]))
    return draw(inputs(left, right))


@draws(matrix_products())
def test_matmul_agrees_for_vectors_matrices_and_broadcast_stacks(case):
    assert_operation_agrees("matmul", case)


@draws(st.lists(st.integers(1, 3), max_size=3), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.data())
def test_linear_agrees_for_any_leading_axes(leading, features, outputs, has_bias, data):
    case = data.draw(inputs((*leading, features), (outputs, features), *[(outputs,)] * has_bias))
    assert_operation_agrees("linear", case)
