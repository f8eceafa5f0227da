"""Element-wise operations, reductions and comparisons agree with PyTorch: value, first and second gradient.

Shape operations and indexing: test_ops_parity_shapes.py; layers: test_ops_parity_layers.py.
"""

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from parity import Inputs, assert_parity, broadcastable, distinct, draws, inputs, positive, shapes

import minisk as ms
from minisk import ops

torch = pytest.importorskip("torch")

# --- Element by element -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["neg", "exp", "abs", "tanh", "sigmoid", "relu"])
@draws(inputs(shapes(min_side=0)))
def test_function_of_one_element_agrees(name, case):
    assert_parity(getattr(ops, name), getattr(torch, name), case)


@pytest.mark.parametrize("name", ["log", "sqrt"])
@draws(inputs(shapes()))
def test_function_of_a_positive_element_agrees(name, case):
    assert_parity(getattr(ops, name), getattr(torch, name), case.map(positive))


@pytest.mark.parametrize("name", ["add", "sub", "mul", "maximum", "minimum"])
@draws(broadcastable(2))
def test_function_of_two_elements_agrees_and_broadcasts(name, case):
    assert_parity(getattr(ops, name), getattr(torch, name), case)


@draws(broadcastable(2), st.sampled_from([1, -1]))
def test_div_agrees_and_broadcasts(case, sign):
    assert_parity(ops.div, torch.div, case.map(lambda b: sign * positive(b), first=1))


@draws(inputs(shapes()), st.sampled_from([0, 1, 2, 3, -1, -2, 0.5, -0.5, 1.5, 2.0]))
def test_pow_agrees_with_negative_bases_for_whole_exponents(case, exponent):
    # Away from 0: a negative power of a value near it leaves no correct digits for a comparison by the maximum.
    case = case.map(lambda x: np.sign(x) * positive(np.abs(x))) if exponent == int(exponent) else case.map(positive)
    assert_parity(lambda x: ops.pow(x, exponent), lambda x: torch.pow(x, exponent), case)


@draws(inputs(shapes()), st.sampled_from([2.0, 0.5, 10]))
def test_number_to_the_power_of_a_tensor_agrees(case, base):
    assert_parity(lambda x: base**x, lambda x: base**x, case)


@draws(inputs(shapes()), st.sampled_from([(-1.01, 1.03), (None, 0.52), (-0.51, None), (-9, 9), (0.7, 0.7), (3, 4)]))
def test_clip_agrees(case, bounds):
    assert_parity(lambda x: ops.clip(x, *bounds), lambda x: torch.clamp(x, *bounds), case)


@draws(st.data())
def test_where_agrees_and_broadcasts(data):
    drawn = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3))
    case = data.draw(inputs(*drawn.input_shapes[:2]))
    condition = data.draw(hnp.arrays(bool, drawn.input_shapes[2]))
    assert_parity(
        lambda a, b: ops.where(ms.Tensor(condition), a, b),
        lambda a, b: torch.where(torch.tensor(condition), a, b),
        case,
    )


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div", "maximum", "minimum"])
@pytest.mark.parametrize("number", [2, -1.5, np.float64(0.25), np.array([[1.0], [2.5]])], ids=str)
def test_number_or_array_on_either_side_is_a_constant(name, number):
    case = Inputs(distinct([(2, 3)])).map(positive)
    constant = torch.tensor(number, dtype=torch.float64)
    minisk, theirs = getattr(ops, name), getattr(torch, name)
    assert_parity(lambda x: minisk(x, number), lambda x: theirs(x, constant), case)
    assert_parity(lambda x: minisk(number, x), lambda x: theirs(constant, x), case)


