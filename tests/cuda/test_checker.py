"""The checker of minisk/cuda/host: planted bugs are found and named, clean kernels stay clean, costs are counted."""

from __future__ import annotations

import numpy as np
import pytest
from checked import DYNAMIC_SHARED, STATIC_SHARED, check
from host_library import build, launch, needs_compiler

pytestmark = needs_compiler

SCHEDULES = [(0, 0), (1, 0), (2, 1), (2, 2)]  # what is found must not depend on the order of execution


def numbers(*shape: int, dtype: type = np.float32) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def line_with(source: str, text: str) -> int:
    """The line on which the text stands, counted from 1."""
    return next(i for i, line in enumerate(source.splitlines(), 1) if text in line)


# ---- races ----

REDUCTION = """
extern "C" __global__ void row_sums(int rows, int width, const float* x, float* out) {
    __shared__ float partial[64];
    const int thread = threadIdx.x;
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        float sum = 0;
        for (int i = thread; i < width; i += blockDim.x) sum += x[row * width + i];  // loads
        partial[thread] = sum;                                                       // stores
        AFTER_STORE;
        for (int half = blockDim.x / 2; half > 0; half /= 2) {
            if (thread < half) partial[thread] += partial[thread + half];            // adds
            IN_TREE;
        }
        if (thread == blockDim.x - 1) out[row] = partial[0];                         // result
        AFTER_ROW;
    }
}
"""
BARRIERS = ("AFTER_STORE", "IN_TREE", "AFTER_ROW")


def reduction(*without: str) -> str:
    """The kernel's source in one piece, some of its barriers left out."""
    source = REDUCTION
    for barrier in BARRIERS:
        source = source.replace(barrier, "" if barrier in without else "__syncthreads()")
    return source


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


def test_several_findings_of_one_launch_are_told_apart_by_their_lines():
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


def test_two_blocks_adding_to_one_cell_without_an_atomic_is_a_race_that_names_both():
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


def test_an_atomic_does_not_excuse_a_plain_access_to_the_same_cell():
    source = BLOCKS.replace("ADD", "blockIdx.x ? (void)atomicAdd(&sum[1], x[i]) : (void)(sum[1] = 1)")
    (race,) = check(source, "add", 2, 8, numbers(32), np.zeros(2, np.float32)).findings
    assert {race.here.access, race.other.access} == {"atomic", "write"}


LANES = """
extern "C" __global__ void swap_lanes(int* out) {
    __shared__ int cells[64];
    const int thread = threadIdx.x;
    cells[thread] = thread;
    if (thread % 32 < 16) MEET_LOW; else MEET_HIGH;
    out[thread] = cells[thread ^ DISTANCE];
}
"""
HALVES = {"MEET_LOW": "__shfl_sync(0x0000ffffu, 0, 0)", "MEET_HIGH": "__syncwarp(0xffff0000u)"}


@pytest.mark.parametrize(
    ("distance", "low", "high", "clean"),
    [
        (1, "MEET_LOW", "MEET_HIGH", True),
        (15, "MEET_LOW", "MEET_HIGH", True),
        (16, "MEET_LOW", "MEET_HIGH", False),  # each half of the warp met by itself
        (1, "MEET_LOW", "{}", False),
        (32, "MEET_LOW", "MEET_HIGH", False),  # two warps never met
    ],
)
@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_a_collective_orders_exactly_the_lanes_that_take_part(distance, low, high, clean, schedule, seed):
    source = LANES.replace("MEET_LOW", HALVES.get(low, low)).replace("MEET_HIGH", HALVES.get(high, high))
    out = np.zeros(64, np.int32)
    source = source.replace("DISTANCE", str(distance))
    report = check(source, "swap_lanes", 1, 64, out, schedule=schedule, seed=seed)
    if clean:
        assert report.findings == []
        np.testing.assert_array_equal(out, np.arange(64) ^ distance)
    else:
        assert "race" in report.kinds


def test_lanes_that_met_through_a_third_are_ordered():
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


def test_neighbouring_bytes_are_not_a_race_and_one_byte_is():
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
        ("cells[i + shift] = x[i]", "write", STATIC_SHARED, 128),
        ("others[i + shift] = x[i]", "write", STATIC_SHARED, 128),
        ("out[i] = dynamic[i + shift]", "read", DYNAMIC_SHARED, 128),
        ("atomicAdd(&out[i + shift], 1)", "atomic", 2, 128),
    ],
)
@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
def test_the_first_access_out_of_bounds_ends_the_launch_and_is_named(access, kind, where, offset, schedule, seed):
    x, out = np.zeros(64, np.float32), np.zeros(64, np.float32)  # room for the fault itself
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


def test_a_local_array_is_nobody_elses_business():
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


WHOLE = """
extern "C" __global__ void whole(int first, const float* x, float* out) {
    minisk_store_whole(out + 4 * threadIdx.x, minisk_load_whole<float4>(x + first + 4 * threadIdx.x));
}
"""


def test_a_vector_load_off_its_alignment_ends_the_launch():
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
def test_a_read_of_memory_that_nobody_has_written_is_found(read, array, offset):
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


def test_a_register_that_was_never_given_a_value_shows_in_the_result():
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


def test_a_barrier_that_some_threads_never_reach_is_named_in_check_mode_too():
    source = """
extern "C" __global__ void leaves(int n, int* out) {
    if (threadIdx.x >= n) return;
    __syncthreads();
    out[threadIdx.x] = 1;
}"""
    report = check(source, "leaves", 1, 64, np.int32(63), np.zeros(64, np.int32))
    assert "barrier divergence" in report.error and "kernel.cu:4" in report.error and "(63,0,0)" in report.error


def test_a_lane_missing_from_a_shuffle_is_named_in_check_mode_too():
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
        __syncthreads();  // one a tile: what is read now was written before, what is written now is read after
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
extern "C" __global__ void neighbours(const double* x, double* out) {  // a warp's cells, no block barrier
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


# ---- counters ----

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


def test_requests_of_a_long_loop_are_whole_however_long():
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


def test_a_block_that_reads_a_byte_twice_needs_it_once():
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


def test_a_launch_is_forgotten_by_the_next():
    report, _, _ = check_reduction(reduction("IN_TREE"))
    assert report.findings
    again, _, _ = check_reduction(reduction("IN_TREE"))
    assert again == report


def test_an_array_that_was_not_named_is_out_of_bounds():
    library = build(reduction(), "check", "row_sums")
    library.minisk_check_begin()
    error = launch(library, "row_sums", 1, 64, np.int32(1), np.int32(1), numbers(1), np.zeros(1, np.float32))
    assert "out-of-bounds" in error
