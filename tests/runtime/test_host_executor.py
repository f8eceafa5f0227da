"""The executors of runtime/include: one thread a block (mode cpu), or one fiber for each CUDA thread (mode threads)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from checked import BARRIERS, reduction
from host_library import build, launch, needs_compiler

pytestmark = needs_compiler

SCHEDULES = [(0, 0), (1, 0), (2, 1), (2, 2), (2, 3)]


def row_sums(mode: str, without: str = "", schedule: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Sum 5 rows with 2 blocks of 64 threads, 2 rounds and a tail each; return the sums and the expected ones."""
    x = np.arange(5 * 150, dtype=np.float32).reshape(5, 150)  # sums below 2²⁴ are exact in every order
    out = np.full(5, -1, np.float32)
    library = build(reduction(without), mode, "row_sums")
    arguments = (np.int32(5), np.int32(150), x, out)
    assert launch(library, "row_sums", 2, 64, *arguments, schedule=schedule, seed=seed) == ""
    return out, x.sum(axis=1)


@pytest.mark.parametrize("mode", ["cpu", "cpu without OpenMP", "threads"])
def test_a_kernel_for_any_block_size_gives_the_same_sums_in_every_mode(mode):
    out, expected = row_sums(mode)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_a_kernel_with_all_its_barriers_is_right_in_every_schedule(schedule, seed):
    out, expected = row_sums("threads", "", schedule, seed)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("barrier", BARRIERS)
def test_a_missing_barrier_shows_in_some_schedule(barrier):
    runs = [row_sums("threads", barrier, *schedule) for schedule in SCHEDULES]
    assert any((out != expected).any() or np.isnan(out).any() for out, expected in runs)


def test_each_schedule_has_its_own_order_of_threads_and_blocks():
    source = """
extern "C" __global__ void arrivals(int* counter, int* order) {
    order[atomicAdd(counter, 1)] = blockIdx.x * blockDim.x + threadIdx.x;
}"""
    library = build(source, "threads", "arrivals")

    def arrivals(schedule, seed):
        order = np.zeros(3 * 70, np.int32)
        assert launch(library, "arrivals", 3, 70, np.zeros(1, np.int32), order, schedule=schedule, seed=seed) == ""
        assert sorted(order) == list(range(210))  # each exactly once
        return list(order)

    assert arrivals(0, 0) == list(range(210))
    assert arrivals(1, 0) == list(range(210))[::-1]
    assert arrivals(2, 1) == arrivals(2, 1) != arrivals(2, 2)


DIVERGENT = """
extern "C" __global__ void branches(int* out) {
    __shared__ int cell;
    if (threadIdx.x < 32)
        __syncthreads();  // line 5
    else
        __syncthreads();  // line 7
    if (threadIdx.x == 0) cell = 1;
    out[threadIdx.x] = cell;
}
extern "C" __global__ void leaves_early(int n, int* out) {
    if (threadIdx.x >= n) return;
    __syncthreads();  // line 13
    out[threadIdx.x] = 1;
}
"""


def test_a_barrier_in_a_divergent_branch_is_an_error_that_names_both_lines():
    error = launch(build(DIVERGENT, "threads", "branches"), "branches", 1, 64, np.zeros(64, np.int32))
    assert "barrier divergence" in error
    assert "kernel.cu:5" in error and "kernel.cu:7" in error


def test_a_thread_that_exits_before_a_barrier_is_named():
    library = build(DIVERGENT, "threads", "leaves_early")
    error = launch(library, "leaves_early", (1, 2), (8, 8), np.int32(7), np.zeros(64, np.int32))
    assert "block (0,0,0)" in error and "kernel.cu:13" in error and "thread (7,0,0) has exited" in error


def test_all_threads_of_a_block_may_exit_early():
    out = np.zeros(64, np.int32)
    assert launch(build(DIVERGENT, "threads", "leaves_early"), "leaves_early", 1, 64, np.int32(0), out) == ""
    assert launch(build(DIVERGENT, "threads", "leaves_early"), "leaves_early", 1, 64, np.int32(64), out) == ""
    assert (out == 1).all()