@pytest.mark.parametrize(
    ("minisk", "theirs"),
    [
        (ops.relu, torch.relu),
        (lambda x: ops.add_relu(x, x * x), lambda x: torch.relu(x + x * x)),
        (ops.abs, torch.abs),
        (lambda x: ops.clip(x, -1.0, 1.0), lambda x: torch.clamp(x, -1.0, 1.0)),
        (lambda x: ops.clip(x, 0.0, 0.0), lambda x: torch.clamp(x, 0.0, 0.0)),
        (lambda x: ops.maximum(x, x * x), lambda x: torch.maximum(x, x * x)),
        (lambda x: ops.minimum(x, x * x), lambda x: torch.minimum(x, x * x)),
        (lambda x: ops.pow(x, 0), lambda x: torch.pow(x, 0)),
        (lambda x: ops.pow(x, 1), lambda x: torch.pow(x, 1)),
        (lambda x: ops.pow(x, 2), lambda x: torch.pow(x, 2)),
        (lambda x: ops.pow(x, 3.0), lambda x: torch.pow(x, 3.0)),
    ],
    ids=["relu", "add_relu", "abs", "clip", "clip to a point", "maximum", "minimum", "x⁰", "x¹", "x²", "x³"],
)
def test_convention_where_the_derivative_jumps_agrees(minisk, theirs):
    # 0 and 1 are where relu and abs bend, clip has its bounds, and x ties with x².
    assert_parity(minisk, theirs, [np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])])


@pytest.mark.parametrize(
    ("operation", "x", "expected"),
    [
        (ops.relu, [0.0], [0.0]),
        (ops.abs, [0.0], [0.0]),
        (lambda x: ops.clip(x, -1, 1), [-1.0, 1.0, 1.5], [1.0, 1.0, 0.0]),
        (lambda x: ops.maximum(x, ms.tensor([2.0, 3.0])), [2.0, 2.0], [0.5, 0.0]),
        (lambda x: ops.minimum(x, ms.tensor([2.0, 3.0])), [2.0, 2.0], [0.5, 1.0]),
        (lambda x: ops.max(x), [1.0, 4.0, 4.0, 4.0, 4.0], [0.0, 0.25, 0.25, 0.25, 0.25]),
        (lambda x: ops.min(x), [1.0, 1.0, 4.0], [0.5, 0.5, 0.0]),
        (lambda x: ops.max_pool2d(x.reshape(1, 1, 2, 2), 2), [3.0, 7.0, 7.0, 7.0], [0.0, 1.0, 0.0, 0.0]),
    ],
    ids=["relu", "abs", "clip", "maximum", "minimum", "max", "min", "max_pool2d"],
)
def test_gradient_at_a_kink_or_tie_is_the_documented_one(operation, x, expected):
    x = ms.tensor(x, requires_grad=True)
    operation(x).sum().backward()
    assert x.grad.numpy().tolist() == expected


@pytest.mark.parametrize("name", ["relu", "abs", "tanh", "sigmoid", "exp", "amax", "amin", "maximum"])
def test_nan_stays_nan_as_in_pytorch(name):
    x = np.array([np.nan, 1.0, -1.0])
    minisk = {"amax": ops.max, "amin": ops.min, "maximum": lambda t: ops.maximum(t, 0.0)}.get(name) or getattr(
        ops, name
    )
    theirs = (lambda t: torch.maximum(t, torch.zeros(()))) if name == "maximum" else getattr(torch, name)
    np.testing.assert_allclose(minisk(ms.tensor(x)).numpy(), theirs(torch.tensor(x)).numpy(), rtol=1e-12)


# --- Reductions ---------------------------------------------------------------------------------------------


@st.composite
def reductions(draw, min_side=1):
    """Inputs, and an axis argument that fits: one axis, several in any order and sign, or None."""
    case = draw(inputs(shapes(min_dims=1, min_side=min_side)))
    ndim = len(case.shape)
    several = st.lists(st.integers(0, ndim - 1), unique=True, min_size=1)
    signed = several.map(lambda axes: tuple(a - ndim if i % 2 else a for i, a in enumerate(axes)))
    axis = draw(st.none() | st.integers(-ndim, ndim - 1) | signed)
    return case, axis, tuple(range(ndim)) if axis is None else axis, draw(st.booleans())


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
@draws(reductions())
def test_reduction_agrees_over_any_axes(name, drawn):
    case, axis, dim, keepdims = drawn
    theirs = getattr(torch, {"max": "amax", "min": "amin"}.get(name, name))
    assert_parity(lambda x: getattr(ops, name)(x, axis, keepdims), lambda x: theirs(x, dim, keepdims), case)


@draws(reductions(min_side=0))
def test_sum_of_no_values_is_zero(drawn):
    case, axis, dim, keepdims = drawn
    assert_parity(lambda x: ops.sum(x, axis, keepdims), lambda x: torch.sum(x, dim, keepdims), case)


