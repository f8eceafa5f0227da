"""Kernels without ANY_BLOCK in mode cpu: at their true block size, blocks in parallel (include/blocks.h)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode, needs_compiler

from minisk.errors import KernelError
from minisk.runtime import Kernel, launch

pytestmark = needs_compiler

KERNELS = """
#include "common.cuh"
extern "C" __global__ void twice(const int n, const float* x, float* out) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    out[i] = 2 * x[i];
}
extern "C" __global__ void positions(int* out) {
    const int thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1000 * block + thread;
}
extern "C" __global__ void row_sums(const int n, const float* x, float* out) {
    __shared__ float partial[256];
    float sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) sum += x[blockIdx.x * n + i];
    partial[threadIdx.x] = sum;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) partial[threadIdx.x] += partial[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) out[blockIdx.x] = partial[0];
}
extern "C" __global__ void reversed(const int n, const float* x, float* out) {
    DYNAMIC_SHARED(float, tile);
    tile[threadIdx.x] = x[blockIdx.x * n + threadIdx.x];
    __syncthreads();
    out[blockIdx.x * n + threadIdx.x] = tile[n - 1 - threadIdx.x];
}
extern "C" __global__ void warp_sums(const float* x, float* out) {
    float value = x[blockIdx.x * blockDim.x + threadIdx.x];
    for (int distance = 16; distance > 0; distance /= 2) value += __shfl_down_sync(~0u, value, distance);
    if (threadIdx.x % 32 == 0) out[(blockIdx.x * blockDim.x + threadIdx.x) / 32] = value;
}
extern "C" __global__ void count(const int* group, int* counts) {
    atomicAdd(&counts[group[blockIdx.x * blockDim.x + threadIdx.x]], 1);
}
extern "C" __global__ void in_turn(int* turn, int* out) {
    if (threadIdx.x > 0) return;
    while (atomicAdd(turn, 0) != (int)blockIdx.x) {}
    out[blockIdx.x] = blockIdx.x;
    atomicAdd(turn, 1);
}
extern "C" __global__ void half_meet(int* out) {
    if (threadIdx.x < 32) __syncthreads();
    else __syncthreads();
    out[threadIdx.x] = 1;
}
extern "C" __global__ void divides(const int n, int* out) { out[blockIdx.x * blockDim.x + threadIdx.x] = 100 / n; }
extern "C" __global__ void hands_over(int* flag, int* out) {
    if (threadIdx.x == 0) { while (atomicAdd(flag, 0) == 0) {} out[0] = 1; }
    if (threadIdx.x == 63) atomicExch(flag, 1);
}
extern "C" __global__ void waits_for_ever(int* flag) { while (atomicAdd(flag, 0) == 0) {} }
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "kernels.cu"
    path.write_text(KERNELS)
    with kernel_mode("cpu"):
        yield path


RNG = np.random.default_rng(0)
X = RNG.integers(-9, 9, (70, 150)).astype(np.float32)  # whole numbers: sums are exact in every order


def test_threads_that_leave_early_and_a_tail_are_right(file: Path) -> None:
    out = np.full(X.size + 1, -1, np.float32)
    launch(Kernel(file, "twice"), (83,), (128,), (X.size, X.ravel(), out))
    np.testing.assert_array_equal(out[:-1], 2 * X.ravel())
    assert out[-1] == -1


@pytest.mark.parametrize("block", [(5,), (4, 3), (3, 2, 5), (1, 7, 2)])
def test_every_thread_of_grid_and_block_runs_once_with_its_position(file: Path, block: tuple[int, ...]) -> None:
    threads = int(np.prod(block))
    out = np.zeros((12, threads), np.int32)
    launch(Kernel(file, "positions"), (2, 3, 2), block, (out,))
    np.testing.assert_array_equal(out, 1000 * np.arange(12)[:, None] + np.arange(threads))


@pytest.mark.parametrize("threads", [1, 2, 64, 256])
def test_threads_meet_at_barriers_in_every_round_of_a_loop(file: Path, threads: int) -> None:
    out = np.zeros(70, np.float32)
    launch(Kernel(file, "row_sums"), (70,), (threads,), (150, X, out))
    np.testing.assert_array_equal(out, X.sum(axis=1))


def test_dynamic_shared_memory_belongs_to_a_block(file: Path) -> None:
    out = np.zeros_like(X)
    launch(Kernel(file, "reversed"), (70,), (150,), (150, X, out), dynamic_shared=600)
    np.testing.assert_array_equal(out, X[:, ::-1])


