"""Every operation in float16 storage against float32: values, gradients, and which operations widen in mixed precision.

*Rounded once* means: each element differs from float32's by half a unit of float16 at most. Where an operation consists
of several, the distance is counted in the same unit of the largest element.
"""

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler
from operation_cases import CASES, DIFFERENTIABLE
from parity import as_list, gradients, leaves

import minisk as ms
from minisk.ops.autocast import NARROW, WIDE

# The cases whose results are rounded more than once, each with what is rounded on the way.
ROUNDED_ON_THE_WAY = {
    "conv2d": "the product, before the bias is added",
    "conv2d of images": "the product, before the bias is added",
    "conv2d_affine": "the product, before scale and bias, and dout · scale",
    "conv2d_affine of images": "the product, before scale and bias, and dout · scale",
    "linear": "the product, before the bias is added",
    "linear of another size": "the product, before the bias is added",
    "mul by a number": "the gradients of three products, before they are added",
    "matmul by operator": "the gradients of three products, before they are added",
    "matmul of stacks": "the gradient of each matrix, before a broadcast matrix adds them up",
    "div": "dout / y, before the product with the result",
    "div of a number": "the divisor and the quotients of the expression",
    "pow by operator": "the gradients of four powers, before they are added",
    "exp": "y, of which the gradient is made",
    "sqrt": "y, of which the gradient is made",
    "tanh": "y, of which the gradient is made",
    "sigmoid": "y, of which the gradient is made",
    "softmax": "y, of which the gradient is made",
    "softmax along the last axis": "y, of which the gradient is made",
    "log_softmax": "y, of which the gradient is made",
    "log_softmax along a middle axis": "y, of which the gradient is made",
    "select": "the weights, of which the gradients are made",
    "select of images": "the weights, of which the gradients are made",
    "cross_entropy": "the target with its smoothing",
    "batch_norm in evaluation": "the running statistics, which the case has in float16",
    "batch_norm of images in evaluation": "the running statistics, which the case has in float16",
}
MOST = 3  # half units of the largest element; measured: 2.6, in the divisors


def results(case, dtype, autocast=False):
    """Return outputs, then gradients with a graph and without, of inputs that float16 holds exactly."""
    xs = leaves(array.astype(np.float16).astype(dtype) for array in case.arrays())
    with ms.autocast(autocast):
        outs = as_list(case.function(*xs))
    gs = leaves((np.arange(out.size).reshape(out.shape) % 5 / 4 - 0.375).astype(out.dtype) for out in outs)
    return [*outs, *gradients(outs, xs, gs, create_graph=True), *gradients(outs, xs, gs)]


def half_units(values):
    """Return half the distance between neighbours in float16, at each value: at least 2⁻²⁵, half the smallest."""
    return 2.0**-11 * 2.0 ** np.floor(np.log2(np.maximum(np.abs(values), 2.0**-14)))


@needs_compiler
@pytest.mark.parametrize("mode", ["numpy", "threads"])  # the modes that compute float16 without a GPU
@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_values_and_gradients_in_float16_are_those_of_float32_rounded(case, mode):
    with kernel_mode(mode):
        narrow, wide = results(case, "float16"), results(case, "float32")
    for seen, exact in zip(narrow, wide, strict=True):
        assert seen.dtype == np.float16 and exact.dtype == np.float32
        error = np.abs(seen.numpy() - exact.numpy().astype(np.float64))
        if case.name in ROUNDED_ON_THE_WAY:
            assert error.max() <= MOST * half_units(np.abs(exact.numpy()).max())
        else:  # float32's own rounding may decide a tie
            assert (error <= 1.001 * half_units(exact.numpy())).all()


def test_the_cases_with_several_roundings_are_in_the_table():
    assert ROUNDED_ON_THE_WAY.keys() <= {case.name for case in DIFFERENTIABLE}


@pytest.mark.parametrize("given", ["float16", "float32"])
@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_in_mixed_precision_the_operations_of_two_lists_change_the_dtype_and_no_others(case, given):
    found = [str(result.dtype) for result in results(case, given, autocast=True)]
    count = 2 * len(case.shapes)  # of gradients: with a graph and without
    expected = {**dict.fromkeys(WIDE, "float32"), **dict.fromkeys(NARROW, "float16")}.get(case.operation, given)
    assert set(found[:-count]) == {expected}
    assert found[-count:] == [given] * count


def test_every_operation_of_the_two_lists_is_in_the_table():
    assert {case.operation for case in CASES} >= NARROW | WIDE


def test_shares_of_classes_in_float16_are_a_target_in_mixed_precision():
    logits, shares = (ms.tensor(np.eye(2, 3), dtype="float16") for _ in range(2))
    with ms.autocast():
        loss = ms.ops.cross_entropy(logits, shares)
    assert loss.dtype == np.float32
    with pytest.raises(ms.DtypeError, match="target shares have dtype float16, but logits float32"):
        ms.ops.cross_entropy(logits.to(dtype="float32"), shares)
