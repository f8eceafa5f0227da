"""Real processes under a real mpirun: bits, failures, signals. Skipped without mpi4py and an MPI library."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rank_program
import tiny_run
from thread_group import on_ranks
from tiny_run import assert_same_bits

from minisk.serialization import load_checkpoint
from minisk.training import Trainer

ROOT = Path(__file__).resolve().parents[2]
BESIDE_PYTHON = Path(sys.executable).with_name("mpirun")
MPIRUN = str(BESIDE_PYTHON) if BESIDE_PYTHON.exists() else shutil.which("mpirun")
LIMIT = 120  # seconds after which a job counts as hanging


def why_not():
    if MPIRUN is None:
        return "no mpirun"
    code = "from mpi4py import MPI"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return None if done.returncode == 0 else "mpi4py cannot be imported"


REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"no MPI: {REASON}")


def start(count, command):
    """Start mpirun with so many ranks of one thread. Open MPI must be asked to run as root, and on few cores."""
    about = subprocess.run([MPIRUN, "--version"], capture_output=True, text=True, check=True).stdout
    options = ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"] if "Open MPI" in about else []
    return subprocess.Popen(
        [MPIRUN, *options, "-n", str(count), sys.executable, *map(str, command)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        cwd=ROOT,
    )


def run(count, work, folder):
    """Run a function of rank_program; return the exit status of mpirun, and what the ranks wrote to stderr."""
    process = start(count, [ROOT / "tests/support/rank_program.py", work, folder])
    _, errors = process.communicate(timeout=LIMIT)
    return process.returncode, errors


def test_three_processes_have_the_bits_of_three_threads(tmp_path, monkeypatch):
    status, errors = run(3, "exchange", tmp_path)
    assert (status, errors.count("Traceback")) == (0, 0), errors
    files = [np.load(tmp_path / f"rank{rank}.npz") for rank in range(3)]
    for position, size in enumerate(rank_program.SIZES, start=1):
        total = rank_program.numbers_of(0, size)
        for rank in (1, 2):
            total += rank_program.numbers_of(rank, size)
        assert all(file[f"arr_{position}"].tobytes() == total.tobytes() for file in files)
    gathered = np.stack([rank_program.numbers_of(rank, 7).reshape(7, 1) for rank in range(3)])
    assert all((file["arr_0"] == gathered).all() for file in files)

    tiny_run.use_tiny(monkeypatch)
    settings = tiny_run.config(**rank_program.TRAINING)
    on_ranks(3, lambda group: list(Trainer(settings, tmp_path / "threads", group=group).run(progress=False)))
    (arrays, about), (others, theirs) = (
        load_checkpoint(tmp_path / name / "last.safetensors") for name in ("run", "threads")
    )
    assert_same_bits(arrays, others)
    assert about["software"]["processes"] == theirs["software"]["processes"] == "3"


@pytest.mark.parametrize(
    ("work", "statuses", "sentence"),
    [
        ("exception", {1}, "ValueError: rank 1 divided by nothing"),
        ("exit", {3, 9}, ""),  # MPICH's mpirun sometimes returns the signal with which it ended the other rank
        ("kill", {9}, ""),
    ],
)
def test_a_rank_that_fails_ends_all(work, statuses, sentence, tmp_path):
    found, errors = run(2, work, tmp_path)
    assert time.time() - float((tmp_path / "failed at").read_text()) < LIMIT / 2
    assert found % 128 in statuses and sentence in errors  # Open MPI adds 128 to the number of a signal
    load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert not list((tmp_path / "run").glob(".*.partial"))


def test_a_rank_that_stands_still_is_reported_by_name(tmp_path):
    status, errors = run(3, "still", tmp_path)
    assert status == 0
    lines = [line for line in errors.splitlines() if "waiting" in line]
    assert 1 <= len(lines) <= 2  # after one second, and perhaps after two
    assert all(line.startswith("waiting for") and "because of rank 1 (process " in line for line in lines)


SETTINGS = {"train-images": 24, "test-images": 8, "batch-size": 8, "epochs": 200, "save-every": 0, "log-every": 1}
FLAGS = [str(part) for name, value in SETTINGS.items() for part in (f"--{name}", value)]


def test_program_stops_after_the_step_in_which_sigterm_reaches_one_rank(tmp_path):
    process = start(2, [ROOT / "train_cifar.py", *FLAGS, "--device", "cpu", "--out", tmp_path])
    log = tmp_path / "log.jsonl"
    while process.poll() is None and not (log.exists() and '"step": 2' in log.read_text()):
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    assert process.poll() is None and children.exists()
    os.kill(one_rank_below(process.pid), signal.SIGTERM)
    out, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 143
    assert errors.count("stopped; a checkpoint is written") == 1 and "mpirun -n 2" in errors
    assert load_checkpoint(tmp_path / "last.safetensors")[1]["state"]["step"] >= 0
    assert out.count("2 processes on ") == 1 and out.count("parameters") == 1  # rank 0 alone prints


def one_rank_below(pid):
    """Return the process of a Python program that mpirun started, directly or through a helper."""
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
            if "train_cifar.py" in Path(f"/proc/{child}/cmdline").read_text() and Path(
                f"/proc/{child}/exe"
            ).resolve().name.startswith("python"):
                return int(child)
            waiting.append(int(child))
    raise AssertionError("mpirun has no rank")


def test_a_wrong_setting_is_reported_once(tmp_path):
    process = start(2, [ROOT / "train_cifar.py", "--batch-size", 0, "--out", tmp_path])
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert errors.count("--batch-size 0 must be above 0") == 1
