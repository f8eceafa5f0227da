"""Compare a kernel with its NumPy reference implementation, as the tests of every kernel do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minisk.runtime import why_no_kernels
from minisk.runtime.mode import in_mode as kernel_mode

# Without a compiler there is nothing to compare.
needs_compiler = pytest.mark.skipif(why_no_kernels() is not None, reason=f"no kernels: {why_no_kernels()}")

TOLERANCE = {np.dtype(np.float16): 2e-3, np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-10}


def assert_agrees(mode: str, function: Callable[..., Any], *args: Any) -> None:
    """Compare a function of `minisk.kernels` in a mode with mode numpy: max|Δ| ≤ tolerance · max|reference|.

    Integers must be equal. Arrays among the arguments are copied for each call and compared afterwards too, because
    some functions work in place.
    """
    outcomes = []
    for each in ("numpy", mode):
        copies = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        with kernel_mode(each):
            result = function(*copies)
        results = result if isinstance(result, tuple) else (result,)
        outcomes.append([r for r in (*results, *copies) if isinstance(r, np.ndarray)])
    for number, (expected, seen) in enumerate(zip(*outcomes, strict=True)):
        where = f"{function.__name__} in mode {mode}, result {number}"
        assert seen.shape == expected.shape and seen.dtype == expected.dtype, where
        if expected.dtype.kind != "f":
            np.testing.assert_array_equal(seen, expected, err_msg=where)
            continue
        np.testing.assert_array_equal(np.isnan(seen), np.isnan(expected), err_msg=where)
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(seen[~finite & ~np.isnan(expected)], expected[~finite & ~np.isnan(expected)])
        scale = np.abs(expected[finite]).max(initial=0)
        error = np.abs(seen[finite] - expected[finite]).max(initial=0)
        assert error <= TOLERANCE[expected.dtype] * scale, f"{where}: off by {error:.2e}, largest value {scale:.2e}"
