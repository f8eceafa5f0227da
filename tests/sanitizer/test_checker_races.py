"""The checker of runtime/include/checker.h finds a race in every order of execution, and names both lines."""

from __future__ import annotations

import numpy as np
import pytest
from checked import SCHEDULES, STATIC_SHARED, check, line_with, numbers, reduction
from host_library import build, launch, needs_compiler

pytestmark = needs_compiler


def check_reduction(source: str, schedule: int = 0, seed: int = 0):
    x, out = numbers(5, 150), np.zeros(5, np.float32)  # 2 blocks: 3 rounds and 2; 64 threads: 2 rounds and a tail
    arguments = (np.int32(5), np.int32(150), x, out)
    report = check(source, "row_sums", 2, 64, *arguments, undefined=(3,), constant=(2,), schedule=schedule, seed=seed)
    return report, out, x.sum(axis=1)


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_a_reduction_with_all_its_barriers_is_clean(schedule, seed):
    report, out, expected = check_reduction(reduction(), schedule, seed)
    assert report.error == "" and report.findings == []
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
@pytest.mark.parametrize(
    ("barrier", "lines"),
    [("AFTER_STORE", {"stores", "adds"}), ("IN_TREE", {"adds"}), ("AFTER_ROW", {"result", "stores"})],
)
def test_a_missing_barrier_is_a_race_in_every_schedule_and_both_lines_are_named(barrier, lines, schedule, seed):
    source = reduction(barrier)
    report, _, _ = check_reduction(source, schedule, seed)
    races = [finding for finding in report.findings if finding.kind == "race"]
    expected = {line_with(source, f"// {name}") for name in lines}
    assert expected in [{race.here.line, race.other.line} for race in races]
    for race in races:
        assert race.array == STATIC_SHARED
        assert race.here.block == race.other.block and race.here.thread != race.other.thread
        assert "write" in (race.here.access, race.other.access)


def test_findings_of_one_launch_are_distinguished_by_their_lines():
    report, _, _ = check_reduction(reduction("AFTER_STORE", "AFTER_ROW"))
    places = [(f.kind, f.here.line, f.other.line) for f in report.findings]
    assert len({place[1:] for place in places if place[0] == "race"}) >= 2
    assert all(finding.count >= 1 for finding in report.findings) and max(f.count for f in report.findings) > 10


def test_at_most_twenty_findings_are_kept():
    stores = "\n".join(f"out[{i}] = threadIdx.x;" for i in range(30))
    report = check(f'extern "C" __global__ void many(int* out) {{\n{stores}\n}}', "many", 1, 2, np.zeros(30, np.int32))
    assert len(report.findings) == 20 and report.kinds == {"race"}


BLOCKS = """
extern "C" __global__ void add(const float* x, float* sum) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (threadIdx.x == 3) ADD;
}
"""


def test_two_blocks_adding_without_an_atomic_are_a_race_that_names_both():
    source = BLOCKS.replace("ADD", "sum[1] += x[i]")
    report = check(source, "add", (2, 2), 8, numbers(32), np.zeros(2, np.float32))
    (race,) = (f for f in report.findings if f.here.access == "write")
    assert race.kind == "race" and race.array == 1 and race.offset == 4 and race.count == 3
    assert race.here.line == race.other.line == 4
    assert (race.other.block, race.here.block) == ((0, 0, 0), (1, 0, 0))
    assert race.here.thread == race.other.thread == (3, 0, 0)


def test_blocks_may_add_atomically():
    sum_ = np.zeros(2, np.float32)
    report = check(BLOCKS.replace("ADD", "atomicAdd(&sum[1], x[i])"), "add", (2, 2), 8, numbers(32), sum_)
    assert report.findings == []
    assert sum_[1] == 3 + 11 + 3 + 11  # both rows of blocks have the same i


def test_an_atomic_and_a_plain_access_to_one_cell_race():
    source = BLOCKS.replace("ADD", "blockIdx.x ? (void)atomicAdd(&sum[1], x[i]) : (void)(sum[1] = 1)")
    (race,) = check(source, "add", 2, 8, numbers(32), np.zeros(2, np.float32)).findings
    assert {race.here.access, race.other.access} == {"atomic", "write"}


COUNTER = """
extern "C" __global__ void count(int* out) {
    __shared__ int n;
    if (threadIdx.x == SETTER) n = 0;
    AFTER_SET;
    atomicAdd(&n, 1);
    AFTER_ADD;
    if (threadIdx.x == READER) out[blockIdx.x] = n;
}
"""


