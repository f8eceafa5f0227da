"""The reports of checked launches: names of variables, findings known at the end of a launch, and hints."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode
from host_library import needs_compiler

from minisk.errors import KernelError
from minisk.runtime import Kernel, launch
from minisk.runtime.findings import CheckReport
from minisk.sanitizer import check_file

pytestmark = needs_compiler


def reported(folder: Path, text: str) -> CheckReport:
    """Check the one case of a file and return its report."""
    (folder / "kernel.cu").write_text(f'#include "common.cuh"\n{text}')
    ((report,),) = (check.reports for check in check_file(folder / "kernel.cu"))
    return report


def test_a_finding_names_the_variable_and_the_place(tmp_path: Path) -> None:
    report = reported(
        tmp_path,
        """__device__ int total;
template <class T> __device__ void add(T value) { total += value; }
// check: <<<1, 64>>> out[64]
extern "C" __global__ void names(int* out) {
    static __shared__ int tile[64];
    __shared__ int tail[64];
    tile[threadIdx.x] = tail[threadIdx.x] = 1;
    out[threadIdx.x] = tile[63 - threadIdx.x] + (&tail[0])[threadIdx.x + 1];
    add(1);
}""",
    )
    text = str(report)
    assert (
        "race: kernel.cu:8 writes the shared array tile, byte 128 (thread 32 of block 0), kernel.cu:9 reads it" in text
    )
    assert "out of bounds: kernel.cu:9 reads the shared array tail, byte 256, 4 bytes (thread 63 of block 0)" in text
    assert "race: kernel.cu:3 called at kernel.cu:10 reads total, byte 0" in text
    assert {f.place for f in report.findings} == {"kernel.cu:8", "kernel.cu:9", "kernel.cu:3 called at kernel.cu:10"}


HELPERS = """
#define OF_ITS_OWN __attribute__((noinline)) __device__
OF_ITS_OWN float at(const float* x, int i) { return x[i]; }
OF_ITS_OWN void put(float* x, int i, float value) { x[i] = value; }
OF_ITS_OWN int shifted(int bits) { return 1 << bits; }
// check: <<<2, 32>>> x[50] out[64]
__global__ void k(const float* x, float* out) {
    __shared__ float values[32];
    const int i = blockIdx.x * 32 + threadIdx.x;
    put(values, threadIdx.x, at(x, 0));
    if (threadIdx.x % 2) put(values, 0, 1);
    out[i] = at(values, 31 - threadIdx.x) + shifted(threadIdx.x + 1) + at(x, i);
}
"""


def test_a_finding_in_a_function_names_the_line_of_its_call(tmp_path: Path) -> None:
    report = reported(tmp_path, HELPERS)
    assert {(finding.kind, finding.place) for finding in report.findings} == {
        ("race", "kernel.cu:5 called at kernel.cu:11"),
        ("race", "kernel.cu:5 called at kernel.cu:12"),
        ("race", "kernel.cu:4 called at kernel.cu:13"),
        ("uninitialised", "kernel.cu:4 called at kernel.cu:13"),
        ("undefined behaviour", "kernel.cu:6 called at kernel.cu:13"),
        ("out of bounds", "kernel.cu:4 called at kernel.cu:13"),
    }
    (race,) = (f.sentence for f in report.findings if (f.kind, f.place[:11]) == ("race", "kernel.cu:4"))
    assert ", kernel.cu:5 writes it too" in race  # earlier, from which of its two calls is not recorded


FORMS = """
__shared__ float at_file[4];
namespace other { __device__ float first() { extern __shared__ float words[]; return words[0]; } }
template <class T, int N> __device__ T in_template(T value) {
    __shared__ T values[N];
    values[threadIdx.x % N] = value;
    return values[threadIdx.x % N];
}
// check: <<<2, 1, 128>>> out[2]
extern "C" __global__ void forms(float* out) {
    extern __shared__ float words[];
    extern __shared__ __align__(16) unsigned char bytes[];
    static __shared__ float kept[4];
    volatile __shared__ float loud[4];
    __shared__ volatile float louder[4];
    __shared__ alignas(16) float wide[4];
    __shared__ float two[2], three[3];
    if (blockIdx.x == 0) {
        words[0] = 5;
        kept[0] = loud[0] = louder[0] = wide[0] = two[0] = three[0] = at_file[0] = 1;
        out[0] = bytes[3] + other::first() + kept[0] + loud[0] + louder[0] + wide[0] + two[0] + three[0] + at_file[0];
        out[1] = in_template<float, 2>(3);
    }
}
"""


def test_every_form_of_shared_memory_is_accepted(tmp_path: Path) -> None:
    assert str(reported(tmp_path, FORMS)) == "forms<<<2, 1>>>: clean"
    kernel, out = Kernel(tmp_path / "kernel.cu", "forms"), np.zeros(2, np.float32)
    with kernel_mode("threads"):
        launch(kernel, (2,), (1,), (out,), dynamic_shared=128)
    assert out.tolist() == [0x40 + 5 + 7, 3]  # 0x40 is the last byte of 5.0f
    for_any_block = FORMS.replace("__global__ void", "__global__ ANY_BLOCK void")
    (tmp_path / "kernel.cu").write_text(f'#include "common.cuh"\n{for_any_block}')
    with kernel_mode("cpu"):
        launch(Kernel(tmp_path / "kernel.cu", "forms"), (2,), (1,), (out,), dynamic_shared=128)
        with pytest.raises(KernelError, match="at most 65536"):
            launch(Kernel(tmp_path / "kernel.cu", "forms"), (2,), (1,), (out,), dynamic_shared=65537)
    assert out.tolist() == [0x40 + 5 + 7, 3]


def test_extern_shared_memory_has_the_size_of_the_launch(tmp_path: Path) -> None:
    report = reported(tmp_path, FORMS.replace("words[0] = 5", "words[0] = 5; words[32] = 1"))
    assert "out of bounds: kernel.cu:20 writes dynamic shared memory, byte 128, 4 bytes" in str(report)


def test_elements_that_are_never_written_are_a_finding(tmp_path: Path) -> None:
    text = """// check: <<<2, 32>>> n=70 x[n] out[n]
