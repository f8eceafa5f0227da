"""Launch kernels on a GPU, for NVIDIA's tools to watch; tools/gpu_day.sh calls this.

    python tools/gpu_launches.py kernels          every case of every kernel of minisk, once
    python tools/gpu_launches.py planted race     one kernel with a known mistake; `minisk check`'s verdict first
    python tools/gpu_launches.py counted          five kernels, with the sectors that mode `check` counts for them

With --stand-in nothing needs a GPU: tests/support/cupy_standin takes the place of CuPy, and kernels run on the CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minisk.backend import to_device
from minisk.runtime import examine
from minisk.runtime.launcher import launch
from minisk.runtime.preprocess import PACKAGE
from minisk.sanitizer import check_file
from minisk.sanitizer.cases import Case, cases

# A kernel for each of compute-sanitizer's tools, and the kind of finding that `minisk check` has for its mistake.
PLANTED = {
    "memory": (
        "out of bounds",
        """// check: <<<2, 64>>> n=100 x[n] out[n]
extern "C" __global__ void copies(const int n, const float* x, float* out) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = x[i];
}""",
    ),
    "race": (
        "race",
        """// check: <<<1, 64>>> x[64] out[64]
extern "C" __global__ void reverses(const float* x, float* out) {
    __shared__ float tile[64];
    tile[threadIdx.x] = x[threadIdx.x];
    out[threadIdx.x] = tile[63 - threadIdx.x];
}""",
    ),
    "uninitialised": (
        "uninitialised",
        """// check: <<<1, 64>>> x[64] out[64]
extern "C" __global__ void doubles(float* x, float* out) {
    out[threadIdx.x] = 2 * x[threadIdx.x];
}""",
    ),
    "barrier": (
        "synchronisation",
        """// check: <<<1, 64>>> out[64]
extern "C" __global__ void meets(float* out) {
    if (threadIdx.x < 48) __syncthreads();
    out[threadIdx.x] = threadIdx.x;
}""",
    ),
}

# Memory-bound kernels for Nsight Compute: file, kernel.
COUNTED = [
    ("axpy.cu", "axpy_forward"),
    ("axpy.cu", "plane_mean"),
    ("batch_norm.cu", "batch_norm_whole"),
    ("elementwise.cu", "relu"),
    ("softmax.cu", "softmax_rows"),
]


def launch_on_gpu(case: Case) -> None:
    """Launch a kernel on the GPU with the arguments of its `check:` line."""
    args = [to_device(arg.copy(), "cuda") if isinstance(arg, np.ndarray) else arg for arg in case.args]
    launch(case.kernel, case.grid, case.block, args, case.dynamic_shared)


def run_kernels() -> int:
    """Launch every case of every kernel file of the package; return how many."""
    found = [case for path in sorted(PACKAGE.glob("*.cu")) for each in cases(path).values() for case in each]
    for case in found:
        launch_on_gpu(case)
    print(f"{len(found)} launches")
    return len(found)


def run_planted(name: str, on_gpu: bool = True) -> list[str]:
    """Print the kinds of finding that `minisk check` has for a planted mistake, and return them; launch the kernel."""
    expected, text = PLANTED[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.cu"
        path.write_text(text)
        (report,) = [report for check in check_file(path) for report in check.reports]
        kinds = [finding.kind for finding in report.findings]
        print(f"minisk check: {', '.join(kinds) or 'clean'}; expected {expected}", flush=True)
        if on_gpu:
            (found,) = cases(path).values()
            launch_on_gpu(found[0])
    return kinds


def run_counted() -> list[tuple[str, int]]:
    """Launch five kernels, and print the sectors that mode `check` counts for the same launch."""
    counts = []
    for file, name in COUNTED:
        case = cases(PACKAGE / file)[name][0]
        sectors = sum(site.transactions for site in examine(*case).sites if not site.is_shared)
        launch_on_gpu(case)
        counts.append((name, sectors))
        print(f"{name} {sectors} sectors", flush=True)
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stand-in", action="store_true", help="run on the stand-in for CuPy")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("kernels")
    commands.add_parser("planted").add_argument("name", choices=PLANTED)
    commands.add_parser("counted")
    chosen = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        if chosen.stand_in:
            sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))
            from cupy_standin import installed

            stack.enter_context(installed())
        run: dict[str, Any] = {"kernels": run_kernels, "counted": run_counted}
        if chosen.command == "planted":
            run_planted(chosen.name, on_gpu=not chosen.stand_in)  # its process would end, as a GPU's context would
        else:
            run[chosen.command]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