@pytest.mark.parametrize("thread", [0, 31, 32, 63])
@pytest.mark.parametrize(
    ("missing", "accesses"), [("AFTER_SET", {"write", "atomic"}), ("AFTER_ADD", {"read", "atomic"})]
)
@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_a_threads_own_atomic_update_does_not_hide_its_plain_access(missing, accesses, thread, schedule, seed):
    source = COUNTER.replace("SETTER", str(thread)).replace("READER", str(thread)).replace(missing, "{}")
    source = source.replace("AFTER_SET", "__syncthreads()").replace("AFTER_ADD", "__syncthreads()")
    report = check(source, "count", 2, 64, np.zeros(2, np.int32), schedule=schedule, seed=seed)
    races = [{f.here.access, f.other.access} for f in report.findings if f.kind == "race"]
    assert accesses in races


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_atomic_updates_between_barriers_are_clean(schedule, seed):
    source = COUNTER.replace("SETTER", "5").replace("READER", "40").replace("AFTER_SET", "__syncthreads()")
    out = np.zeros(3, np.int32)
    source = source.replace("AFTER_ADD", "__syncthreads()")
    assert check(source, "count", 3, 64, out, schedule=schedule, seed=seed).findings == []
    assert (out == 64).all()


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_a_block_that_reads_what_all_blocks_update_atomically_races(schedule, seed):
    source = """
extern "C" __global__ void mean(float* total) {
    if (threadIdx.x == 0) atomicAdd(total, 1.0f);
    __syncthreads();
    if (blockIdx.x == 2 && threadIdx.x == 1) total[0] = total[0] / 4;
}"""
    report = check(source, "mean", 4, 32, np.zeros(1, np.float32), schedule=schedule, seed=seed)
    races = [{(f.here.line, f.here.access), (f.other.line, f.other.access)} for f in report.findings]
    assert {(3, "atomic"), (5, "write")} in races


LANES = """
extern "C" __global__ void swap_lanes(int* out) {
    __shared__ int cells[64];
    const int thread = threadIdx.x;
    cells[thread] = thread;
    if (thread % 32 < 16) MEET_LOW; else MEET_HIGH;
    out[thread] = cells[thread ^ DISTANCE];
}
"""
HALVES = {"MEET_LOW": "__syncwarp(0x0000ffffu)", "MEET_HIGH": "__syncwarp(0xffff0000u)"}


@pytest.mark.parametrize(
    ("distance", "low", "high", "clean"),
    [
        (1, "MEET_LOW", "MEET_HIGH", True),
        (15, "MEET_LOW", "MEET_HIGH", True),
        (16, "MEET_LOW", "MEET_HIGH", False),  # each half of the warp synchronised separately
        (1, "MEET_LOW", "{}", False),
        (32, "MEET_LOW", "MEET_HIGH", False),  # two warps never synchronised
    ],
)
@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_a_syncwarp_orders_exactly_the_lanes_that_take_part(distance, low, high, clean, schedule, seed):
    source = LANES.replace("MEET_LOW", HALVES.get(low, low)).replace("MEET_HIGH", HALVES.get(high, high))
    out = np.zeros(64, np.int32)
    source = source.replace("DISTANCE", str(distance))
    report = check(source, "swap_lanes", 1, 64, out, schedule=schedule, seed=seed)
    if clean:
        assert report.findings == []
        np.testing.assert_array_equal(out, np.arange(64) ^ distance)
    else:
        assert "race" in report.kinds


def test_synchronisation_is_transitive():
    source = """
extern "C" __global__ void chain(int* out) {
    __shared__ int cell;
    const int lane = threadIdx.x;
    if (lane == 0) cell = 7;
    if (lane < 2) __syncwarp(0x3);
    if (lane == 1 || lane == 2) __syncwarp(0x6);
    if (lane == 2) *out = cell;
}"""
    out = np.zeros(1, np.int32)
    assert check(source, "chain", 1, 32, out).findings == []
    assert out[0] == 7


def test_writes_race_on_one_byte_but_not_on_neighbouring_bytes():
    source = """
extern "C" __global__ void mask(const float* x, unsigned char* positive, unsigned char* any) {
    positive[threadIdx.x] = x[threadIdx.x] > 0;
    if (x[threadIdx.x] > 60) any[2] = 1;
}"""
    positive, any_ = np.zeros(64, np.uint8), np.zeros(4, np.uint8)
    (race,) = check(source, "mask", 1, 64, numbers(64), positive, any_).findings
    assert race.array == 2 and race.offset == 2 and race.here.line == 4
    assert positive.sum() == 63


def test_accesses_of_different_widths_to_the_same_bytes_race():
    source = """
extern "C" __global__ void widths(int* words) {
    if (threadIdx.x == 0) words[1] = 5;
    if (threadIdx.x == 40) ((unsigned char*)words)[6] = 1;
    if (threadIdx.x == 41) ((unsigned char*)words)[8] = 1;
}"""
    (race,) = check(source, "widths", 1, 64, np.zeros(3, np.int32)).findings
    assert race.offset == 6 and (race.here.thread, race.other.thread) == ((40, 0, 0), (0, 0, 0))


def test_a_launch_leaves_nothing_for_the_next():
    report, _, _ = check_reduction(reduction("IN_TREE"))
    assert report.findings
    again, _, _ = check_reduction(reduction("IN_TREE"))
    assert again == report


def test_an_unregistered_array_is_out_of_bounds():
    library = build(reduction(), "check", "row_sums")
    library.minisk_check_begin()
    error = launch(library, "row_sums", 1, 64, np.int32(1), np.int32(1), numbers(1), np.zeros(1, np.float32))
    assert "out-of-bounds" in error
