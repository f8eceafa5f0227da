"""tools/mutation: mistakes put into kernels are found; here a sample of them, the tool itself tries all."""

import subprocess
import sys
from pathlib import Path

import pytest

from minisk.errors import KernelError
from minisk.runtime.build import find_compiler

TOOLS = Path(__file__).parents[2] / "tools" / "mutation"
sys.path.insert(0, str(TOOLS))

import mutants  # noqa: E402  found in tools/mutation

KERNEL = """
#define ROOM 64
#define CLAMPED(i, n) ((i) < (n) ? (i) : (n) - 1)
#ifdef MINISK_ONE_THREAD
static int alone() { return 1; }
#endif
// check: 3 + 4 in a comment
extern "C" __global__ void total(const int n, const real* x, real* out) {
    __shared__ real partial[64];
    real sum = 0, most;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[CLAMPED(i, n)];
    partial[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x > 0 || n == 0) return;
    for (int i = 0; i < (int)blockDim.x; i++) out[blockIdx.x] = sum + 2 * partial[i];
}
"""


def of_kernel(tmp_path, text=KERNEL):
    file = tmp_path / "total.cu"
    file.write_text(text, encoding="utf-8")
    return [(mutant, *mutant.changed_lines(text)) for mutant in mutants.mutants(file)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("__syncthreads();", ";"),
        ("if (threadIdx.x > 0 || n == 0) return;", "if (!(threadIdx.x > 0 || n == 0)) return;"),
        ("if (threadIdx.x > 0 || n == 0) return;", "if (false) return;"),
        ("if (threadIdx.x > 0 || n == 0) return;", "if (n == 0) return;"),
        ("if (threadIdx.x > 0 || n == 0) return;", "if (threadIdx.x > 0 ) return;"),
        ("if (threadIdx.x > 0 || n == 0) return;", "if (blockIdx.x > 0 || n == 0) return;"),
        ("if (threadIdx.x > 0 || n == 0) return;", "if (threadIdx.x >= 0 || n == 0) return;"),
        ("real sum = 0, most;", "real sum, most;"),
        ("real sum = 0, most;", "real sum = 1, most;"),
        ("partial[threadIdx.x] = sum;", "sum;"),
        ("__shared__ real partial[64];", "__shared__ real partial[63];"),
        ("#define CLAMPED(i, n) ((i) < (n) ? (i) : (n) - 1)", "#define CLAMPED(i, n) ((i) < (n) ? (i) : (n) - 2)"),
        ("#define CLAMPED(i, n) ((i) < (n) ? (i) : (n) - 1)", "#define CLAMPED(i, n) (true ? (i) : (n) - 1)"),
    ],
)
def test_each_kind_of_mistake_is_made(before, after, tmp_path):
    assert [before, after] in [lines for _, *lines in of_kernel(tmp_path)]


def test_operands_of_every_kind_are_dropped(tmp_path):
    line = "for (int i = 0; i < (int)blockDim.x; i++) out[blockIdx.x] = sum + 2 * partial[i];"
    dropped = {
        after.partition(" = sum")[2] or after.partition("x] = ")[2]
        for _, before, after in of_kernel(tmp_path)
        if before == line
    }
    assert {"2 * partial[i];", " ;", " - 2 * partial[i];", " + partial[i];", " + 2 ;", " + 3 * partial[i];"} <= dropped


def test_comments_stay_and_no_two_mutants_are_equal(tmp_path):
    found = of_kernel(tmp_path)
    assert not any("comment" in before for _, before, _ in found)
    assert len({mutant.applied(KERNEL) for mutant, _, _ in found}) == len(found)


def test_code_for_one_thread_runs_in_mode_cpu_only(tmp_path):
    modes = {before: mutant.modes for mutant, before, _ in of_kernel(tmp_path)}
    assert modes["static int alone() { return 1; }"] == ("cpu",)
    assert modes["__syncthreads();"] == ("check", "cpu")


def test_tuning_constants_are_not_changed(tmp_path, monkeypatch):
    defined = "#define ROOM 64"
    assert defined in [before for _, before, _ in of_kernel(tmp_path)]
    monkeypatch.setitem(mutants.TUNING, ("total.cu", "ROOM"), "a larger array changes nothing")
    assert defined not in [before for _, before, _ in of_kernel(tmp_path)]


def test_a_change_affects_everything_that_uses_it():
    text = "#define TWICE(x) (2 * (x))\nint one(int x) { return TWICE(x); }\nint two(int x) { return one(x); }\n"
    assert mutants.affected(mutants.parts(text), {"TWICE"}) == {"TWICE", "one", "two"}


def test_a_sample_of_mistakes_in_kernels_is_found():
    try:
        find_compiler()
    except KernelError as error:
        pytest.skip(str(error))
    command = [sys.executable, TOOLS / "mutate_kernels.py", "axpy.cu", "common.cuh", "--sample", "24", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 mutants" in done.stdout
