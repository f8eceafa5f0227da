"""Proof that a job of several ranks cannot hang or lose work: it is killed again and again, and resumed.

    python tools/kill_ranks.py --kills 20 --ranks 2

Each time one rank, all ranks or mpirun get SIGKILL or SIGTERM at a random moment of training. All processes must end
within five seconds, leave whole files, and the last job must end with the bits of one that nothing disturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tools"))

from crash_test import Failed, compare, position  # noqa: E402 (found where this file is)

SETTINGS = "--train-images 48 --test-images 8 --batch-size 8 --epochs 8 --save-every 1 --ema 0.9 --device cpu"
LIMIT = 5.0  # seconds within which every process must have ended
TARGETS = ("one rank", "all ranks", "mpirun")
SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def mpirun() -> list[str]:
    """Return the launcher beside this Python, else the one of the path, with what Open MPI needs in a container."""
    beside = Path(sys.executable).with_name("mpirun")
    program = str(beside) if beside.exists() else shutil.which("mpirun")
    if program is None:
        raise SystemExit("kill_ranks: no mpirun: pip install mpi4py mpich")
    about = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    return [program, *(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"] if "Open MPI" in about else [])]


def start(out: Path, ranks: int) -> subprocess.Popen[str]:
    """Start a job, or resume it where there is something to resume."""
    command = [sys.executable, str(ROOT / "train_cifar.py"), *SETTINGS.split(), "--out", str(out), "--resume"]
    return subprocess.Popen(
        [*mpirun(), "-n", str(ranks), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )


def ranks_of(out: Path) -> list[int]:
    """Return the processes that train into a folder, mpirun and its helpers not included."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            is_python = b"python" in os.path.basename(words[0])
        except (OSError, IndexError):
            continue
        if is_python and str(out).encode() in words:
            found.append(int(process.name))
    return found


def state_of(pid: int) -> str:
    """Return the state of a process, such as R or Z; an empty text if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def disturb(job: subprocess.Popen[str], out: Path, rng: random.Random, number: int) -> str:
    """Send a signal, and wait for the end of all processes. Returns what happened. Raises Failed."""
    target, sent = TARGETS[number % 3], SIGNALS[number // 3 % 2]
    ranks = ranks_of(out)
    victims = {"one rank": rng.sample(ranks, 1), "all ranks": ranks, "mpirun": [job.pid]}[target]
    before = time.monotonic()
    for pid in victims:
        os.kill(pid, sent)
    errors = job.communicate(timeout=60)[1]
    while (left := {pid: state_of(pid) for pid in ranks if state_of(pid)}) and time.monotonic() - before < 2 * LIMIT:
        time.sleep(0.01)  # a zombie counts too: it is gone when the system's first process has noticed its end
    seconds = time.monotonic() - before
    what = f"{sent.name:8} to {target:9} ended {len(ranks)} ranks in {seconds:.2f} s, exit status {job.returncode:4}"
    if seconds > LIMIT:
        raise Failed(f"{what}; left: {left}\n{errors}")
    return f"{what}; {position(out)}"


def main() -> int:
    """Run the trial. Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how often (default: 20)")
    parser.add_argument("--ranks", type=int, default=2, help="processes of a job (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: 0)")
    arguments = parser.parse_args()
    rng, kills = random.Random(arguments.seed), 0
    with tempfile.TemporaryDirectory(prefix="minisk-ranks-") as folder:
        straight, out = Path(folder) / "straight", Path(folder) / "disturbed"
        if start(straight, arguments.ranks).wait():
            raise Failed("the undisturbed job failed")
        while kills < arguments.kills:
            log = out / "log.jsonl"
            size = log.stat().st_size if log.exists() else 0
            job = start(out, arguments.ranks)
            while job.poll() is None and (not log.exists() or log.stat().st_size == size):  # until it trains
                time.sleep(0.01)
            time.sleep(rng.uniform(0, 1))
            if job.poll() is not None:
                shutil.rmtree(out)  # it was done: begin again
                continue
            print(disturb(job, out, rng, kills), flush=True)
            kills += 1
        if start(out, arguments.ranks).wait():
            raise Failed("the last job failed")
        leftovers = list(out.glob(".*.partial"))
        if leftovers:
            raise Failed(f"half-written files are left: {leftovers}")
        print(f"{compare(straight, out)} arrays are the same, bit for bit, after {kills} kills")
    return 0


if __name__ == "__main__":
    sys.exit(main())