@draws(reductions(), st.integers(0, 1))
def test_var_agrees_over_any_axes(drawn, ddof):
    case, axis, dim, keepdims = drawn
    count = np.ones(case.shape).sum(axis).max()
    ddof = min(ddof, int(count) - 1)
    assert_parity(
        lambda x: ops.var(x, axis, ddof=ddof, keepdims=keepdims),
        lambda x: torch.var(x, dim, correction=ddof, keepdim=keepdims),
        case,
    )


@pytest.mark.parametrize("name", ["max", "min"])
@draws(
    hnp.arrays(np.float64, shapes(min_dims=2, max_dims=3), elements=st.integers(0, 2)), st.sampled_from([0, 1, (0, 1)])
)
def test_tied_extremes_share_the_gradient_equally(name, x, axis):
    theirs = getattr(torch, f"a{name}")
    assert_parity(lambda x: getattr(ops, name)(x, axis), lambda x: theirs(x, axis), [x])


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "var"])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_reduction_of_integers_has_the_values_of_the_same_floats(name, dtype):
    x = np.array([[3, 0, 7], [5, 250 if dtype == "uint8" else -4, 1]], dtype)
    found = getattr(ops, name)(ms.tensor(x), axis=1).numpy()
    np.testing.assert_allclose(found, getattr(np, name)(x.astype("float64"), axis=1), rtol=1e-6)


@draws(hnp.arrays(np.float32, shapes(min_dims=1), elements=st.integers(0, 3)), st.data())
def test_argmax_is_the_first_of_equals_and_has_no_gradient(x, data):
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1))
    found = ops.argmax(ms.Tensor(x, requires_grad=True), axis)
    assert found.dtype == np.int64 and not found.requires_grad
    np.testing.assert_array_equal(found.numpy(), torch.argmax(torch.tensor(x), axis).numpy())


# --- Comparisons --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("equal", torch.eq),
        ("not_equal", torch.ne),
        ("less", torch.lt),
        ("less_equal", torch.le),
        ("greater", torch.gt),
        ("greater_equal", torch.ge),
    ],
)
@draws(broadcastable(2))
def test_comparison_agrees_broadcasts_and_has_no_gradient(name, theirs, case):
    a, b = (np.round(array) for array in case.arrays)  # ties on purpose
    found = getattr(ops, name)(ms.Tensor(a, requires_grad=True), ms.Tensor(b))
    assert found.dtype == bool and not found.requires_grad
    np.testing.assert_array_equal(found.numpy(), theirs(torch.tensor(a), torch.tensor(b)).numpy())


# --- The same Tensor in two places --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("minisk", "theirs", "shape"),
    [
        (lambda x: x + x, lambda x: x + x, (2, 3)),
        (lambda x: x - x * 2, lambda x: x - x * 2, (2, 3)),
        (lambda x: x * x, lambda x: x * x, (2, 3)),
        (lambda x: x / (x * x + 1), lambda x: x / (x * x + 1), (2, 3)),
        (lambda x: ops.maximum(x, x), lambda x: torch.maximum(x, x), (2, 3)),
        (lambda x: ops.where(x > 0, x, x), lambda x: torch.where(x > 0, x, x), (2, 3)),
        (lambda x: ops.concatenate([x, x, x]), lambda x: torch.cat([x, x, x]), (2, 3)),
        (lambda x: ops.stack([x, x], 1), lambda x: torch.stack([x, x], 1), (2, 3)),
        (lambda x: x @ x, lambda x: x @ x, (3, 3)),
        (lambda x: x @ x, lambda x: x @ x, (4,)),
        (lambda x: x @ x.T, lambda x: x @ x.T, (3, 2)),
        (lambda x: ops.linear(x, x), lambda x: torch.nn.functional.linear(x, x), (3, 2)),
        (lambda x: ops.conv2d(x, x, padding=1), lambda x: torch.nn.functional.conv2d(x, x, padding=1), (2, 2, 3, 3)),
        (lambda x: ops.axpy(x[:, :, 0, 0], x, x), lambda x: x[:, :, :1, :1] * x + x, (2, 3, 2, 2)),
        (lambda x: ops.channel_scale(x, x), lambda x: x * x, (2, 3, 1, 1)),
        (lambda x: ops.channel_dot(x, x), lambda x: (x * x).sum((2, 3)), (2, 3, 2, 2)),
    ],
)
def test_same_tensor_twice_gets_both_gradients(minisk, theirs, shape):
    assert_parity(minisk, theirs, distinct([shape]))
