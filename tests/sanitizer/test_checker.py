"""The checker of runtime/include/checker.h: findings of bad accesses and barriers, and none for clean kernels."""

from __future__ import annotations

import numpy as np
import pytest
from checked import DYNAMIC_SHARED, SCHEDULES, STATIC_SHARED, WHOLE, check, numbers
from host_library import needs_compiler

pytestmark = needs_compiler

# ---- bounds, alignment, initialisation ----

BOUNDS = """
extern "C" __global__ void bounds(int shift, const float* x, float* out) {
    __shared__ float cells[32];
    __shared__ float others[32];
    float* dynamic = (float*)minisk_dynamic_shared();
    const int i = threadIdx.x;
    cells[i] = others[i] = dynamic[i] = 0;
    ACCESS;
    __syncthreads();
    out[i] += cells[i] + others[i];
}
"""


@pytest.mark.parametrize(
    ("access", "kind", "where", "offset"),
    [
        ("out[i] = x[i + shift]", "read", 1, 128),
        ("out[i + shift] = x[i]", "write", 2, 128),
        ("out[i - shift] = x[i]", "write", 2, -4),
        ("(cells + 0)[i + shift] = x[i]", "write", STATIC_SHARED, 128),
        ("(others + 0)[i + shift] = x[i]", "write", STATIC_SHARED, 128),
        ("out[i] = dynamic[i + shift]", "read", DYNAMIC_SHARED, 128),
        ("atomicAdd(&out[i + shift], 1)", "atomic", 2, 128),
    ],
)
@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_the_first_access_out_of_bounds_ends_the_launch_and_is_named(access, kind, where, offset, schedule, seed):
    x, out = np.zeros(64, np.float32), np.zeros(64, np.float32)  # room for the bad access itself
    source = BOUNDS.replace("ACCESS", access)
    arguments = (np.int32(1), x[:32], out[16:48])
    report = check(source, "bounds", 1, 32, *arguments, dynamic_shared=128, schedule=schedule, seed=seed)
    assert "out-of-bounds" in report.error
    (finding,) = (f for f in report.findings if f.kind == "out of bounds")
    assert finding.array == where
    assert finding.offset == offset or where == STATIC_SHARED  # all shared arrays are one region, in any order
    assert finding.here.line == 8 and finding.here.access == kind
    assert finding.here.thread == ((0, 0, 0) if offset < 0 else (31, 0, 0))


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_accesses_within_bounds_are_clean(schedule, seed):
    x, out = np.ones(32, np.float32), np.zeros(32, np.float32)
    source = BOUNDS.replace("ACCESS", "out[i] = x[31 - i + shift] + cells[i] + others[i] + dynamic[i]")
    report = check(source, "bounds", 1, 32, np.int32(0), x, out, dynamic_shared=128, schedule=schedule, seed=seed)
    assert report.error == "" and (out == 1).all()


def test_accesses_to_local_arrays_are_not_counted():
    source = """
extern "C" __global__ void local(int* out) {
    int cells[16];
    for (int i = 0; i < 16; i++) cells[i * 7 % 16] = i;
    int sum = 0;
    for (int i = 0; i < 16; i++) sum += cells[(i + threadIdx.x) % 16] * i;
    out[threadIdx.x] = sum;
}"""
    report = check(source, "local", 1, 64, np.zeros(64, np.int32))
    assert report.findings == [] and len(report.sites) == 1


def test_a_misaligned_vector_load_ends_the_launch():
    report = check(WHOLE, "whole", 1, 8, np.int32(1), numbers(36), np.zeros(32, np.float32))
    (finding,) = report.findings
    assert "misaligned" in report.error and finding.kind == "misaligned"
    assert (finding.array, finding.offset, finding.here.line) == (1, 4, 3)


def test_a_write_to_a_constant_array_is_found():
    source = 'extern "C" __global__ void cast(const int* x) { ((int*)x)[threadIdx.x] = 1; }'
    (finding,) = check(source, "cast", 1, 32, np.zeros(32, np.int32), constant=(0,)).findings
    assert finding.kind == "read only" and finding.count == 32


UNINITIALISED = """
extern "C" __global__ void sums(int n, const float* x, float* out) {
    __shared__ float cells[32];
    float* dynamic = (float*)minisk_dynamic_shared();
    const int i = threadIdx.x;
    if (i < n) cells[i] = dynamic[i] = x[i];
    __syncthreads();
    READ;
    __syncthreads();
    atomicAdd(&out[0], cells[0]);
}
"""


