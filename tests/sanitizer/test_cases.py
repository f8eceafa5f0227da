"""The cases of a kernel file: `check:` lines above its kernels, and the lines of cases/<stem>.txt beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from agreement import needs_compiler

from minisk.__main__ import main
from minisk.errors import KernelError
from minisk.sanitizer import Case, cases, check_file

TWO = """#include "common.cuh"
#define MOST 64
// check: <<<2, 32>>> n=50 x[n] out[n]
// check: <<<(2, 1), 64, 8*real>>> n=7 x[n]=below(3) out[n]=1.5 FACTOR=3
extern "C" __global__ void __launch_bounds__(MOST) scale(const int n, const real* x, real* out) {
    GRID_LOOP(int, i, n) out[i] = 2 * x[i];
}
template <int n> __device__ int nothing() { return n; }
extern "C" __global__ void steps(const int n, const int* table, real* out) {
    if (threadIdx.x < n) out[threadIdx.x] = 1;
}
"""
FURTHER = """# Rows of every length.
scale: <<<3, 32>>> n=-(4-10)*11 x[n]=random out[n]

steps: <<<1, 32>>> n=2 table[n+1]=4,n,-1 out[32]=random
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "two.cu").write_text(TWO)
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "two.txt").write_text(FURTHER)
    return tmp_path / "two.cu"


def test_lines_above_a_kernel_and_in_the_case_file_are_all_its_cases(file: Path) -> None:
    found = cases(file)
    assert {name: len(each) for name, each in found.items()} == {"scale": 3, "steps": 1}
    first, second, third = found["scale"]
    assert first[1:3] == ((2,), (32,)) and first.dynamic_shared == 0 and first.uninitialised == {"out"}
    assert second[1:3] == ((2, 1), (64,)) and second.dynamic_shared == 32 and second.uninitialised == set()
    assert second.kernel.constants == {"FACTOR": 3} and first.kernel.constants == {}
    assert third.args[0] == 66 and third.args[1].shape == (66,)


def test_arrays_are_filled_as_the_line_says(file: Path) -> None:
    def arguments(case: Case) -> list[np.ndarray]:
        return [arg for arg in case.args if isinstance(arg, np.ndarray)]

    (x, out), (digits, constant), _ = map(arguments, cases(file, "float64")["scale"])
    assert x.dtype == out.dtype == np.float64 and len(set(x)) == 50 and not out.any()
    assert set(digits) == {0, 1, 2} and set(constant) == {1.5}
    table, values = arguments(cases(file)["steps"][0])
    assert table.dtype == np.int32 and table.tolist() == [4, 2, -1]
    assert values.dtype == np.float32 and len(set(values)) == 32


@needs_compiler
def test_arrays_of_structs_are_filled_number_by_number(tmp_path: Path) -> None:
    (tmp_path / "structs.cu").write_text("""
struct Box { float corners[4]; double score; int kind; float* mask; };
// check: <<<1, 32>>> boxes[50] few[2]=below(9) listed[1]=1,2,3,4,5,6,0 out[2]
__global__ void k(const Box* boxes, const Box* few, const Box* listed, Box* out) {}
""")
    (case,) = cases(tmp_path / "structs.cu")["k"]
    boxes, few, listed, out = case.args
    assert len(set(boxes["corners"].ravel())) == 200 and len(set(boxes["score"])) == 50
    assert not boxes["kind"].any() and not boxes["mask"].any()  # an index, a pointer
    assert set(few["corners"].ravel()) <= set(range(9)) and few["kind"].any() and not few["mask"].any()
    assert listed["corners"].tolist() == [[1, 2, 3, 4]] and listed[0].tolist()[1:] == (5, 6, 0)
    assert not out.view(np.uint8).any() and case.uninitialised == {"out"}


@needs_compiler
def test_an_instantiation_may_be_the_only_kernel_to_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "k.cu").write_text("""
// check: copy<float, 4><<<2, 32>>> x[64] out[64]
// check: copy<double, 8><<<2, 32>>> x[64] out[64]
template <typename T, int N> __global__ void copy(const T* x, T* out) {
    out[blockIdx.x * 32 + threadIdx.x] = x[blockIdx.x * 32 + threadIdx.x] + N;
}
""")
    assert main(["check", str(tmp_path / "k.cu"), "--kernel", "copy<double,8>"]) == 0
    assert "copy<double, 8><<<2, 32>>>: clean\nlaunches checked: 1;" in capsys.readouterr().out
    with pytest.raises(KernelError, match=r"no kernel 'copy<int, 8>': it has copy, copy<float, 4>, copy<double, 8>"):
        list(check_file(tmp_path / "k.cu", "copy<int, 8>"))


@needs_compiler
def test_minisk_check_runs_the_cases_of_the_case_file(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "scale<<<3, 32>>>: clean" in printed and "launches checked: 4" in printed
    (check,) = check_file(file, kernel="steps")
    assert check.kernel == "steps" and check.problems == 0 and [report.ok for report in check.reports] == [True]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("scale <<<3, 32>>> n=5", "expected `kernel: <<<grid, block>>> values`, not 'scale <<<3, 32>>> n=5'"),
        ("shift: <<<3, 32>>> n=5", "two.cu has no kernel 'shift'; it has scale, steps"),
        ("scale: <<<3>>> n=5", "scale: '3' must be grid, block and, optionally, bytes"),
        ("scale: 3, 32 n=5", "scale: expected `<<<grid, block>>> values`, not '3, 32 n=5'"),
        (
            "scale: <<<3, 32>>> n=5 x[n out[n]",
            "scale: expected name=value or name[length], without spaces inside, not 'x[n'",
        ),
        ("scale: <<<3, 32>>> n=5 x[n]", "scale: the array out has no length"),
        ("scale: <<<3, 32>>> n=5 x[n] y[n] out[n]", "scale: the kernel has no array y"),
        ("scale: <<<3, 32>>> n=5 x[n]=1,2 out[n]", "scale: the array x has the length 5, but 2 values"),
        ("scale: <<<3, 32>>> n=5 x[n-6] out[n]", "scale: the array x has the length -1"),
        ("scale: <<<3, 32>>> n=5 x[n]=under(3) out[n]", "scale: 'under(3)' is not a number, a name"),
    ],
)
def test_an_error_names_file_and_line(file: Path, line: str, message: str) -> None:
    with (file.parent / "cases" / "two.txt").open("a") as further:
        further.write(line + "\n")
    with pytest.raises(KernelError) as raised:
        cases(file)
    assert f"cases/two.txt:5: {message}" in str(raised.value)


def test_a_line_with_no_kernel_below_it_is_an_error(file: Path) -> None:
    file.write_text(TWO + "// check: <<<2, 32>>> n=50 x[n] out[n]\n")
    with pytest.raises(KernelError, match=r"two\.cu:12: no `__global__` kernel stands below this `check:` line"):
        cases(file)
