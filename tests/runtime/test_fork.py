"""Processes forked after kernels have run in the parent: each operation ends, with the parent's bits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from agreement import needs_compiler

# A hang is a timeout of the separate process; `fork` is not safe in a test process with threads of its own.
PROGRAM = """
import hashlib, os, sys, threading
import numpy as np
from minisk import kernels

os.environ["MINISK_KERNELS"] = sys.argv[1]
x = np.random.default_rng(0).standard_normal((4, 8, 16, 16)).astype(np.float32)

def work(dtype=np.float32):
    mean, positive = kernels.plane_mean(x.astype(dtype)), kernels.relu(x.astype(dtype))
    return hashlib.sha256(mean.tobytes() + positive.tobytes()).hexdigest()

def in_thread(results):
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()

def forked(task):
    child = os.fork()
    if child == 0:
        os._exit(0 if task() else 1)
    assert os.waitpid(child, 0)[1] == 0

expected = work()
results = []
forked(lambda: work() == expected)
forked(lambda: work() == expected and forked(lambda: work() == expected) is None)
forked(lambda: in_thread(results) is None and results == [expected] and work() == expected)
forked(lambda: bool(work(np.float64)))  # a library that the parent has not loaded
ended = threading.Event()
def run_on():
    while not ended.is_set():
        work()
other = threading.Thread(target=run_on)
other.start()
for _ in range(5):
    forked(lambda: work() == expected)  # while another thread of the parent runs kernels
ended.set()
other.join()
assert work() == expected
print("all ended")
"""


@needs_compiler
@pytest.mark.parametrize("mode", ["cpu", "threads"])
def test_kernels_run_in_a_forked_child_with_the_same_bits(mode: str) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, mode]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.stdout == "all ended\n", done.stderr
