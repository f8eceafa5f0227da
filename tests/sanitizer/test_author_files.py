"""Files as CUDA authors write them: structs by value, explicit instantiations, host code, endless loops, slips."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

from minisk.errors import DtypeError, KernelError, MiniskError
from minisk.runtime import Kernel, examine, launch
from minisk.runtime.left_out import device_files
from minisk.runtime.nvrtc import header_folders, nvrtc
from minisk.runtime.signature import kernels_in
from minisk.sanitizer import available_memory, check_file, compile_file
from minisk.sanitizer.cases import cases

pytestmark = needs_compiler
needs_nvrtc = pytest.mark.skipif(nvrtc() is None, reason="NVRTC is not installed (extra nvrtc)")

TEMPLATE = """
LINE_ABOVE
template <typename T, int TILE = 32> __global__ void copy(const T* x, T* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = x[i] + TILE;
}
LINE_BELOW
template __global__ void copy<float, 8>(const float*, float*, int);
"""
SIZES = "<<<2, 32>>> n=50 x[n] out[n]"


def written(folder: Path, text: str, name: str = "k.cu") -> Path:
    (folder / name).write_text(text)
    return folder / name


def minisk_check(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "minisk", "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(("above", "below"), [(f"// check: copy<float,8>{SIZES}", ""), ("", f"// check: {SIZES}")])
def test_an_explicit_instantiation_is_tried_by_a_line_at_either_place(tmp_path: Path, above: str, below: str) -> None:
    file = written(tmp_path, TEMPLATE.replace("LINE_ABOVE", above).replace("LINE_BELOW", below))
    (check,) = check_file(file)
    assert (check.kernel, check.not_tried, check.problems) == ("copy<float, 8>", "", 0)


def test_an_explicit_instantiation_runs_in_every_mode(tmp_path: Path) -> None:
    kernel = Kernel(written(tmp_path, TEMPLATE.replace("LINE_ABOVE", "").replace("LINE_BELOW", "")), "copy<float, 8>")
    assert [parameter.name for parameter in kernel.signature.parameters] == ["x", "out", "n"]
    x, out = np.ones(50, np.float32), np.zeros(50, np.float32)
    for mode in ("cpu", "threads", "check"):
        with kernel_mode(mode):
            launch(kernel, 2, 32, (x, out, 50))
        assert (out == 9).all()


STRUCTS = """
#include "sizes.h"
namespace app { struct Params { int nx, ny; __device__ int size() const { return nx * ny; } }; }
template <typename T, int N = 2> struct Numbers { T v[N]; static constexpr int count = N; };
typedef struct { float a; unsigned char c[3]; Grid g; } Mixed;
struct alignas(16) Wide { double x; int* p = nullptr; };
class Closed { int n; public: __device__ int get() const { return n; } };
// check: <<<1, 32>>> p=4,5 numbers=1,2,3,4 m=1.5,1,2,3,40,30 w=2,0 out[32]
__global__ void sum(app::Params p, Numbers<int, 4> numbers, const Mixed m, Wide w, float* out) {
    out[threadIdx.x] = p.size() + numbers.v[3] + m.a + m.c[2] + m.g.ny + w.x + (w.p == nullptr);
}
__global__ void closed(Closed c, float* out) { out[threadIdx.x] = c.get(); }
"""


def test_structs_of_headers_namespaces_templates_and_typedefs_are_passed_by_value(tmp_path: Path) -> None:
    (tmp_path / "sizes.h").write_text("struct Grid { int nx, ny; };\n")
    file = written(tmp_path, STRUCTS)
    (case,) = cases(file)["sum"]
    assert examine(*case).ok and (case.args[-1] == 61.5).all()
    out = np.zeros(32, np.float32)
    values = ({"nx": 4, "ny": 5}, np.arange(1, 5), (1.5, (1, 2, 3), (40, 30)), (2, None))
    launch(case.kernel, 1, 32, (*values, out))
    assert (out == 61.5).all()


def test_a_struct_that_is_not_passed_says_why(tmp_path: Path) -> None:
    (tmp_path / "sizes.h").write_text("struct Grid { int nx, ny; };\n")
    file = written(tmp_path, STRUCTS)
    out = np.zeros(32, np.float32)
    with pytest.raises(KernelError, match=r"Closed, k.cu:7, are not known, because its field n is private"):
        launch(Kernel(file, "closed"), 1, 32, (1, out))
    with pytest.raises(KernelError, match=r"argument p is 4, 1 value, expected 2: the fields nx, ny"):
        launch(Kernel(file, "sum"), 1, 32, (4, (1, 2, 3, 4), (1.5, 1, 2, 3, 40, 30), (2, 0), out))


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        ("it has a bit field", "struct S { int a : 3; };"),
        ("it has a reference", "struct S { int& a; };"),
        ("it inherits from another one", "struct B { int b; }; struct S : B { int a; };"),
        ("it is a union", "union S { int a; float b; };"),
        ("it has virtual functions", "struct S { int a; virtual void f(); };"),
        ("a struct without a name stands in it", "struct S { union { int a; float b; }; };"),
        ("`#ifdef X` decides on it", "#ifdef X\nstruct S { int a; };\n#endif"),
    ],
)
def test_the_cause_is_named_where_fields_are_not_known(tmp_path: Path, problem: str, text: str) -> None:
    found = kernels_in(written(tmp_path, f"{text}\n__global__ void k(float* x) {{}}"))
    assert [struct.problem for struct in found.structs if struct.words[0] == "S"] == [problem]


def test_the_guess_fills_structs_vectors_and_the_declared_block(tmp_path: Path) -> None:
    (tmp_path / "sizes.h").write_text("struct Grid { int nx, ny; };\n")
    text = """#include "sizes.h"
