"""Every kind of mistake, in shared, global and device memory, in one warp, between warps and between blocks.

Each table has a line for each mistake, and a right kernel that resembles it.
"""

from __future__ import annotations

import numpy as np
import pytest
from checked import SCHEDULES, check, line_with
from host_library import needs_compiler

pytestmark = needs_compiler

# ---- races: two threads access one cell ----

PAIR = """
DEVICE
__device__ __forceinline__ void access(const int which, const int n, const int thread, int* cells, int* out) {
    switch (which) {
    ACCESSES
    }
}
extern "C" __global__ void pair(
    const int one, const int other, const int first, const int second, const int meet, const int n,
    int* GLOBAL, int* out
) {
    SHARED
    const int thread = blockIdx.x * blockDim.x + threadIdx.x;
    if (thread == one) access(first, n, thread, cells, out);
    switch (meet) {
    case 1: __syncwarp(); break;
    case 2: __syncthreads(); break;
    case 3: out[thread] = __shfl_xor_sync(~0u, n, 1); break;
    case 4: out[thread] = __ballot_sync(~0u, n); break;
    case 5: __syncwarp(thread % 2 ? 0xaaaaaaaau : 0x55555555u); break;
    }
    if (thread == other) access(second, n, thread, cells, out);
}
"""
MEMORY = {
    "shared": {"SHARED": "__shared__ int cells[4];", "GLOBAL": "global", "DEVICE": ""},
    "global": {"SHARED": "", "GLOBAL": "cells", "DEVICE": ""},
    "device": {"SHARED": "int* const cells = variable;", "GLOBAL": "global", "DEVICE": "__device__ int variable[4];"},
}
THREADS = {"one warp": (0, 1), "two warps": (5, 40), "two blocks": (3, 67)}
ACCESSES = {
    "write": "cells[0] = thread + 10",
    "read": "out[thread] = cells[0]",
    "atomic": "atomicAdd(&cells[0], 1)",
    "exchange": "atomicCAS(&cells[0], 7, thread)",
    "memset": "memset(cells, thread, n * sizeof(int))",
    "memcpy": "memcpy(out + 4 * thread, cells, n * sizeof(int))",
    "vector": "*reinterpret_cast<int2*>(cells) = int2{thread, thread}",
}
MEETINGS = ("nothing", "__syncwarp", "__syncthreads", "a shuffle", "a vote", "__syncwarp of other lanes")
RACES = [
    ("write", "write"),
    ("write", "read"),
    ("read", "write"),
    ("write", "atomic"),
    ("atomic", "write"),
    ("atomic", "read"),
    ("read", "exchange"),
    ("memset", "read"),
    ("memset", "memset"),
    ("write", "memcpy"),
    ("memcpy", "atomic"),
    ("vector", "read"),
]
NO_RACES = [("read", "read"), ("atomic", "atomic"), ("read", "memcpy"), ("atomic", "exchange")]


def pair(memory: str, threads: str, first: str, second: str, meet: str = "nothing", schedule: int = 0, seed: int = 0):
    """Let one thread make the first access and another the second. Returns the report and the lines of both."""
    cases = "\n    ".join(f"case {i}: {text}; break;" for i, text in enumerate(ACCESSES.values()))
    source = PAIR.replace("ACCESSES", cases)
    for name, text in MEMORY[memory].items():
        source = source.replace(name, text)
    which = [list(ACCESSES).index(access) for access in (first, second)]
    numbers = map(np.int32, (*THREADS[threads], *which, MEETINGS.index(meet), 4))
    arguments = (*numbers, np.zeros(4, np.int32), np.zeros(1024, np.int32))
    report = check(source, "pair", 2, 64, *arguments, schedule=schedule, seed=seed)
    return report, {line_with(source, ACCESSES[access]) for access in (first, second)}


@pytest.mark.parametrize(("first", "second"), RACES)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("memory", MEMORY)
def test_two_accesses_in_no_order_are_a_race_that_names_both_lines(memory, threads, first, second):
    if memory == "shared" and threads == "two blocks":
        pytest.skip("each block has its own shared memory")
    for schedule, seed in SCHEDULES[:2]:
        report, lines = pair(memory, threads, first, second, schedule=schedule, seed=seed)
        races = [finding for finding in report.findings if finding.kind == "race"]
        assert {line for race in races for line in (race.here.line, race.other.line)} == lines


