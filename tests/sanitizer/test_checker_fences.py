"""The checker knows what fences and atomic updates order, and ends a kernel that waits for ever."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from checked import SCHEDULES, check
from host_library import needs_compiler

pytestmark = needs_compiler

BLOCKS, THREADS = 4, 64

# Every block writes, and the last one, which finds out by a ticket that it is the last, reads what all have written.
LAST_BLOCK = """
extern "C" __global__ void last_block(float* partial, unsigned* tickets, float* out) {
    __shared__ bool is_last;
    BEFORE_THE_WRITES
    partial[blockIdx.x * blockDim.x + threadIdx.x] = threadIdx.x;
    BEFORE_THE_BARRIER
    __syncthreads();
    if (threadIdx.x == 0) {
        BEFORE_THE_TICKET
        is_last = atomicAdd(tickets, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!is_last) return;
    float sum = 0;
    for (int block = 0; block < gridDim.x; ++block) sum += partial[block * blockDim.x + blockDim.x - 1 - threadIdx.x];
    out[threadIdx.x] = sum;
    if (threadIdx.x == 0) tickets[0] = 0;  // for the next launch
}
"""


def check_last_block(schedule: int = 0, seed: int = 0, **fences: str):
    source = LAST_BLOCK
    for place in ("BEFORE_THE_WRITES", "BEFORE_THE_BARRIER", "BEFORE_THE_TICKET"):
        source = source.replace(place, fences.get(place.lower(), ""))
    partial, tickets, out = (
        np.zeros(BLOCKS * THREADS, np.float32),
        np.zeros(1, np.uint32),
        np.zeros(THREADS, np.float32),
    )
    arguments = (partial, tickets, out)
    report = check(source, "last_block", BLOCKS, THREADS, *arguments, undefined=(0, 2), schedule=schedule, seed=seed)
    return report, out


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
@pytest.mark.parametrize("place", ["before_the_barrier", "before_the_ticket"])
def test_the_last_block_may_read_what_was_written_before_a_fence(place, schedule, seed):
    report, out = check_last_block(schedule, seed, **{place: "__threadfence();"})
    assert report.error == "" and report.findings == []
    np.testing.assert_array_equal(out, BLOCKS * np.arange(THREADS)[::-1])


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
@pytest.mark.parametrize(
    "fences",
    [
        {},
        {"before_the_writes": "__threadfence();"},
        {"before_the_ticket": "__threadfence_block();"},
        {"before_the_barrier": "__threadfence_block();"},
        {"before_the_barrier": "if (threadIdx.x < 32) __threadfence();"},
    ],
)
def test_without_a_fence_between_write_and_ticket_there_is_a_race(fences, schedule, seed):
    report, _ = check_last_block(schedule, seed, **fences)
    assert report.kinds == {"race"}


LOCK = """
extern "C" __global__ void count(int* lock, int* sum) {
    for (bool is_done = false; !is_done;) {
        if (atomicCAS(lock, 0, 1) != 0) continue;
        ENTER
        sum[0] += 1;
        LEAVE
        atomicExch(lock, 0);
        is_done = true;
    }
}
"""


def check_lock(leave: str):
    lock, total = np.zeros(1, np.int32), np.zeros(1, np.int32)
    source = LOCK.replace("ENTER", "__threadfence();").replace("LEAVE", leave)
    return check(source, "count", 2, THREADS, lock, total), total


def test_a_lock_with_fences_is_clean_and_counts_every_thread():
    report, total = check_lock("__threadfence();")
    assert report.error == "" and report.findings == []
    assert total[0] == 2 * THREADS


def test_a_lock_that_is_left_without_a_fence_is_a_race():
    assert check_lock("")[0].kinds == {"race"}


# Lane 0 takes the ticket for its warp: what the other lanes wrote before __syncwarp is released with its own.
WARP_TICKET = """
extern "C" __global__ void warps(float* partial, unsigned* tickets, float* out) {
    partial[blockIdx.x * warpSize + threadIdx.x] = threadIdx.x;
    __syncwarp();
    unsigned ticket = 0;
    if (threadIdx.x == 0) { __threadfence(); ticket = atomicAdd(tickets, 1u); }
    ticket = __shfl_sync(~0u, ticket, 0);
    __syncwarp();
    if (ticket == gridDim.x - 1) {
        float sum = 0;
        for (int block = 0; block < gridDim.x; ++block) sum += partial[block * warpSize + 31 - threadIdx.x];
        out[threadIdx.x] = sum;
    }
}
"""


@pytest.mark.parametrize("fence", ["__threadfence();", ""])
def test_a_syncwarp_passes_on_what_its_lanes_acquired(fence):
    partial, tickets, out = np.zeros(BLOCKS * 32, np.float32), np.zeros(1, np.uint32), np.zeros(32, np.float32)
    source = WARP_TICKET.replace("__threadfence();", fence)
    report = check(source, "warps", BLOCKS, 32, partial, tickets, out, undefined=(0, 2))
    assert report.kinds == (set() if fence else {"race"})


FLAG = """
extern "C" __global__ void wait_for_flag(int* flag, int* out) {
    if (threadIdx.x == 0) {
        while (READ == 0) {}
        out[0] = 1;
    }
    if (threadIdx.x == SETTER) atomicExch(flag, 1);
}
"""


def check_flag(read: str, setter: int, schedule: int = 0, seed: int = 0):
    out = np.zeros(1, np.int32)
    source = FLAG.replace("READ", read).replace("SETTER", str(setter))
    arguments = (np.zeros(1, np.int32), out)
    return check(source, "wait_for_flag", 1, THREADS, *arguments, schedule=schedule, seed=seed), out


@pytest.mark.parametrize(("schedule", "seed"), SCHEDULES)
@pytest.mark.parametrize("setter", [1, 63])
def test_a_thread_may_wait_for_another_of_its_block(setter, schedule, seed):
    report, out = check_flag("atomicAdd(flag, 0)", setter, schedule, seed)
    assert report.error == "" and out[0] == 1


@pytest.mark.parametrize("read", ["atomicAdd(flag, 0)", "*(volatile int*)flag"])
def test_a_thread_that_waits_for_ever_is_named(read):
    report, _ = check_flag(read, setter=THREADS)  # no thread
    assert "thread (0,0,0) of block (0,0,0) waits in a loop without end" in report.error


ENDLESS = """
// check: <<<1, 1>>> x[1]
extern "C" __global__ void ends(int* x) { x[0] = 1; }
// check: <<<1, 1>>> x[1]
extern "C" __global__ void endless(int* x) {
    for (unsigned i = 1; i; i = 1 + i % 7) {}
}
"""


def test_ctrl_c_ends_a_check_whose_kernel_does_not_end(tmp_path):
    source = tmp_path / "endless.cu"
    source.write_text(ENDLESS)
    command = [sys.executable, "-u", "-m", "minisk", "check", str(source)]
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # a job in the background begins with SIGINT ignored
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            assert process.stdout.readline() == "ends<<<1, 1>>>: clean\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
        finally:
            process.kill()
