"""`kernels.replaced`: a function of the caller's own stands in for one of the dispatch, after its proof."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

import minisk as ms
from minisk import kernels
from minisk.kernels.dispatch import REPLACEABLE
from minisk.kernels.examples import examples
from minisk.runtime import Kernel, launch

pytestmark = needs_compiler

TWICE = Kernel(
    """#include "common.cuh"
extern "C" __global__ void relu(const int n, const int most, const real* x, real* out) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n || i < most) out[i] = x[i] > (real)0 ? x[i] : (real)0;
}
""",
    "relu",
)


def own_relu(x: np.ndarray, most: int = 0) -> np.ndarray:
    out = np.empty_like(x)
    launch(TWICE, (-(-x.size // 32),), (32,), (x.size, most, x, out))
    return out


def beyond(x: np.ndarray) -> np.ndarray:
    return own_relu(x, most=x.size + 1)


def negated(x: np.ndarray) -> np.ndarray:
    return own_relu(-x)


def of_another_dtype(x: np.ndarray) -> np.ndarray:
    return own_relu(x).astype(np.float16)


def two_results(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return own_relu(x), x


def not_contiguous(x: np.ndarray) -> np.ndarray:
    return own_relu(x.T)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (negated, r"relu of arrays \(2, 3, 1, 1\), float32: result 0 differs from the reference by 1"),
        (beyond, r"relu of arrays \(2, 3, 1, 1\), float32: relu<<<1, 32>>>: 1 finding\n  out of bounds"),
        (np.copy, "result 0 differs"),
        (kernels.reference.relu, "launched no kernel"),
        (of_another_dtype, r"result 0 is \(2, 3, 1, 1\), float16, expected \(2, 3, 1, 1\), float32"),
        (two_results, "returned 2 arrays, expected 1"),
        (not_contiguous, "result 0 is|not C-contiguous"),
    ],
)
def test_a_function_that_fails_its_proof_is_refused(function: object, message: str) -> None:
    with pytest.raises(ms.KernelError, match=message), kernels.replaced(relu=function):  # type: ignore[arg-type]
        pytest.fail("the block must not run")


def test_a_proven_function_runs_in_operations_inside_the_block_only() -> None:
    calls = []

    def counted(x: np.ndarray) -> np.ndarray:
        calls.append(x.dtype)
        return own_relu(x)

    x = ms.tensor(np.arange(-4.0, 4.0).reshape(2, 4).T)  # not contiguous: the dispatch copies it
    with kernels.replaced(relu=counted):
        calls.clear()
        np.testing.assert_array_equal(ms.ops.relu(x).numpy(), np.maximum(x.numpy(), 0))
        assert calls == [np.float64]
        ms.ops.relu(ms.tensor(x.numpy().astype(np.float16)))
        ms.ops.relu(ms.zeros(0, 3))
        with kernel_mode("numpy"):
            ms.ops.relu(x)
        other = threading.Thread(target=lambda: ms.ops.relu(x))
        other.start()
        other.join()
        assert len(calls) == 1, "float16, empty arrays, mode numpy and other threads go the usual way"
    ms.ops.relu(x)
    assert len(calls) == 1


def test_a_proof_reports_its_launches() -> None:
    proof = kernels.prove("relu", own_relu)
    assert (len(proof.reports), proof.error) == (6, 0)
    assert all(report.ok for report in proof.reports)


def test_blocks_nest_and_an_error_ends_them() -> None:
    with pytest.raises(RuntimeError), kernels.replaced(relu=own_relu), kernels.replaced(relu_grad=kernels.relu_grad):
        raise RuntimeError
    assert not kernels.dispatch.replacements.get()


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ms.ArgumentError, match="the dispatch has no function 'rely'; expected one of add, add_relu"):
        kernels.prove("rely", own_relu)


@pytest.mark.core
@pytest.mark.parametrize("name", sorted(REPLACEABLE))
def test_every_function_of_the_dispatch_has_examples_that_its_reference_takes(name: str) -> None:
    for args in examples(name, np.dtype("float32")):
        copies = [arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args]
        getattr(kernels.reference, name)(*copies)
