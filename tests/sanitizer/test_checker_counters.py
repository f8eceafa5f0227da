"""The counters of runtime/include/counters.h: transactions of memory accesses, as a GPU profiler counts them."""

from __future__ import annotations

import numpy as np
import pytest
from checked import SCHEDULES, STATIC_SHARED, WHOLE, check, line_with, numbers, reduction
from host_library import needs_compiler

pytestmark = needs_compiler

COPIES = """
extern "C" __global__ void copy(int n, int stride, int first, const float* x, float* out) {
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        out[i] =
            x[first + i * stride];
}
"""


def copy_cost(n: int, stride: int, first: int, grid: int = 1, block: int = 32):
    x, out = numbers(n * stride + first + 1), np.zeros(n, np.float32)
    report = check(COPIES, "copy", grid, block, np.int32(n), np.int32(stride), np.int32(first), x, out)
    assert report.error == ""
    load, store = sorted(report.sites, key=lambda site: site.array)
    return load, store


@pytest.mark.parametrize(
    ("stride", "first", "sectors"),
    [(1, 0, 4), (1, 1, 5), (2, 0, 8), (8, 0, 32), (64, 3, 32), (0, 5, 1)],  # a sector: 8 floats
)
def test_sectors_of_a_request(stride, first, sectors):
    load, store = copy_cost(32, stride, first)
    assert (load.line, load.access, load.requests, load.lanes) == (5, "read", 1, 32)
    assert (load.transactions, load.least) == (sectors, 1 if stride == 0 else 4)
    assert (store.line, store.access, store.transactions, store.least) == (4, "write", 4, 4)
    assert load.example == [4 * (first + i * stride) for i in range(32)]


def test_requests_of_a_long_loop_are_complete():
    n = 2 * 64 * 70 + 40  # 70 rounds of 2 blocks of 2 warps, and one warp and a quarter more
    load, store = copy_cost(n, 1, 0, grid=2, block=64)
    assert load.requests == store.requests == 4 * 70 + 2
    assert load.lanes == n and load.transactions == load.least == n // 8
    assert load.block_bytes == store.block_bytes == 4 * n


def test_requests_are_the_same_in_every_schedule():
    x, out = numbers(5, 150), np.zeros(5, np.float32)
    arguments = (np.int32(5), np.int32(150), x, out)
    sites = []
    for schedule, seed in SCHEDULES:
        report = check(reduction(), "row_sums", 2, 64, *arguments, schedule=schedule, seed=seed)
        sites.append(sorted((s.line, s.access, s.requests, s.lanes, s.transactions, s.least) for s in report.sites))
    assert sites[0] == sites[1] == sites[2] == sites[3]


def test_bytes_of_a_block_are_distinct_bytes():
    source = """
extern "C" __global__ void twice(const float* x, float* out) {
    for (int round = 0; round < 3; round++) out[blockIdx.x * 64 + threadIdx.x] = x[threadIdx.x % 16] + round;
}"""
    report = check(source, "twice", 2, 64, numbers(16), np.zeros(128, np.float32))
    load, store = sorted(report.sites, key=lambda site: site.array)
    assert load.block_bytes == 2 * 16 * 4 and load.lanes == 2 * 64 * 3
    assert store.block_bytes == 2 * 64 * 4


BANKS = """
extern "C" __global__ void banks(float* out) {
    __shared__ float cells[32 * 33];
    const int i = threadIdx.x;
    for (int k = i; k < 32 * 33; k += 32) cells[k] = k;
    __syncwarp();
    out[i] = cells[INDEX];  // here
}
"""


@pytest.mark.parametrize(("index", "fronts"), [("i", 1), ("i * 32", 32), ("i * 33", 1), ("i * 2", 2), ("7", 1)])
def test_wavefronts_of_a_request(index, fronts):
    source = BANKS.replace("INDEX", index)
    report = check(source, "banks", 1, 32, np.zeros(32, np.float32))
    (load,) = (s for s in report.sites if s.line == line_with(source, "// here") and s.access == "read")
    assert (load.transactions, load.least, load.array) == (fronts, 1, STATIC_SHARED)


def test_wide_accesses_are_served_in_groups_of_lanes():
    source = BANKS.replace("float ", "double ").replace("float*", "double*").replace("INDEX", "i")
    report = check(source, "banks", 1, 32, np.zeros(32))
    (load,) = (s for s in report.sites if s.line == line_with(source, "// here") and s.access == "read")
    assert (load.transactions, load.least) == (2, 2)


def test_a_vector_is_one_request():
    x, out = numbers(128), np.zeros(128, np.float32)
    report = check(WHOLE, "whole", 1, 32, np.int32(0), x, out)
    np.testing.assert_array_equal(out, x)
    for site in report.sites:
        assert (site.line, site.requests, site.lanes, site.transactions, site.least) == (3, 1, 32, 16, 16)
        assert site.example == [16 * lane for lane in range(32)] and site.block_bytes == 512


def test_the_costliest_request_is_shown_with_the_lanes_that_took_part():
    source = """
extern "C" __global__ void worse(const float* x, float* out) {
    for (int stride = 1; stride < 4; stride++)
        if (threadIdx.x < 20) out[threadIdx.x] = x[stride % 3 * threadIdx.x];
}"""
    report = check(source, "worse", 1, 32, numbers(64), np.zeros(20, np.float32))
    load = next(site for site in report.sites if site.array == 0)
    assert load.example == [8 * lane if lane < 20 else -1 for lane in range(32)]
    assert (load.requests, load.lanes) == (3, 60)