@pytest.mark.parametrize(
    ("read", "array", "offset"),
    [
        ("out[i] = cells[i]", STATIC_SHARED, 80),
        ("out[i] = dynamic[31 - i]", DYNAMIC_SHARED, 124),
        ("atomicAdd(&cells[i], 1.0f)", STATIC_SHARED, 80),
        ("out[i] += cells[i % 20]", 2, 0),
    ],
)
def test_a_read_of_uninitialised_memory_is_found(read, array, offset):
    source = UNINITIALISED.replace("READ", read)
    out = np.zeros(32, np.float32)
    report = check(source, "sums", 3, 32, np.int32(20), numbers(32), out, undefined=(2,), dynamic_shared=128)
    finding = next(f for f in report.findings if f.kind == "uninitialised")
    assert (finding.array, finding.here.line) == (array, 8)
    assert finding.offset == offset or array == STATIC_SHARED  # all shared arrays are one region, in any order


def test_shared_memory_written_by_another_block_is_not_initialised():
    source = """
extern "C" __global__ void inherits(int* out) {
    __shared__ int cell;
    if (blockIdx.x == 0) cell = 1;
    out[blockIdx.x] = cell;
}"""

    (finding,) = check(source, "inherits", 2, 1, np.zeros(2, np.int32)).findings
    assert finding.kind == "uninitialised" and finding.here.block == (1, 0, 0)


def test_an_uninitialised_register_gives_a_wrong_result():
    source = """
extern "C" __global__ void forgot(int n, const float* x, float* out) {
    float sum;
    for (int i = 0; i < n; i++) sum += x[i];
    out[0] = sum;
}"""
    out = np.zeros(1, np.float32)
    check(source, "forgot", 1, 1, np.int32(3), numbers(3), out)
    assert not abs(out[0]) < 1e6


# ---- barriers and collectives ----


def test_a_barrier_that_some_threads_miss_is_named_in_mode_check_too():
    source = """
extern "C" __global__ void leaves(int n, int* out) {
    if (threadIdx.x >= n) return;
    __syncthreads();
    out[threadIdx.x] = 1;
}"""
    report = check(source, "leaves", 1, 64, np.int32(63), np.zeros(64, np.int32))
    assert "barrier divergence" in report.error and "kernel.cu:4" in report.error and "(63,0,0)" in report.error


def test_a_lane_missing_from_a_shuffle_is_named_in_mode_check_too():
    source = """
extern "C" __global__ void part(int* out) {
    if (threadIdx.x != 5) out[threadIdx.x] = __shfl_xor_sync(~0u, 1, 1);
    else __syncwarp();
}"""
    report = check(source, "part", 1, 32, np.zeros(32, np.int32))
    assert "kernel.cu:3" in report.error and "kernel.cu:4" in report.error and "(5,0,0)" in report.error


# ---- clean kernels ----