struct Mixed { float a; int* p; };
template <typename T, int N = 64> __global__ void __launch_bounds__(128) k(Grid g, Mixed m, float2 c, T* out) {}
"""
    (check,) = check_file(written(tmp_path, text))
    assert check.suggestion == "// check: k<float, 64><<<4, 128>>> g=50,50 m=0.5,0 c=0.5,0.5 out[50*50]"


def test_findings_of_barriers_and_called_functions_have_their_line_in_json(tmp_path: Path) -> None:
    text = """// check: <<<1, 64>>> x[64]=0
__global__ void apart(float* x) {
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
}
__device__ __forceinline__ void twice(float* x, int i) {
    x[i] *= 2;
}
// check: <<<1, 64>>> x[64]=0
__global__ void beyond(float* x) { twice(x, threadIdx.x + 1); }
"""
    result = json.loads(minisk_check(written(tmp_path, text), "--json").stdout)
    places = {f["kind"]: f["line"] for each in result["files"][0]["launches"] for f in each["findings"]}
    assert places["synchronisation"] in (4, 6) and places["out of bounds"] == 9


ENDLESS = """// check: <<<2, 64>>> n=100 x[n] out[2]=0
__global__ void endless(int n, const float* x, float* out) {
    float sum = 0;
    for (int i = threadIdx.x; i < n; i + blockDim.x) sum += x[i];
    out[blockIdx.x] = sum;
}
"""


def test_a_loop_without_end_is_a_finding_with_its_line(tmp_path: Path) -> None:
    ended = minisk_check(written(tmp_path, ENDLESS), "--timeout", "1")
    assert ended.returncode == 1
    assert re.search(r"stopped: k.cu:4: thread \d+ of block 0 is still running after 1 s: .*--timeout", ended.stdout)


def test_ctrl_c_ends_the_command_with_the_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _INTERRUPTIBLE, str(written(tmp_path, ENDLESS))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "launching\n"
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert re.search(r"minisk check: endless: k.cu:4: thread \d+ of block 0 is interrupted by Ctrl-C", said)


# The command, interrupted as soon as the kernel runs: the thread that watches the time says so.
_INTERRUPTIBLE = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
from minisk.cli import main
from minisk.runtime import time_limit
time_limit.signal.pthread_kill = lambda thread, number: os.kill(os.getpid(), signal.SIGINT)
print("launching", flush=True)
sys.exit(main(["check", sys.argv[1], "--timeout", "0.5"]))
"""


def test_host_code_with_the_runtime_is_left_out_and_named(tmp_path: Path) -> None:
    text = """#include <vector>
#include <cuda_runtime.h>
#define CHECK(x) if ((x) != cudaSuccess) return 1
struct Timer { cudaEvent_t start; Timer() { cudaEventCreate(&start); } };
// check: <<<2, 32>>> n=50 x[n] out[n]
__global__ void twice(const float* x, float* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = 2 * x[i];
}
template <class T> void run(const T* x, T* out) { twice<<<2, 32>>>(x, out, 50); }
int answer() { return 42; }
int start() {
#ifdef NEVER
    answer();
#endif
    run<float>(nullptr, nullptr);
    run(nullptr, nullptr);
    return 0;
}
int main() { CHECK(cudaDeviceSynchronize()); return start(); }
"""
    file = written(tmp_path, text)
    _, blanked, left_out = device_files(file)[file]
    assert [(part.name, part.line) for part in left_out] == [("Timer", 4), ("run", 10), ("start", 12), ("main", 20)]
    assert "int answer() { return 42; }" in blanked and blanked.count("\n") == text.count("\n")
    ended = minisk_check(file)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "k.cu: host code is left out: Timer (line 4), run (line 10), start (line 12), main (line 20)" in ended.stdout


