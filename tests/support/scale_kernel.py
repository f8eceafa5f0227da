"""A small kernel file, and compilers of a test's own: what the tests of launches and of the cache share."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from minisk.runtime import Kernel, launch

SCALE = """
#include "common.cuh"
#define MOST 128
extern "C" __global__ ANY_BLOCK void scale(const int n, const wide factor, const real* __restrict__ x,
                                           real* __restrict__ out) {
    GRID_LOOP(index_t, i, n) out[i] = factor * x[i];
}
extern "C" __global__ void __launch_bounds__(MOST) whole_block(real* out) { out[threadIdx.x] = threadIdx.x; }
"""
X = np.arange(5, dtype=np.float32)


def run(kernel: Kernel) -> np.ndarray:
    out = np.zeros_like(X)
    launch(kernel, (2,), (32,), (5, 2, X, out))
    return out


def separate_process(path: Path) -> list[str]:
    """Return the command of a process that runs the kernel and prints the result."""
    code = "import sys; sys.path[:0] = [sys.argv[2], sys.argv[3]]\n"
    code += "from scale_kernel import Kernel, run; print(run(Kernel(sys.argv[1], 'scale')).tolist())"
    root, support = Path(__file__).parents[2], Path(__file__).parent
    return [sys.executable, "-c", code, str(path), str(support), str(root)]


def fake_compiler(folder: Path, script: str) -> str:
    path = folder / "g++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)