@pytest.mark.parametrize("mode", ["cpu", "threads", "check"])
def test_a_template_may_declare_dynamic_shared_memory(tmp_path: Path, mode: str) -> None:
    # No other function of the file declares it: g++ 12 made a template of this kind call an address of no function.
    text = """
template <typename T, int N> __global__ void reversed(const T* x, T* out) {
    extern __shared__ T words[];
    words[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = words[N - 1 - threadIdx.x];
}"""
    (tmp_path / "kernel.cu").write_text(text)
    x, out = np.arange(40, dtype=np.float32), np.zeros(40, np.float32)
    with kernel_mode(mode):
        Kernel(tmp_path / "kernel.cu", "reversed<float, 40>")((1,), (40,), (x, out), shared_mem=160)
    assert out.tolist() == x[::-1].tolist()


def test_lanes_exchange_registers(file: Path) -> None:
    x = X.ravel()[: 96 * 100]
    out = np.zeros(300, np.float32)
    launch(Kernel(file, "warp_sums"), (100,), (96,), (x, out))
    np.testing.assert_array_equal(out, x.reshape(300, 32).sum(axis=1))


def test_atomic_updates_by_blocks_on_several_processors_are_not_lost(file: Path) -> None:
    group = RNG.integers(0, 3, 100_000).astype(np.int32)
    counts = np.zeros(3, np.int32)
    launch(Kernel(file, "count"), (1000,), (100,), (group, counts))
    np.testing.assert_array_equal(counts, np.bincount(group))


def test_a_block_may_wait_for_the_block_before_it(file: Path) -> None:
    turn, out = np.zeros(1, np.int32), np.full(9, -1, np.int32)
    launch(Kernel(file, "in_turn"), (9,), (64,), (turn, out))
    np.testing.assert_array_equal(out, np.arange(9))


def test_a_thread_may_wait_for_another_of_its_block(file: Path) -> None:
    out = np.zeros(1, np.int32)
    launch(Kernel(file, "hands_over"), (1,), (64,), (np.zeros(1, np.int32), out))
    assert out[0] == 1


@pytest.mark.parametrize(
    ("kernel", "args", "message"),
    [
        ("half_meet", (np.zeros(64, np.int32),), r"barrier divergence in block .*kernels\.cu:47"),
        ("divides", (0, np.zeros(640, np.int32)), "thread .* of block .* divides an integer by zero"),
        ("waits_for_ever", (np.zeros(1, np.int32),), "waits in a loop without end"),
    ],
)
def test_a_kernel_that_cannot_go_on_is_an_error_and_the_next_launch_is_right(
    file: Path, kernel: str, args: tuple, message: str
) -> None:
    grid = (1,) if kernel == "waits_for_ever" else (10,)
    with pytest.raises(KernelError, match=message):
        launch(Kernel(file, kernel), grid, (64,), args)
    out = np.zeros(70, np.float32)
    launch(Kernel(file, "row_sums"), (70,), (64,), (150, X, out))
    np.testing.assert_array_equal(out, X.sum(axis=1))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="counts the ranges of memory as Linux lists them")
@pytest.mark.parametrize("mode", ["cpu", "threads"])
def test_libraries_share_their_stacks(tmp_path: Path, mode: str) -> None:
    """Two ranges of memory are needed for each thread of a block, and a process may have only some 65,000."""
    counts = []
    with kernel_mode(mode):
        for number in range(3):
            path = tmp_path / f"file{number}.cu"
            path.write_text(f'extern "C" __global__ void set(int* out) {{ out[threadIdx.x] = {number}; }}')
            out = np.full(1024, -1, np.int32)
            launch(Kernel(path, "set"), (1,), (1024,), (out,))
            assert (out == number).all()
            counts.append(len(Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()))
    assert counts[2] - counts[0] < 1000, counts


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="counts the ranges of memory as Linux lists them")
def test_stacks_of_a_thread_end_with_it(tmp_path: Path) -> None:
    path = tmp_path / "file.cu"
    path.write_text('extern "C" __global__ void set(int* out) { out[threadIdx.x] = 1; }')
    kernel = Kernel(path, "set")

    def work() -> None:
        with kernel_mode("cpu"):
            launch(kernel, (2,), (1024,), (np.zeros(1024, np.int32),))

    counts = []
    for _ in range(6):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        counts.append(len(Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()))
    # Two processors keep some 4,100 ranges while they live. If stacks outlived their threads, there were 20,000 more.
    assert counts[-1] - counts[0] < 6000, counts