BUFFERS = """#pragma once
#include <vector>
#include "common/errors.h"
template <typename T> class Buffer {
  public:
    explicit Buffer(size_t n) { GPU_OK(cudaMalloc(&data, n)); }
    T* data;
};
struct Pool { Buffer<float> first, second; };
inline int blocks(int n) { return (n + 31) / 32; }
struct Box {
    float x, y, w, h;
    __host__ __device__ float area() const { return w * h; }
};
__device__ inline float half_of(const float* x, int i) { return x[i] / 2; }
"""
AREAS = """#include "buffers.cuh"
// check: <<<2, 32>>> boxes[50] out[50] n=50
__global__ void areas(const Box* boxes, float* out, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = boxes[i].area();
}
// check: <<<2, 32>>> x[50] out[64]
__global__ void halves(const float* x, float* out) {
    out[blockIdx.x * 32 + threadIdx.x] = half_of(x, blockIdx.x * 32 + threadIdx.x);
}
template <typename T> void measure(T* boxes, int n) { Buffer<float> out(n); areas<<<2, 32>>>(boxes, out.data, n); }
template void measure<Box>(Box*, int);
void twice(Box* boxes) { measure<Box>(boxes, 5); GPU_OK(1); }
int main() { twice(nullptr); }
"""


MATRIX = """#include <cstdlib>
struct Matrix {
    double* data;
    int rows;
  public:
    Matrix(int n) : data(nullptr), rows(n) { if (cudaMalloc(&data, 8 * n)) abort(); }
    ~Matrix() { release(); }
    void release() { cudaFree(data); }
    int bytes() const { return 8 * rows; }
    __host__ __device__ double at(int i) const { return i < rows ? 1 : 0; }
};
// check: <<<1, 32>>> m=0,20 out[32]
__global__ void rows(const Matrix m, double* out) { out[threadIdx.x] = m.at(threadIdx.x); }
"""


def test_functions_of_a_struct_are_left_out_one_by_one_and_its_fields_stay(tmp_path: Path) -> None:
    file = written(tmp_path, MATRIX)
    left_out = device_files(file)[file].left_out
    assert [(part.name, part.line) for part in left_out] == [("Matrix", 6), ("Matrix", 7), ("release", 8)]
    (check,) = check_file(file)
    assert [str(report) for report in check.reports] == ["rows<<<1, 32>>>: clean"]
    out = np.zeros(32)
    launch(Kernel(file, "rows"), (1,), (32,), ((0, 20), out))
    assert out.tolist() == [1] * 20 + [0] * 12
    with_a_field = written(tmp_path, MATRIX.replace("int rows;", "int rows; cudaStream_t stream;"), "f.cu")
    with pytest.raises(KernelError, match=r"f.cu:4: `cudaStream_t`: host code that calls CUDA's libraries"):
        list(check_file(with_a_field))


@pytest.fixture
def areas(tmp_path: Path) -> Path:
    """A kernel file whose header has a class that allocates, and a macro of a further header that it uses."""
    (tmp_path / "common").mkdir()
    written(tmp_path / "common", "#pragma once\n#define GPU_OK(call) if ((call) != cudaSuccess) abort()\n", "errors.h")
    written(tmp_path, BUFFERS, "buffers.cuh")
    return written(tmp_path, AREAS)


def test_host_code_in_headers_is_left_out_and_findings_keep_their_lines(areas: Path) -> None:
    ended = minisk_check(areas)
    assert ended.returncode == 1, ended.stderr
    assert (
        "k.cu: host code is left out: measure (line 11), measure<Box> (line 12), twice (line 13), main (line 14), "
        "Buffer (line 4 of buffers.cuh), Pool (line 9 of buffers.cuh)\nareas<<<2, 32>>>: clean\n"
    ) in ended.stdout
    assert "out of bounds: buffers.cuh:15 called at k.cu:9 reads x, byte 200 = element 50" in ended.stdout


@needs_nvrtc
def test_host_code_of_headers_and_instantiations_of_launchers_are_no_findings_of_nvcc(areas: Path) -> None:
    report = compile_file(areas)
    assert not report.findings and {each.kernel for each in report.usages} == {"areas", "halves"}
    (areas.parent / "buffers.cuh").write_text(BUFFERS.replace("w * h", "blocks(w)"))
    (refused,) = compile_file(areas).findings
    assert str(refused) == "refused by nvcc: buffers.cuh:13: device code uses blocks, line 10, which has no __device__"


@needs_nvrtc
def test_nvrtc_finds_the_headers_of_cooperative_groups(tmp_path: Path) -> None:
    if not any((folder / "cuda/std/type_traits").is_file() for folder in header_folders()):
        pytest.skip("CUDA's C++ headers are not installed")
    text = """#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
namespace cg = cooperative_groups;
__global__ void sums(float* x) {
    auto tile = cg::tiled_partition<32>(cg::this_thread_block());
    x[threadIdx.x] = cg::reduce(tile, x[threadIdx.x], cg::plus<float>());
}"""
    report = compile_file(written(tmp_path, text))
    assert not report.findings and [each.kernel for each in report.usages] == ["sums"]