@pytest.mark.parametrize(("first", "second"), RACES)
@pytest.mark.parametrize(("threads", "meet"), [("one warp", "__syncwarp"), ("two warps", "__syncthreads")])
@pytest.mark.parametrize("memory", MEMORY)
def test_threads_that_meet_between_the_accesses_do_not_race(memory, threads, meet, first, second):
    assert "race" not in pair(memory, threads, first, second, meet)[0].kinds


@pytest.mark.parametrize("meet", ["a shuffle", "a vote", "__syncwarp of other lanes"])
@pytest.mark.parametrize("memory", MEMORY)
def test_shuffles_votes_and_meetings_of_other_lanes_order_no_memory(memory, meet):
    assert "race" in pair(memory, "one warp", "write", "read", meet)[0].kinds


@pytest.mark.parametrize(("first", "second"), NO_RACES)
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("memory", MEMORY)
def test_accesses_that_may_come_in_any_order_do_not_race(memory, threads, first, second):
    assert "race" not in pair(memory, threads, first, second)[0].kinds


READERS = """
extern "C" __global__ void readers(int* cell, int* out) {
    if (threadIdx.x < N) out[threadIdx.x] = cell[0];  // read
    if (1u << threadIdx.x & MASK) {
        __syncwarp(MASK);
        if (threadIdx.x == WRITER) cell[0] = 1;  // write
    }
}
"""


@pytest.mark.parametrize(
    ("readers", "mask", "writer", "is_clean"),
    [
        (3, 0b101, 2, False),  # lane 1 read too, and did not meet the writer
        (3, 0b111, 2, True),
        (8, 0b01111111, 0, False),  # only lane 7 did not
        (8, 0b11111111, 0, True),
        (8, 0b111111111, 8, True),
    ],
)
def test_every_reader_of_a_warp_counts(readers, mask, writer, is_clean):
    source = READERS.replace("MASK", f"{mask}u").replace("WRITER", str(writer)).replace("N)", f"{readers})")
    report = check(source, "readers", 1, 32, np.zeros(1, np.int32), np.zeros(32, np.int32))
    assert report.kinds == (set() if is_clean else {"race"})


# ---- what the compiler's instrumentation finds ----

UNDEFINED = """
__constant__ float table[8] = {1, 2, 3, 4, 5, 6, 7, 8};
__device__ float counts[8];
struct Pair { float first[2], second[2]; };
extern "C" __global__ void undefined(const int which, const int n, const int zero, float* x, float* out) {
    __shared__ float tile[4][8];
    __shared__ Pair pairs[4];
    float own[8];
    for (int i = 0; i < 8; i++) own[i] = i;
    tile[threadIdx.x % 4][threadIdx.x % 8] = pairs[threadIdx.x % 4].first[0] = 0;
    counts[threadIdx.x % 8] = 0;
    __syncthreads();
    if (threadIdx.x == 0) switch (which) {
    STATEMENTS
    }
    out[threadIdx.x] = own[threadIdx.x % 8];
}
"""
UNDEFINED_STATEMENTS = [
    ("out[0] = own[n]", "out of bounds", "the index 8 is not one of 'float [8]'"),
    ("out[0] = own[-n]", "out of bounds", "the index -8"),
    ("out[0] = tile[0][n]", "out of bounds", "'float [8]'"),
    ("out[0] = tile[n][0]", "out of bounds", "'float [4][8]'"),
    ("tile[3][n] = 1", "out of bounds", "the index 8"),
    ("out[0] = table[n]", "out of bounds", "the index 8"),
    ("counts[n] = 1", "out of bounds", "the index 8"),
    ("out[0] = pairs[0].first[n / 4]", "out of bounds", "the index 2 is not one of 'float [2]'"),
    ("out[0] = reinterpret_cast<float4*>(x + 1)->x", "misaligned", ""),
    (
        "out[0] = reinterpret_cast<float4*>(x + n)->w + reinterpret_cast<float2*>(x + 3)->x",
        "misaligned",
        "",
    ),
    ("*reinterpret_cast<double*>(x + 1) = 0", "misaligned", ""),
    ("*reinterpret_cast<int2*>(&tile[0][1]) = int2{1, 2}", "misaligned", ""),
    ("out[0] = n * 1000000000", "undefined behaviour", "8 * 1000000000 overflows 'int'"),
    ("out[0] = n + 2147483647", "undefined behaviour", "+"),
    ("out[0] = -2147483647 - n", "undefined behaviour", "-2147483647 - 8 overflows 'int'"),
    ("out[0] = 1 << 4 * n", "undefined behaviour", "1 is shifted by 32 bits"),
    ("out[0] = 1ll << (zero - 1)", "undefined behaviour", "shifted by -1 bits"),
    ("out[0] = n / zero", "undefined behaviour", "8 is divided by 0"),
    ("out[0] = n % zero", "undefined behaviour", "8 is divided by 0"),
]
DEFINED_STATEMENTS = [
    "out[0] = own[n - 1] + tile[3][n - 1] + table[n - 1] + counts[n - 1]",
    "out[0] = *(&tile[0][0] + 0) + pairs[0].first[0]",
    "out[0] = reinterpret_cast<float4*>(x + n)->w + reinterpret_cast<float2*>(x + 6)->x",
    "out[0] = unsigned(n) * 1000000000u + (1u << 31) + (1 << 30)",
    "out[0] = n / (zero + 1)",
]