CLEAN = """
__device__ float warp_sum(float value) {
    for (int d = 16; d > 0; d /= 2) value += __shfl_down_sync(~0u, value, d);
    return value;
}
extern "C" __global__ void shuffled(int width, const float* x, float* out) {  // one row a block
    __shared__ float warp_sums[32];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float sum = 0;
    for (int i = threadIdx.x; i < width; i += blockDim.x) sum += x[blockIdx.x * width + i];
    sum = warp_sum(sum);
    if (lane == 0) warp_sums[warp] = sum;
    __syncthreads();
    if (warp == 0) {
        sum = warp_sum(lane < blockDim.x / 32 ? warp_sums[lane] : 0);
        if (lane == 0) out[blockIdx.x] = sum;
    }
}
extern "C" __global__ void double_buffered(int tiles, const float* x, float* out) {  // reversed within each tile
    __shared__ float tile[2][64];
    const int i = threadIdx.x;
    tile[0][i] = x[i];
    for (int t = 0; t < tiles; t++) {
        __syncthreads();  // one for each tile, between its writes and its reads
        if (t + 1 < tiles) tile[(t + 1) % 2][i] = x[(t + 1) * 64 + i];
        out[t * 64 + i] = tile[t % 2][63 - i];
    }
}
extern "C" __global__ void early_blocks(int n, const float* x, float* out) {
    __shared__ float cells[32];
    const int first = blockIdx.x * 32, i = threadIdx.x;
    if (first >= n) return;  // the whole block
    cells[i] = x[first + i];
    __syncthreads();
    out[first + i] = cells[31 - i];
}
extern "C" __global__ void three_dimensions(const float* x, float* out) {  // transposes each plane, tile by tile
    float (*tile)[9] = (float (*)[9])minisk_dynamic_shared() + 8 * threadIdx.z;
    const int plane = blockIdx.z * blockDim.z + threadIdx.z;
    const int column = blockIdx.x * 8 + threadIdx.x, row = blockIdx.y * 8 + threadIdx.y;
    tile[threadIdx.y][threadIdx.x] = x[(plane * 24 + row) * 16 + column];
    __syncthreads();
    const int new_column = blockIdx.y * 8 + threadIdx.x, new_row = blockIdx.x * 8 + threadIdx.y;
    out[(plane * 16 + new_row) * 24 + new_column] = tile[threadIdx.x][threadIdx.y];
}
extern "C" __global__ void histogram(int n, const int* x, int* counts) {
    __shared__ int local[10];
    if (threadIdx.x < 10) local[threadIdx.x] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&local[x[i]], 1);
    __syncthreads();
    if (threadIdx.x < 10) atomicAdd(&counts[threadIdx.x], local[threadIdx.x]);
}
extern "C" __global__ void neighbours(const double* x, double* out) {  // within a warp, without a barrier of the block
    __shared__ double cells[64];
    const int i = threadIdx.x;
    for (int round = 0; round < 3; round++) {
        cells[i] = x[i] + round;
        __syncwarp();
        out[round * 64 + i] = cells[i ^ 1];
        __syncwarp();
    }
}
"""


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
@pytest.mark.parametrize(
    "kernel", ["shuffled", "double_buffered", "early_blocks", "three_dimensions", "histogram", "neighbours"]
)
def test_clean_kernels_have_no_findings(kernel, schedule, seed):
    x = numbers(3, 200)
    planes = numbers(4, 24, 16)
    digits = numbers(500, dtype=np.int32) ** 2 % 10
    doubles = numbers(64, dtype=np.float64)
    swapped = doubles.reshape(32, 2)[:, ::-1].reshape(64)
    grid, block, arguments, expected = {
        "shuffled": (3, 128, (np.int32(200), x), x.sum(axis=1)),
        "double_buffered": (1, 64, (np.int32(5), numbers(320)), numbers(5, 64)[:, ::-1]),
        "early_blocks": (5, 32, (np.int32(96), numbers(96)), numbers(3, 32)[:, ::-1]),
        "three_dimensions": ((2, 3, 2), (8, 8, 2), (planes,), planes.transpose(0, 2, 1)),
        "histogram": (3, 64, (np.int32(500), digits), np.bincount(digits, minlength=10)),
        "neighbours": (1, 64, (doubles,), np.stack([swapped, swapped + 1, swapped + 2])),
    }[kernel]
    out = np.zeros(expected.shape, arguments[-1].dtype)
    undefined = () if kernel == "histogram" else (len(arguments),)
    report = check(
        CLEAN,
        kernel,
        grid,
        block,
        *arguments,
        out,
        undefined=undefined,
        constant=(len(arguments) - 1,),
        dynamic_shared=2 * 8 * 9 * 4,
        schedule=schedule,
        seed=seed,
    )
    assert report.error == "" and report.findings == []
    np.testing.assert_array_equal(out, expected)


# ---- memcpy, memmove, memset ----

COPIES = """
#include <cstring>
extern "C" __global__ void copies(const int n, const float* x, float* out) {
    __shared__ float tile[128];
    const int i = threadIdx.x * 4;
    CALL;
    __syncthreads();
    out[i] = tile[i] + tile[124 - i];
}
"""


@pytest.mark.parametrize(
    "call", ["memcpy(tile + i, x + i, n)", "memset(tile + i, 0, n)", "std::memmove(tile + i, x + i, n)"]
)
def test_memory_written_by_a_function_of_c_is_initialised(call):
    out = np.zeros(128, np.float32)
    report = check(COPIES.replace("CALL", call), "copies", 2, 32, np.int32(16), numbers(128), out[:125])
    assert {f.kind for f in report.findings} == {"race"} and {f.here.line for f in report.findings} == {
        8
    }  # both blocks
    assert check(COPIES.replace("CALL", call), "copies", 1, 32, np.int32(16), numbers(128), out).findings == []


@pytest.mark.parametrize(
    ("call", "kind", "where", "access"),
    [
        ("memcpy(out + i, x + i, n)", "out of bounds", 1, "read"),
        ("memmove(out + i, x + i, n)", "out of bounds", 1, "read"),
        ("memset(out + i, 0, n)", "out of bounds", 2, "write"),
        ("memcpy(tile, x + i, 16)", "race", STATIC_SHARED, "write"),
        ("memset((void*)(x + i), 0, 16)", "read only", 1, "write"),
        ("memcpy(out + i, tile + i, 16)", "uninitialised", STATIC_SHARED, "read"),
    ],
)
@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_functions_of_c_are_checked_as_any_other_access(call, kind, where, access, schedule, seed):
    x, out = numbers(160), np.zeros(160, np.float32)  # room for the bad access itself
    source = COPIES.replace("CALL", call)
    arguments = (np.int32(32), x[:128], out[:128])
    report = check(source, "copies", 1, 32, *arguments, constant=(1,), schedule=schedule, seed=seed)
    finding = next(f for f in report.findings if f.kind == kind)
    assert (finding.array, finding.here.line, finding.here.access) == (where, 6, access)