extern "C" __global__ void tail(const int n, const float* x, float* out) {
    const int i = blockIdx.x * 32 + threadIdx.x;
    if (i < n) out[i] = x[i];
}"""
    (finding,) = reported(tmp_path, text).findings
    assert finding.kind == "unwritten" and finding.place == "kernel.cu:5"
    assert finding.sentence.startswith("6 of the 70 elements of out are never written, from element 64 on; kernel.cu:5")
    assert "kernel.cu:5 writes to it, at index i, set on kernel.cu:4 (if" in finding.sentence
    inline = text.replace("out[i]", "out[blockIdx.x * 32 + threadIdx.x]")
    assert "kernel.cu:5 writes to it (if" in reported(tmp_path, inline).findings[0].sentence
    assert reported(tmp_path, text.replace("out[n]", "out[n]=0")).ok
    (finding,) = reported(tmp_path, text.replace("out[i] =", "const float y =")).findings
    assert "70 of the 70 elements of out are never written, from element 0 on; no line writes to it" in str(finding)


def test_elements_are_those_of_the_pointers_type(tmp_path: Path) -> None:
    text = """// check: <<<1, 32>>> out[64]
__global__ void half_of_some(float2* out) {
    out[threadIdx.x] = make_float2(1, 2);
    if (threadIdx.x < 16) out[threadIdx.x + 32].y = 1;
}"""
    (finding,) = reported(tmp_path, text).findings
    assert finding.sentence.startswith("32 of the 64 elements of out are never written, from element 32 on")


def test_a_variable_that_is_never_set_is_named(tmp_path: Path) -> None:
    text = """// check: <<<1, 32>>> n=3 out[64]
extern "C" __global__ void forgot(const int n, float* out) {
    float sum;
    for (int i = 0; i < n; i++) sum += i;
    out[threadIdx.x] = 1;
    out[32 + threadIdx.x] = sum;
}"""
    (finding,) = reported(tmp_path, text).findings
    assert finding.kind == "uninitialised" and finding.place == "kernel.cu:7" and finding.times == 32
    assert "the value of sum, declared at kernel.cu:4, first used at kernel.cu:5, was never set" in finding.sentence
    assert reported(tmp_path, text.replace("float sum;", "float sum = -1.6947395e38f;")).ok  # the pattern, as data


def test_too_much_static_shared_memory_is_a_finding(tmp_path: Path) -> None:
    text = """// check: <<<1, 32>>> out[32]