def undefined(statement: str):
    """Execute one statement. Returns its line and the report."""
    statements = [*(each[0] for each in UNDEFINED_STATEMENTS), *DEFINED_STATEMENTS]
    cases = "\n    ".join(f"case {i}: {text}; break;" for i, text in enumerate(statements))
    source = UNDEFINED.replace("STATEMENTS", cases)
    memory = np.zeros(36, np.float32)  # x begins at a multiple of 16
    x = memory[-memory.ctypes.data // 4 % 4 :][:32]
    numbers = map(np.int32, (statements.index(statement), 8, 0))
    return line_with(source, f": {statement};"), check(
        source, "undefined", 1, 32, *numbers, x, np.zeros(32, np.float32)
    )


@pytest.mark.parametrize(("statement", "kind", "text"), UNDEFINED_STATEMENTS)
def test_undefined_behaviour_is_found_at_its_line(statement, kind, text):
    line, report = undefined(statement)
    (finding,) = (finding for finding in report.findings if finding.kind == kind)
    assert finding.here.line == line and text in finding.text


@pytest.mark.parametrize("statement", DEFINED_STATEMENTS)
def test_what_is_defined_is_no_finding(statement):
    assert undefined(statement)[1].kinds <= {"same value"}


# ---- threads that do not meet ----

MEET = """
extern "C" __global__ void meet(const int which, const int n, int* out) {
    __shared__ int cells[96];
    const int t = threadIdx.x;
    int v = t;
    switch (which) {
    BODIES
    }
    out[t] = v + (which < 0 ? cells[0] : 0);
}
"""
MEETINGS_MISSED = [
    ("if (t < 48) __syncthreads()", "barrier divergence"),
    ("if (t % 2) __syncthreads(); else v = 1", "barrier divergence"),
    ("if (t >= n) return; __syncthreads()", "has exited"),
    ("if (t < 16) v = __shfl_down_sync(~0u, v, 8); __syncthreads()", "misses a warp collective"),
    ("if (t < 16) __syncwarp(); __syncthreads()", "misses a warp collective"),
    ("v = __shfl_sync(1u << ((t + 1) % 32), v, 0)", "does not name it"),
    (
        "if (t < 4) v = __shfl_down_sync(0xfu, v, 2); __syncthreads()",
        "lane 2 takes a value from lane 4, which takes no part",
    ),
    ("if (t >= n) return; v = __shfl_down_sync(~0u, v, 1)", "which has exited"),
    ("if (t < 80) v = __shfl_xor_sync(~0u, v, 16)", "which the block does not have"),
]
MEETINGS_KEPT = [
    "__syncthreads()",
    "if (n > 100) __syncthreads()",
    "if (t < 32) __syncwarp()",
    "if (t % 32 < 4) v = __shfl_xor_sync(0xfu, v, 2)",
    "if (t % 32 < 4) v = __shfl_down_sync(0xfu, v, 2, 4)",
    "if (t % 2) __syncwarp(); else { v = 2; __syncwarp(); }",
]


WARPS_LEFT = "if (t >= n) return; cells[t] = 0; __syncthreads()"


def meet(body: str, threads: int, n: int):
    """Execute one statement in every thread. Returns its line and the report."""
    bodies = [*(each[0] for each in MEETINGS_MISSED), *MEETINGS_KEPT, WARPS_LEFT]
    cases = "\n    ".join(f"case {i}: {{ {text}; break; }}" for i, text in enumerate(bodies))
    source = MEET.replace("BODIES", cases)
    numbers = map(np.int32, (bodies.index(body), n))
    return line_with(source, f"{{ {body}; break"), check(source, "meet", 2, threads, *numbers, np.zeros(192, np.int32))


@pytest.mark.parametrize(("body", "text"), MEETINGS_MISSED)
def test_threads_that_do_not_meet_are_named_with_the_line(body, text):
    line, report = meet(body, 80, 70)
    (finding, *_) = (finding for finding in report.findings if finding.kind == "synchronisation")
    assert text in finding.text and f"kernel.cu:{line}: " in finding.text
    assert not finding.is_hint


@pytest.mark.parametrize("body", MEETINGS_KEPT)
def test_threads_that_meet_are_no_finding(body):
    _, report = meet(body, 64, 70)
    assert "synchronisation" not in report.kinds and "stopped" not in report.error


def test_a_barrier_without_whole_warps_that_have_exited_is_a_hint():
    _, report = meet(WARPS_LEFT, 96, 64)
    hints = [finding for finding in report.findings if finding.kind == "synchronisation"]
    assert [hint.is_hint for hint in hints] == [True]


# ---- right kernels that invite a false alarm ----


def test_lanes_that_write_the_same_value_in_one_request_are_a_hint():
    source = """
extern "C" __global__ void flags(const int* x, int* found, int* last) {
    if (x[threadIdx.x] > 3) found[0] = 1;
    last[0] = VALUE;
}"""
    arguments = (np.arange(32, dtype=np.int32), np.zeros(1, np.int32), np.zeros(1, np.int32))
    same = check(source.replace("VALUE", "7"), "flags", 1, 32, *arguments)
    assert {(f.kind, f.is_hint, f.here.line) for f in same.findings} == {
        ("same value", True, 3),
        ("same value", True, 4),
    }
    different = check(source.replace("VALUE", "threadIdx.x / 20"), "flags", 1, 32, *arguments)
    assert {(f.kind, f.here.line) for f in different.findings} == {("same value", 3), ("race", 4)}
    two_warps = check(source.replace("VALUE", "7"), "flags", 1, 64, np.arange(64, dtype=np.int32), *arguments[1:])
    assert {f.here.line for f in two_warps.findings if f.kind == "race"} == {3, 4}


GUESS = """
extern "C" __global__ void largest(const int* x, int* most, int* out) {
    int old = *most;
    while (x[threadIdx.x] > old) {
        const int seen = old, mine = x[threadIdx.x];
        old = ATOMIC;
        if (old == seen) break;
    }
    LATER;
}
"""


@pytest.mark.parametrize(
    ("atomic", "later", "kinds"),
    [
        ("atomicCAS(most, seen, mine)", "", set()),
        ("atomicMax(most, mine)", "", {"race"}),
        ("atomicCAS(most, seen, mine)", "out[threadIdx.x] = *most", {"race"}),
    ],
)
def test_a_plain_read_may_guess_what_an_atomic_cas_finds(atomic, later, kinds):
    x = np.random.default_rng(0).permutation(64).astype(np.int32)
    source = GUESS.replace("ATOMIC", atomic).replace("LATER", later)
    most = np.zeros(1, np.int32)
    report = check(source, "largest", 1, 64, x, most, np.zeros(64, np.int32))
    assert report.kinds == kinds and most[0] == 63


def test_padding_may_be_copied():
    source = """
struct Mixed { bool is_set; double value; float3_ vector; };
extern "C" __global__ void copies(const float* x, float* out) {
    __shared__ Mixed cells[64];
    __shared__ float4 vectors[64];
    const int t = threadIdx.x;
    cells[t].is_set = x[t] > 3;
    cells[t].value = x[t];
    vectors[t].x = vectors[t].y = vectors[t].z = 1;  // w is never set
    __syncthreads();
    cells[32 + t] = cells[31 - t];
    vectors[32 + t] = vectors[31 - t];
    __syncthreads();
    out[t] = cells[32 + t].value + vectors[32 + t].z;
}"""
    source = source.replace(" float3_ vector;", "")
    report = check(source, "copies", 1, 32, np.arange(32, dtype=np.float32), np.zeros(32, np.float32))
    assert report.findings == []