ATOMICS = """
template <class T> __device__ void count(int n, T* cells) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        atomicAdd(&cells[0], 1);
        atomicSub(&cells[1], 2);
        atomicMax(&cells[2], i % 100);
        atomicMin(&cells[3], i % 100 + 1);
        atomicCAS(&cells[4], 0, 7);
        atomicExch(&cells[5], 9);
    }
}
extern "C" __global__ void count_int(int n, int* cells) { count(n, cells); }
extern "C" __global__ void count_float(int n, float* cells) { count(n, cells); }
extern "C" __global__ void count_double(int n, double* cells) { count(n, cells); }
"""


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@pytest.mark.parametrize("dtype", [np.int32, np.float32, np.float64])
def test_atomics_lose_no_update(mode, dtype):
    kernels = {np.int32: "count_int", np.float32: "count_float", np.float64: "count_double"}
    library = build(ATOMICS, mode, *kernels.values())
    cells = np.array([0, 0, 0, 1000, 0, 0], dtype)
    assert launch(library, kernels[dtype], 50, 64, np.int32(10_000), cells) == ""
    assert list(cells) == [10_000, -20_000, 99, 1, 7, 9]


POSITIONS = """
extern "C" __global__ void positions(int* visits, int* out) {  // out[block, thread] = its coordinates, in decimal
    const int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const int cell = block * blockDim.x * blockDim.y * blockDim.z + thread;
    atomicAdd(&visits[cell], 1);
    out[cell] = blockIdx.z * 100000 + blockIdx.y * 10000 + blockIdx.x * 1000
              + threadIdx.z * 100 + threadIdx.y * 10 + threadIdx.x;
}
"""


@pytest.mark.parametrize(("mode", "block"), [("cpu", (1, 1, 1)), ("threads", (5, 3, 2)), ("threads", (2, 4, 8))])
def test_grids_and_blocks_have_three_dimensions(mode, block):
    z, y, x, tz, ty, tx = np.indices((2, 3, 4, *block[::-1]))
    expected = z * 100000 + y * 10000 + x * 1000 + tz * 100 + ty * 10 + tx
    visits, out = np.zeros(expected.shape, np.int32), np.zeros(expected.shape, np.int32)
    assert launch(build(POSITIONS, mode, "positions"), "positions", (4, 3, 2), block, visits, out) == ""
    assert (visits == 1).all()
    np.testing.assert_array_equal(out, expected)


SHARED = """
template <class T> __device__ T first_of(int i) {   // a shared array of a template: one per type
    __shared__ T cells[32];
    return cells[i];
}
inline __device__ int second_of(int i) {
    __shared__ int cells[32];
    return cells[i];
}
extern "C" __global__ void unwritten(float* a, double* b, int* c, float* dynamic, unsigned long long* address) {
    const float* mine = (const float*)minisk_dynamic_shared();
    const int i = threadIdx.x;
    a[i] = first_of<float>(i);
    b[i] = first_of<double>(i);
    c[i] = second_of(i);
    dynamic[i] = mine[i];
    if (i == 0) *address = (unsigned long long)mine;
}
extern "C" __global__ void reversed(const int* x, int* out) {
    int* tile = (int*)minisk_dynamic_shared();
    const int first = blockIdx.x * 100;
    for (int i = threadIdx.x; i < 100; i += blockDim.x) tile[i] = x[first + i];
    __syncthreads();
    for (int i = threadIdx.x; i < 100; i += blockDim.x) out[first + i] = tile[99 - i];
}
"""


def test_shared_memory_is_nan_until_it_is_written():
    a, b, c = np.zeros(32, np.float32), np.zeros(32), np.zeros(32, np.int32)
    dynamic, address = np.zeros(32, np.float32), np.zeros(1, np.uint64)
    library = build(SHARED, "threads", "unwritten")
    assert launch(library, "unwritten", 2, 32, a, b, c, dynamic, address, dynamic_shared=128) == ""
    assert np.isnan(a).all() and np.isnan(b).all() and np.isnan(dynamic).all() and (c == -1).all()
    assert address[0] % 64 == 0