extern "C" __global__ void large(int* out) {
    __shared__ int small[SIZE];
    __shared__ double wide[4096];
    small[threadIdx.x] = wide[threadIdx.x] = threadIdx.x;
    __syncthreads();
    out[threadIdx.x] = small[31 - threadIdx.x] + wide[31 - threadIdx.x];
}"""
    assert reported(tmp_path, text.replace("SIZE", "4096")).ok
    (finding,) = reported(tmp_path, text.replace("SIZE", "4097")).findings
    assert finding.kind == "shared memory" and finding.place == "kernel.cu:5"
    assert "49156 bytes of __shared__ arrays (wide 32768, small 16388)" in finding.sentence


def test_a_deep_stack_names_the_largest_array(tmp_path: Path) -> None:
    report = reported(
        tmp_path,
        """// check: <<<1, 1>>> n=50000 out[1]
extern "C" __global__ void deep(const int n, int* out) {
    int few[100], many[50000];
    for (int i = 0; i < n; i++) many[i] = few[i % 100] = i;
    out[0] = many[n / 2] + few[n / 600];
}""",
    )
    (finding,) = report.findings
    assert "thread 0 of block 0 needs more than its 128 KiB of local memory" in finding.sentence
    assert "many, declared at kernel.cu:4, has 200000 bytes" in finding.sentence


BARRIER = """// check: <<<1, 96>>> n=64 x[n] out[n]
extern "C" __global__ void leaves(const int n, const float* x, float* out) {
    __shared__ float tile[96];
    if (threadIdx.x >= n) WARPS_THAT_LEAVE
    tile[threadIdx.x] = x[threadIdx.x % n];
    if (threadIdx.x < n) __syncthreads();
    if (threadIdx.x < n) out[threadIdx.x] = tile[n - 1 - threadIdx.x];
    else tile[threadIdx.x - n] = 1;
}"""


def test_a_missed_barrier_is_a_hint_alone_and_a_finding_beside_another(tmp_path: Path) -> None:
    right = reported(tmp_path, BARRIER.replace("WARPS_THAT_LEAVE", "return;"))
    assert right.ok and [hint.kind for hint in right.hints] == ["synchronisation"]
    assert str(right).startswith("leaves<<<1, 96>>>: clean\n  hint: synchronisation: kernel.cu:7: a barrier without")
    wrong = reported(tmp_path, BARRIER.replace("WARPS_THAT_LEAVE", "{}"))
    assert {finding.kind for finding in wrong.findings} == {"race", "synchronisation"} and not wrong.hints


def test_a_vector_is_one_request_whichever_members_are_used(tmp_path: Path) -> None:
    report = reported(
        tmp_path,
        """// check: <<<1, 64>>> x[256] out[256]
