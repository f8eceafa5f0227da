"""Barriers that count, matches, reductions, active lanes and cooperative groups, in several orders of the threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from agreement import kernel_mode
from host_library import build, launch, needs_compiler

from minisk.errors import KernelError
from minisk.runtime import Kernel, examine
from minisk.runtime import launch as launch_kernel

pytestmark = needs_compiler

SCHEDULES = [(0, 0), (1, 0), (2, 1), (2, 2)]

COOPERATION = """
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
namespace cg = cooperative_groups;

extern "C" __global__ void votes(int* out) {
    int* row = out + 6 * threadIdx.x;
    for (int i = 0; i < 2; i++) {  // twice: the votes of one barrier must not reach the next
        row[3 * i] = __syncthreads_count(threadIdx.x % 3 == i);
        row[3 * i + 1] = __syncthreads_or(threadIdx.x == 40 + i);
        row[3 * i + 2] = __syncthreads_and(threadIdx.x < 50 - i);
    }
}
extern "C" __global__ void matches(const int* x, unsigned* out) {
    unsigned* row = out + 5 * threadIdx.x;
    const int mine = x[threadIdx.x];
    int all;
    row[0] = __match_any_sync(~0u, mine);
    row[1] = __match_all_sync(~0u, mine, &all) + all;
    row[2] = __reduce_add_sync(~0u, mine);
    row[3] = __reduce_max_sync(~0u, mine);
    row[4] = __reduce_xor_sync(~0u, unsigned(mine));
}
extern "C" __global__ void active(unsigned* out) {
    unsigned* row = out + 2 * threadIdx.x;
    if (threadIdx.x % 4 == 1) {
        row[0] = __activemask();
        cg::coalesced_group group = cg::coalesced_threads();
        row[1] = 1000 * group.size() + 10 * group.thread_rank() + group.shfl(threadIdx.x == 5, 1);
    } else {
        row[0] = __activemask();
    }
}
extern "C" __global__ void tiles(const int* x, int* out) {
    int* row = out + 8 * threadIdx.x;
    auto block = cg::this_thread_block();
    auto tile = cg::tiled_partition<8>(block);
    const int mine = x[threadIdx.x];
    row[0] = tile.shfl_down(mine, 1);
    row[1] = tile.shfl_up(mine, 2);
    row[2] = tile.shfl_xor(mine, 4);
    row[3] = cg::reduce(tile, mine, cg::plus<int>());
    row[4] = cg::reduce(tile, mine, cg::greater<int>());
    row[5] = tile.ballot(mine % 2) + 1000 * tile.any(mine == 0);
    row[6] = 100 * tile.meta_group_rank() + tile.thread_rank();
    struct Wide { int values[5]; } wide{{mine, 1, 2, 3, 7}};
    wide = tile.shfl(wide, 3);
    row[7] = wide.values[0] + wide.values[4];
    block.sync();
}
extern "C" __global__ void half_shuffle(const __half* x, __half* out) {
    out[threadIdx.x] = __shfl_down_sync(~0u, x[threadIdx.x], 1) + __ldg(x);
}
"""
KERNELS = ("votes", "matches", "active", "tiles", "half_shuffle")
orders = pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)


def run(kernel: str, block: int, *arrays: np.ndarray, schedule: int, seed: int) -> None:
    library = build(COOPERATION, "threads", *KERNELS)
    assert launch(library, kernel, 1, block, *arrays, schedule=schedule, seed=seed) == ""


@orders
def test_barriers_count_the_votes_of_all_threads(schedule: int, seed: int) -> None:
    out = np.zeros((50, 6), np.int32)
    run("votes", 50, out, schedule=schedule, seed=seed)
    assert (out == [17, 1, 1, 17, 1, 0]).all()


@orders
def test_matches_and_reductions_see_every_lane_of_the_warp(schedule: int, seed: int) -> None:
    # A second, narrow warp of 8 lanes with one value. The first warp has negative values, for the signed maximum.
    x = np.array([*(np.arange(32) % 5 - 3), *[7] * 8], np.int32)
    out = np.zeros((40, 5), np.uint32)
    run("matches", 40, x, out, schedule=schedule, seed=seed)
    equal = [sum(1 << i for i in range(32) if x[i] == x[lane]) for lane in range(32)]
    assert out[:, 0].tolist() == [*equal, *[0xFF] * 8]
    assert out[:32, 1].tolist() == [0] * 32
    sums = [x[:32].sum(), x[:32].max(), np.bitwise_xor.reduce(x[:32])]
    assert (out[:32, 2:].view(np.int32) == sums).all()
    assert (out[32:, 2:] == [56, 7, 0]).all()


@orders
def test_active_lanes_are_those_that_reach_the_line(schedule: int, seed: int) -> None:
    out = np.zeros((32, 2), np.uint32)
    run("active", 32, out, schedule=schedule, seed=seed)
    assert (out[1::4, 0] == 0x22222222).all()
    assert (np.delete(out[:, 0], np.s_[1::4]) == 0xDDDDDDDD).all()
    assert out[1::4, 1].tolist() == [8000 + 10 * rank + 1 for rank in range(8)]


@orders
def test_tiles_of_a_warp_exchange_among_themselves(schedule: int, seed: int) -> None:
    x = np.random.default_rng(0).integers(0, 100, 64).astype(np.int32)
    out = np.zeros((64, 8), np.int32)
    run("tiles", 64, x, out, schedule=schedule, seed=seed)
    tiles, rank = x.reshape(8, 8), np.arange(8)
    np.testing.assert_array_equal(out[:, 0].reshape(8, 8), tiles[:, [*rank[1:], 7]])
    np.testing.assert_array_equal(out[:, 1].reshape(8, 8), tiles[:, [0, 1, *rank[:6]]])
    np.testing.assert_array_equal(out[:, 2].reshape(8, 8), tiles[:, rank ^ 4])
    np.testing.assert_array_equal(out[:, 3].reshape(8, 8).T, np.tile(tiles.sum(1), (8, 1)))
    np.testing.assert_array_equal(out[:, 4].reshape(8, 8).T, np.tile(tiles.max(1), (8, 1)))
    ballots = (tiles % 2 << rank).sum(1) + 1000 * (tiles == 0).any(1)
    np.testing.assert_array_equal(out[:, 5].reshape(8, 8).T, np.tile(ballots, (8, 1)))
    np.testing.assert_array_equal(out[:, 6].reshape(8, 8), 100 * np.arange(8)[:, None] + rank)
    np.testing.assert_array_equal(out[:, 7].reshape(8, 8).T, np.tile(tiles[:, 3] + 7, (8, 1)))


@orders
def test_a_half_is_exchanged_between_lanes(schedule: int, seed: int) -> None:
    x, out = np.arange(32).astype(np.float16), np.zeros(32, np.float16)
    run("half_shuffle", 32, x, out, schedule=schedule, seed=seed)
    np.testing.assert_array_equal(out, [*range(1, 32), 31])


def test_the_checker_has_no_finding_in_right_cooperation(tmp_path: Path) -> None:
    (tmp_path / "k.cu").write_text(COOPERATION)
    ints, x = np.zeros(512, np.int32), np.arange(64, dtype=np.int32)
    arguments = {"votes": (ints,), "matches": (x, ints.view(np.uint32)), "tiles": (x, ints)}
    for name, args in arguments.items():
        report = examine(Kernel(tmp_path / "k.cu", name), (1,), (64,), args)
        assert report.ok, str(report)


def test_a_trap_ends_the_launch_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "k.cu").write_text("__global__ void k(int* out) {\n    if (threadIdx.x == 3) __trap();\n}\n")
    with kernel_mode("threads"), pytest.raises(KernelError, match=r"k\.cu:2: thread 3 of block 0 calls __trap"):
        launch_kernel(Kernel(tmp_path / "k.cu", "k"), (1,), (8,), (np.zeros(1, np.int32),))