LINES = {
    "<<<2, 32>>> n=50, x[n], out[n]": r"k.cu:1: k: expected spaces between the values, without commas",
    "<<<2, 32>>> n = 50 x[n] out[n]": r"k.cu:1: k: expected n=value without spaces around the =",
    "<<<2, 32>>> N=50 x[N] out[N]": r"k.cu:1: k: the argument n has no value.*k has no argument N \(but x, out, n\)",
    "<<<2, 2048>>> n=50 x[n] out[n]": r"k.cu:1: k: block \(2048,\) has 2048 threads",
    "<<<2, 32>>> n=5000000000 x[9] out[9]": r"k.cu:1: k: argument n is 5000000000, expected int",
    "k2<<<2, 32>>> n=50 x[n] out[n]": r"k.cu:1: k: k.cu has no kernel 'k2'",
}


@pytest.mark.parametrize("line", LINES)
def test_a_slip_in_a_check_line_is_a_sentence_with_its_place(tmp_path: Path, line: str) -> None:
    file = written(tmp_path, f"// check: {line}\n__global__ void k(const float* x, float* out, int n) {{}}\n")
    with pytest.raises(MiniskError, match=LINES[line]):
        cases(file)


def test_a_line_without_its_colon_and_a_folder_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "// check <<<2, 32>>> x[9]\n__global__ void k(float* x) {}\n")
    with pytest.raises(KernelError, match=r"k.cu:1: expected .* with a colon"):
        cases(file)
    with pytest.raises(KernelError, match=r"is a folder; expected files in it"):
        cases(tmp_path)


def test_sizes_divide_as_in_cuda_and_the_grid_uses_the_scalars(tmp_path: Path) -> None:
    line = "// check: <<<(n+31)/32, 32>>> n=50 x[n/2] out[-7/2+n]"
    file = written(tmp_path, f"{line}\n__global__ void k(const float* x, float* out, int n) {{}}\n")
    (case,) = cases(file)["k"]
    assert case.grid == (2,) and case.args[0].size == 25 and case.args[1].size == 47


def test_a_line_above_a_kernel_of_a_header_is_seen(tmp_path: Path) -> None:
    written(tmp_path, "// check: <<<1, 32>>> x[32]\n__global__ void k(float* x) { x[threadIdx.x] = 1; }\n", "k.cuh")
    (check,) = check_file(written(tmp_path, '#include "k.cuh"\n'))
    assert check.kernel == "k" and check.problems == 0


def test_too_large_arrays_are_refused_before_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(available_memory, "_available", lambda: 2.0**20)
    file = written(tmp_path, "// check: <<<1, 32>>> x[100000]\n__global__ void k(float* x) {}\n")
    with pytest.raises(KernelError, match=r"k.cu:1: k: the arrays need about .* GiB .* the largest is x\[100000\]"):
        cases(file)


def test_misaligned_vectors_name_the_array_and_the_element(tmp_path: Path) -> None:
    text = """// check: <<<1, 32>>> x[200] out[32]
__global__ void k(const float* x, float* out) { out[threadIdx.x] = ((const float4*)(x + 1))[threadIdx.x].x; }
"""
    (check,) = check_file(written(tmp_path, text))
    (finding,) = check.reports[0].findings
    assert finding.sentence == "k.cu:2 reads x, byte 4 = element 1, no multiple of 16 bytes (thread 0 of block 0)"


def test_a_pair_of_halves_has_a_constructor_and_its_name_in_errors(tmp_path: Path) -> None:
    text = """#include <cuda_fp16.h>
__global__ void pack(const __half* x, __half2* out) { out[threadIdx.x] = __half2(x[0], x[1]); }
"""
    kernel = Kernel(written(tmp_path, text), "pack")
    x, out = np.arange(2, dtype=np.float16), np.zeros((4, 2), np.float16)
    kernel(1, 4, (x, out))
    assert (out == [0, 1]).all()
    with pytest.raises(DtypeError, match=r"argument out is float32, expected float16 \(__half2\)"):
        kernel(1, 4, (x, out.astype(np.float32)))


def test_gpu_before_a_file_takes_the_default_architecture(tmp_path: Path) -> None:
    file = written(tmp_path, "// check: <<<1, 32>>> x[32]\n__global__ void k(float* x) { x[threadIdx.x] = 1; }\n")
    ended = minisk_check("--gpu", file)
    assert "k<<<1, 32>>>: clean" in ended.stdout
    assert "for sm_80" in ended.stdout or "NVRTC is not installed" in ended.stderr