extern "C" __global__ void by_parts(const float* x, float* out) {
    float4 v = reinterpret_cast<const float4*>(x)[threadIdx.x];
    v.x *= 2;
    v.w *= v.y + v.z;
    reinterpret_cast<float4*>(out)[threadIdx.x] = v;
}""",
    )
    costs = [(s.array, s.bytes_per_lane, s.requests, s.transactions, s.least) for s in report.sites]
    assert costs == [("x", 16, 2, 32, 32), ("out", 16, 2, 32, 32)]


def test_bytes_get_cells_of_sixteen_times_their_size(tmp_path: Path) -> None:
    (tmp_path / "kernel.cu").write_text(
        'extern "C" __global__ void copy(const int n, const unsigned char* x, unsigned char* out) {\n'
        "    for (int i = threadIdx.x; i < n; i += blockDim.x) out[i] = x[i];\n}"
    )
    x = np.ones(2_000_000, np.uint8)
    script = (
        "import resource, sys, numpy as np; from minisk.runtime import Kernel, examine\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "for n in (1, 2_000_000):\n"
        "    x = np.ones(n, np.uint8); before = peak()\n"
        "    assert examine(Kernel(sys.argv[1], 'copy'), (1,), (256,), (n, x, np.zeros_like(x))).ok\n"
        "print(peak() - before)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "kernel.cu")]
    used = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert used < 20 * 2 * x.nbytes  # 16 for the cells, and the copies of the arrays


STATE = """
__device__ int launches;
__device__ const int step = 1;
extern "C" __global__ void count(int* out) { if (threadIdx.x == 0) out[0] = launches += step; }
extern "C" __global__ void sum(const float* x, float* out) { atomicAdd(out, x[blockIdx.x * 64 + threadIdx.x]); }
extern "C" __global__ void last(int* out) { out[0] = threadIdx.x / 2; }
extern "C" __global__ void positives(const float* x, int* count, float* out) {
    if (x[threadIdx.x] > 0) out[atomicAdd(count, 1)] = x[threadIdx.x];
}
"""


def test_mode_threads_keeps_device_variables_and_leaves_open_what_atomics_do(tmp_path: Path) -> None:
    (tmp_path / "state.cu").write_text(STATE)
    with kernel_mode("threads"):
        out = np.zeros(1, np.int32)
        for expected in (1, 2):
            launch(Kernel(tmp_path / "state.cu", "count"), (1,), (32,), (out,))
            assert out[0] == expected
        total, x = np.zeros(1, np.float32), np.random.default_rng(0).standard_normal(256).astype(np.float32)
        launch(Kernel(tmp_path / "state.cu", "sum"), (4,), (64,), (x, total))
        np.testing.assert_allclose(total, x.sum(), rtol=1e-5)
        positive = np.zeros(64, np.float32)
        launch(Kernel(tmp_path / "state.cu", "positives"), (1,), (64,), (x[:64], np.zeros(1, np.int32), positive))
        assert sorted(positive[positive > 0]) == sorted(x[:64][x[:64] > 0])
        with pytest.raises(KernelError, match="out depends on the order in which threads run"):
            launch(Kernel(tmp_path / "state.cu", "last"), (1,), (32,), (out,))


ENDLESS = """
import signal, sys
from minisk.runtime import Kernel, launch
import numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell ignores it
kernel = Kernel(sys.argv[1], "forever")
kernel.compiled(sys.argv[2])
try:
    launch(kernel, (1,), (32,), (np.zeros(32, np.int32),))
except KeyboardInterrupt as interrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print(interrupt)
"""


@pytest.mark.parametrize("mode", ["threads", "check"])
def test_ctrl_c_ends_a_launch_and_names_line_and_thread(tmp_path: Path, mode: str) -> None:
    (tmp_path / "forever.cu").write_text(
        'extern "C" __global__ void forever(int* out) {\n'
        '    printf("ready\\n"), fflush(nullptr);\n    for (unsigned i = 1; i; i = 1 + i % 7) {\n    }\n}'
    )
    command = [sys.executable, "-c", ENDLESS, str(tmp_path / "forever.cu"), mode]
    environment = {**os.environ, "MINISK_KERNELS": mode}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            said = _interrupted(process)
        finally:
            process.kill()
    assert re.search(r"forever: forever.cu:[234]: thread 0 of block 0 is interrupted by Ctrl-C", said)


def _interrupted(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C until the process ends: a first one may come while the thread is still in printf."""
    for _ in range(60):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=2)[0]
    raise AssertionError("Ctrl-C does not end the launch")


def test_python_survives_what_would_end_the_process(tmp_path: Path) -> None:
    text = 'extern "C" __global__ void dies(const int n, int* out) {\n    WHAT;\n}'
    for what, said in (
        ("assert(threadIdx.x < n)", "fails the assertion `threadIdx.x < n`"),
        ("out[threadIdx.x] = 100 / (n - 3)", "divide"),
        ("int* none = out + 0 * n; if (n) none = nullptr; none[threadIdx.x] = 1", "a null pointer|does not exist"),
        ("out[threadIdx.x] = out[threadIdx.x + (1ll << 40) * n]", "far from every array|does not exist"),
    ):
        (tmp_path / "dies.cu").write_text(f"#include <cassert>\n{text.replace('WHAT', what)}")
        for mode in ("threads", "check"):
            with kernel_mode(mode), pytest.raises(KernelError, match=rf"dies\.cu:3(.|\n)*({said})"):
                launch(Kernel(tmp_path / "dies.cu", "dies"), (1,), (32,), (3, np.zeros(32, np.int32)))