@pytest.mark.parametrize(("mode", "block"), [("cpu", 1), ("cpu without OpenMP", 1), ("threads", 64), ("threads", 128)])
def test_dynamic_shared_memory_belongs_to_the_block(mode, block):
    x = np.arange(900, dtype=np.int32)
    out = np.zeros_like(x)
    assert launch(build(SHARED, mode, "reversed"), "reversed", 9, block, x, out, dynamic_shared=400) == ""
    np.testing.assert_array_equal(out.reshape(9, 100), x.reshape(9, 100)[:, ::-1])


def test_more_than_48_kib_of_dynamic_shared_memory_is_an_error():
    library, x = build(SHARED, "threads", "reversed"), np.arange(100, dtype=np.int32)
    assert launch(library, "reversed", 1, 32, x, x.copy(), dynamic_shared=48 * 1024) == ""
    error = launch(library, "reversed", 1, 32, x, x.copy(), dynamic_shared=48 * 1024 + 1)
    assert "49153 bytes" in error and "49152" in error


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@pytest.mark.parametrize(
    ("grid", "block", "message"),
    [
        ((0, 1, 1), 1, "grid.x is 0"),
        ((1, 65536, 1), 1, "grid.y is 65536"),
        (1, (4, 0, 1), "block.y is 0"),
        (1, 1025, "block.x is 1025"),
        (1, (1, 1, 65), "block.z is 65"),
        (1, (32, 33, 1), "1056 threads"),
        (1, (1 << 31, 1 << 31, 4), "block.x is 2147483648"),  # the product overflows to 0
    ],
)
def test_sizes_that_no_gpu_accepts_are_errors(mode, grid, block, message):
    out = np.full(1, 5, np.float32)
    error = launch(build(POSITIONS, mode, "positions"), "positions", grid, block, out, out)
    assert message in error
    assert out[0] == 5


DEEP = """
extern "C" __global__ void deep(int* out) {
    volatile char local[BYTES];
    for (int i = 0; i < BYTES; i += 1000) local[i] = threadIdx.x % 100;
    __syncthreads();
    int sum = 0;
    for (int i = 0; i < BYTES; i += 1000) sum += local[i];
    out[threadIdx.x] = sum;
}
"""


def test_1024_threads_may_have_60_kb_of_local_memory_each():
    out = np.zeros(1024, np.int32)
    assert launch(build(DEEP.replace("BYTES", "60000"), "threads", "deep"), "deep", 1, 1024, out) == ""
    np.testing.assert_array_equal(out, np.arange(1024) % 100 * 60)


def test_a_stack_overflow_is_an_error():
    source = DEEP.replace("BYTES", "150000").replace("1000", "8")
    error = launch(build(source, "threads", "deep"), "deep", 1, 64, np.zeros(64, np.int32))
    assert "thread (0,0,0)" in error and "128 KiB of local memory" in error


CRASHES = {
    "out[0] = out[1] / (int)(threadIdx.x - 2)": "divides an integer by zero",
    "if (threadIdx.x == 2) abort()": "is ended by abort",
    "if (threadIdx.x == 2) assert(out[0] == 1)": "fails the assertion `out[0] == 1`",
    "if (threadIdx.x == 2) out[1L << 42] = 1": "accesses an address that does not exist",
    "if (threadIdx.x == 2) __builtin_trap()": "reaches an instruction that does not exist",
}


@pytest.mark.parametrize("statement", CRASHES)
def test_a_kernel_that_would_end_the_process_ends_its_launch_and_names_the_thread(statement):
    source = f"""
    #include <cassert>
    #include <cstdlib>
    extern "C" __global__ void crash(int* out) {{ {statement}; }}
    extern "C" __global__ void one(int* out) {{ out[threadIdx.x] = 1; }}
    """
    library, out = build(source, "threads", "crash", "one"), np.zeros(4, np.int32)
    error = launch(library, "crash", 1, 4, out)
    assert f"thread (2,0,0) of block (0,0,0) {CRASHES[statement]}" in error
    assert launch(library, "one", 1, 4, out) == "" and out.tolist() == [1] * 4


