"""The warp collectives of runtime/include: shuffles and votes in mode threads, errors in mode cpu."""

from __future__ import annotations

import numpy as np
import pytest
from host_library import build, launch, needs_compiler

pytestmark = needs_compiler

SCHEDULES = [(0, 0), (1, 0), (2, 1), (2, 2), (2, 3)]

SHUFFLES = """
extern "C" __global__ void shuffles(const int* x, int* out) {
    const int lane = threadIdx.x, n = blockDim.x;
    int* row = out + lane;
    row[0 * n] = __shfl_sync(~0u, x[lane], 5);
    row[1 * n] = __shfl_up_sync(~0u, x[lane], 3);
    row[2 * n] = __shfl_down_sync(~0u, x[lane], 3);
    row[3 * n] = __shfl_xor_sync(~0u, x[lane], 1);
    row[4 * n] = __shfl_sync(~0u, x[lane], 9, 8);
    row[5 * n] = __shfl_up_sync(~0u, x[lane], 1, 8);
    row[6 * n] = __shfl_down_sync(~0u, x[lane], 1, 8);
    row[7 * n] = __ballot_sync(~0u, x[lane] % 3 == 0);
    row[8 * n] = __any_sync(~0u, x[lane] == 40);
    row[9 * n] = __all_sync(~0u, x[lane] >= 32);
}
extern "C" __global__ void half_sums(const double* x, double* out) {  // each half of the warp by itself
    const int lane = threadIdx.x;
    double sum = x[lane];
    if (lane < 16) for (int d = 8; d > 0; d /= 2) sum += __shfl_down_sync(0x0000ffffu, sum, d);
    else           for (int d = 8; d > 0; d /= 2) sum += __shfl_down_sync(0xffff0000u, sum, d, 16);
    __syncwarp();
    if (lane % 16 == 0) out[lane / 16] = sum;
}
extern "C" __global__ void lane_missing(float* out) {
    float value = 1;
    if (threadIdx.x != 37)
        value = __shfl_xor_sync(~0u, value, 1);  // line 27
    __syncthreads();  // line 28
    out[threadIdx.x] = value;
}
extern "C" __global__ void lane_not_in_mask(float* out) {
    out[threadIdx.x] = __shfl_xor_sync(0xfffeu, 1.0f, 1);  // line 32
}
extern "C" __global__ void reads_absent_lane(float* out) {
    out[threadIdx.x] = __shfl_down_sync(~0u, 1.0f, 8);
}
"""
SHUFFLE_KERNELS = ("shuffles", "half_sums", "lane_missing", "lane_not_in_mask", "reads_absent_lane")


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_shuffles_and_votes_return_what_cuda_defines(schedule, seed):
    x = np.arange(64, dtype=np.int32)
    out = np.zeros((10, 64), np.int32)
    library = build(SHUFFLES, "threads", *SHUFFLE_KERNELS)
    assert launch(library, "shuffles", 1, 64, x, out, schedule=schedule, seed=seed) == ""
    lane, warp = x % 32, x - x % 32
    multiples = [sum(1 << i for i in range(32) if (i + w) % 3 == 0) for w in (0, 32)]
    expected = [
        warp + 5,
        np.where(lane < 3, x, x - 3),
        np.where(lane > 28, x, x + 3),
        x ^ 1,
        x - x % 8 + 1,  # lane 9 of segments of 8 is lane 1
        np.where(x % 8 == 0, x, x - 1),
        np.where(x % 8 == 7, x, x + 1),
        np.repeat(multiples, 32).astype(np.uint32).view(np.int32),
        x >= 32,
        x >= 32,
    ]
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_groups_of_lanes_with_different_masks_exchange_separately(schedule, seed):
    x, out = np.arange(32, dtype=np.float64), np.zeros(2)
    library = build(SHUFFLES, "threads", *SHUFFLE_KERNELS)
    assert launch(library, "half_sums", 1, 32, x, out, schedule=schedule, seed=seed) == ""
    assert list(out) == [x[:16].sum(), x[16:].sum()]


def test_a_lane_missing_from_a_collective_is_an_error_that_names_both_lines():
    library = build(SHUFFLES, "threads", *SHUFFLE_KERNELS)
    error = launch(library, "lane_missing", 1, 64, np.zeros(64, np.float32))
    assert "kernel.cu:27" in error and "kernel.cu:28" in error and "thread (37,0,0)" in error


def test_a_lane_missing_from_its_own_mask_is_an_error():
    library = build(SHUFFLES, "threads", *SHUFFLE_KERNELS)
    error = launch(library, "lane_not_in_mask", 1, 32, np.zeros(32, np.float32))
    assert "kernel.cu:32" in error and "lane 0" in error and "0x0000fffe" in error


def test_a_value_from_an_absent_lane_is_nan():
    out = np.zeros(20, np.float32)  # a warp of 20 lanes: 12 … 19 read lanes 20 … 27, which do not exist
    assert launch(build(SHUFFLES, "threads", *SHUFFLE_KERNELS), "reads_absent_lane", 1, 20, out) == ""
    assert np.isnan(out[12:]).all() and (out[:12] == 1).all()


@pytest.mark.parametrize("mode", ["cpu", "cpu without OpenMP"])
def test_a_warp_collective_in_mode_cpu_is_an_error_that_names_the_line(mode):
    library = build(SHUFFLES, mode, *SHUFFLE_KERNELS)
    error = launch(library, "lane_not_in_mask", 100, 1, np.zeros(32, np.float32))
    assert "kernel.cu:32" in error and "mode threads" in error
    out = np.zeros(1, np.float32)
    assert "kernel.cu:27" in launch(library, "lane_missing", 1, 1, out)
    assert out[0] == 0