@pytest.mark.parametrize("mode", ["cpu", "cpu without OpenMP"])
@pytest.mark.parametrize("statement", CRASHES)
def test_a_crash_in_mode_cpu_ends_its_launch_and_names_the_block(statement, mode):
    source = f"""
    #include <cassert>
    #include <cstdlib>
    extern "C" __global__ void crash(int* out) {{ {statement.replace("threadIdx", "blockIdx")}; }}
    extern "C" __global__ void one(int* out) {{ out[blockIdx.x] = 1; }}
    """
    library, out = build(source, mode, "crash", "one"), np.zeros(4, np.int32)
    for _ in range(2):
        assert f"block (2,0,0) {CRASHES[statement]}" in launch(library, "crash", 4, 1, out)
    assert launch(library, "one", 4, 1, out) == "" and out.tolist() == [1] * 4


@pytest.mark.parametrize("mode", ["cpu", "threads"])
@pytest.mark.parametrize(
    ("statement", "number"),
    [("os.abort()", signal.SIGABRT), ("ctypes.c_int.from_address(0).value", signal.SIGSEGV)],
)
def test_a_signal_after_a_launch_is_not_the_kernels(mode, statement, number):
    script = f"import ctypes, os, minisk as ms; ms.ops.relu(ms.ones(100_000)); {statement}"
    environment = {**os.environ, "MINISK_KERNELS": mode}
    assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == -number


def test_a_launch_succeeds_after_one_that_failed():
    library = build(DIVERGENT, "threads", "branches", "leaves_early")
    assert launch(library, "branches", 1, 64, np.zeros(64, np.int32)) != ""
    out = np.zeros(64, np.int32)
    assert launch(library, "leaves_early", 1, 64, np.int32(64), out) == ""
    assert (out == 1).all()


@pytest.mark.parametrize(("mode", "block"), [("cpu", 1), ("threads", 64)])
def test_two_python_threads_may_launch_at_once(mode, block):
    library = build(SHARED, mode, "reversed")
    inputs = [np.arange(90_000, dtype=np.int32) + i for i in range(2)]
    outputs = [np.zeros_like(x) for x in inputs]

    def work(x, out):
        for _ in range(5):
            launch(library, "reversed", 900, block, x, out, dynamic_shared=400)

    workers = [threading.Thread(target=work, args=pair) for pair in zip(inputs, outputs, strict=True)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for x, out in zip(inputs, outputs, strict=True):
        np.testing.assert_array_equal(out.reshape(900, 100), x.reshape(900, 100)[:, ::-1])


VOCABULARY = """
extern "C" __global__ void __launch_bounds__(256) words(float* f, int* i, float4* v, double2* d) {
    f[0] = min(1.0f, NAN), f[1] = max(2, 2.5f), f[2] = rsqrtf(4.0f), f[3] = __expf(0.0f), f[4] = fmaf(2.0f, 3.0f, 1.0f);
    f[5] = __ldg(f + 4);
    i[0] = min(-1, 1), i[1] = max(3LL, 2), i[2] = __popc(7), i[3] = __ffs(8), i[4] = warpSize;
    v[0] = make_float4(1, 2, 3, 4), v[1].w = v[0].z;
    d[0] = make_double2(0.25, 0.5);
#ifdef MINISK_HAS_HALF
    f[6] = float(minisk_half(f[1])) + (sizeof(minisk_half) == 2);
#else
    f[6] = 3.5f;
#endif
}
"""


@pytest.mark.parametrize("mode", ["cpu", "threads"])
def test_functions_and_types_of_cuda_have_their_meaning(mode):
    f, i = np.zeros(7, np.float32), np.zeros(5, np.int32)
    v, d = np.zeros(8, np.float32), np.zeros(2)
    assert launch(build(VOCABULARY, mode, "words"), "words", 1, 1, f, i, v, d) == ""
    assert list(f) == [1, 2.5, 0.5, 1, 7, 7, 3.5]
    assert list(i) == [-1, 3, 3, 4, 32]
    assert list(v) == [1, 2, 3, 4, 0, 0, 0, 3]
    assert list(d) == [0.25, 0.5]
