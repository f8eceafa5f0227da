"""Proof that nothing is lost: a training run is killed again and again, and must end with the bits of one that was not.

    python tools/crash_test.py --kills 60 --terms 5

Every process is started with --resume, as a batch system would do it. Trials, each on a few drawn images, each compared
with an uninterrupted run array by array (weights, optimizer, average) and row by row (metrics, but for the times):
    kill        SIGKILL: a third at random moments of the run, a third in the first second, and a third while kernels
                are built, each with an empty cache of kernels
    terminate   SIGTERM at random moments; the command that it prints is what goes on
    disk        in the middle, no file may grow any more; then killed, or run to its end, which must fail in a sentence
    full disk   the same on a small tmpfs that is filled; only where this process may mount one
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import itertools
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from minisk.serialization import load_checkpoint  # noqa: E402 (found where this file is)

TIMES = ("images_per_second", "seconds", "waiting")
PATIENCE = 600  # seconds after which a process counts as hanging
FREE_BYTES = 4096  # left to a file that may not grow: enough for a line of the log, not for a checkpoint


class Failed(Exception):
    """What was to be proved does not hold."""


@dataclass
class Trial:
    """Training commands that differ in their folder alone, and the random moments at which they are disturbed."""

    settings: list[str]
    work: Path
    rng: random.Random
    seconds: float = 0.0  # of an uninterrupted run

    def command(self, out: Path) -> list[str]:
        return [sys.executable, str(ROOT / "train_cifar.py"), *self.settings, "--out", str(out), "--resume"]

    def start(self, out: Path, cache: Path | None = None) -> subprocess.Popen[str]:
        """Start, or resume where there is something to resume; `cache` is the folder for built kernels."""
        environment = {**os.environ, **({"MINISK_CACHE": str(cache)} if cache else {})}
        command = self.command(out)
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)

    def finish(self, out: Path, cache: Path | None = None) -> float:
        """Train to the end. Returns the seconds that it took."""
        before = time.perf_counter()
        done(self.start(out, cache), 0)
        return time.perf_counter() - before

    def straight(self) -> Path:
        """Train without interruption. Returns the folder, and keeps the seconds that it took."""
        out = self.work / "straight"
        self.seconds = self.finish(out)
        return out


def done(process: subprocess.Popen[str], status: int) -> str:
    """Wait for a process. Returns what it wrote to stderr. Raises Failed for another exit status."""
    _, output = process.communicate(timeout=PATIENCE)
    if process.returncode != status:
        raise Failed(f"exit status {process.returncode} instead of {status}: {output}")
    return output


def compare(straight: Path, other: Path) -> int:
    """Return how many arrays are the same, bit for bit, in both folders. Raises Failed if one is not."""
    count = 0
    for name in ("last.safetensors", "best.safetensors"):
        (one, about), (two, their) = (load_checkpoint(folder / name) for folder in (straight, other))
        if one.keys() != two.keys():
            raise Failed(f"{name} of {other.name}: other arrays")
        unlike = [key for key in one if one[key].tobytes() != two[key].tobytes()]
        if unlike:
            raise Failed(f"{name} of {other.name}: {len(unlike)} of {len(one)} arrays differ, first {unlike[0]}")
        if _untimed(about) != _untimed(their):
            raise Failed(f"{name} of {other.name}: metrics, position or random state differ")
        count += len(one)
    return count


def _untimed(about: dict[str, Any]) -> dict[str, Any]:
    rows = [{k: v for k, v in row.items() if k not in TIMES} for row in about["history"]]
    state = {k: v for k, v in about.get("state", {}).items() if k not in ("seconds", "waited")}
    return {**about, "history": rows, "state": state}


def position(out: Path) -> str:
    """Return the progress of the checkpoint in a folder; it must always be whole."""
    if not (out / "last.safetensors").exists():
        return "no checkpoint yet"
    state = load_checkpoint(out / "last.safetensors")[1]["state"]
    return f"checkpoint at epoch {state['epoch']}, step {state['step']}"


# The trials


def kill(
    trial: Trial,
    times: int,
    latest: float,
    number: signal.Signals = signal.SIGKILL,
    new_cache: Callable[[], Path] | None = None,
) -> list[Path]:
    """Send a signal at random moments until it has hit so often, finishing each run. Returns their folders.

    The moments are up to `latest` seconds after a start. `new_cache` makes an empty folder for the kernels of a start.
    """
    folders: list[Path] = []
    hits = 0
    while hits < times:
        out = trial.work / f"{number.name}-{len(list(trial.work.iterdir()))}"
        folders.append(out)
        while hits < times:
            process = trial.start(out, new_cache and new_cache())
            try:
                _, output = process.communicate(timeout=trial.rng.uniform(0.05, 1) * latest)
                if process.returncode != 0:
                    raise Failed(f"exit status {process.returncode}: {output}")
                break  # done before the signal
            except subprocess.TimeoutExpired:
                process.send_signal(number)
            output = done(process, 128 + number) if _heeds(process, number) else ""
            hits += 1
            print(f"  {number.name} {hits:2d} of {times}: {position(out)}", flush=True)
            if output:
                _resume_as_printed(output, trial, out)
        trial.finish(out)
    return folders


def kill_in_three_ways(trial: Trial, times: int) -> list[Path]:
    """Kill at random moments, in the first second, and while kernels are built: a third each. Returns the folders."""
    caches = (trial.work / f"cache{number}" for number in itertools.count())
    seconds = trial.finish(trial.work / "cold", next(caches))
    print(f"uninterrupted, with kernels to build: {seconds:.1f} s", flush=True)
    third = times // 3
    folders = [trial.work / "cold", *kill(trial, times - 2 * third, 0.9 * trial.seconds)]
    folders += kill(trial, third, 1.0)
    folders += kill(trial, third, max(1.0, seconds - trial.seconds), new_cache=lambda: next(caches))
    return folders


def _heeds(process: subprocess.Popen[str], number: signal.Signals) -> bool:
    """Whether the process ended by its own will; not if it was killed, or was not yet training."""
    process.wait(timeout=PATIENCE)
    if process.returncode in (0, -number):
        process.communicate()
        return False
    return True


def _resume_as_printed(output: str, trial: Trial, out: Path) -> None:
    command = shlex.split(output.strip().splitlines()[-1])
    if command != trial.command(out):
        raise Failed(f"the printed command does not resume the run: {shlex.join(command)}")


def disk(trial: Trial, out: Path, fill: Callable[[subprocess.Popen[str]], None], clear: Callable[[], None]) -> None:
    """Fill the disk in the middle, twice: once the run is killed then, once it comes to its end; then clear, resume."""
    for killed in (True, False):
        process = trial.start(out)
        _wait_for_progress(process, out)
        fill(process)
        if killed:
            time.sleep(trial.seconds * 0.2)
            process.kill()
            process.communicate()
            output = "killed"
        else:
            output = done(process, 1).strip().splitlines()[-1]
            if not re.search("could not be written: ", output):
                raise Failed(f"the end on a full disk was reported differently: {output}")
        clear()
        print(f"  disk full: {output}; {position(out)}", flush=True)
    trial.finish(out)


def _wait_for_progress(process: subprocess.Popen[str], out: Path) -> None:
    """Wait until this process has saved a checkpoint of its own."""
    last = out / "last.safetensors"
    before, waited = last.stat().st_mtime_ns if last.exists() else None, 0.0
    while not last.exists() or last.stat().st_mtime_ns == before:
        if process.poll() is not None or waited > PATIENCE:
            raise Failed(f"no checkpoint came: {process.communicate()[1]}")
        time.sleep(0.01)
        waited += 0.01


def stop_growth(process: subprocess.Popen[str]) -> None:
    """From now on, no file of that process may be larger than a few lines: what a full disk is to a checkpoint."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (FREE_BYTES, FREE_BYTES))


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path | None]:
    """Mount a tmpfs of so many bytes for a while; None where this process may not."""
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}".encode()) != 0:
        yield None
        return
    try:
        yield folder
    finally:
        libc.umount2(os.fsencode(folder), 2)  # MNT_DETACH: also while a process is still in it


def fill_disk(folder: Path) -> None:
    """Write zeros until there is no room."""
    with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description="Interrupt training in every way and compare the bits at the end.")
    p.add_argument("--kills", type=int, default=60, metavar="N", help="SIGKILLs, a third of each kind (default: 60)")
    p.add_argument("--terms", type=int, default=5, metavar="N", help="SIGTERMs at random moments (default: 5)")
    p.add_argument("--images", type=int, default=128, metavar="N", help="training images (default: 128)")
    p.add_argument("--epochs", type=int, default=3, metavar="N", help="epochs (default: 3)")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="of the moments (default: 0)")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run every trial. Returns 0, or 1 if one failed."""
    arguments = parser().parse_args(argv)
    settings = f"--train-images {arguments.images} --test-images 16 --batch-size 16 --epochs {arguments.epochs}"
    settings += (
        " --save-every 2 --log-every 2 --ema 0.9 --clip-norm 5 --accumulate 2 --lr 0.05 --device cpu --mixup 0.4"
    )
    settings += " --cutout 8 --jitter 0.2"
    work = Path(tempfile.mkdtemp(prefix="minisk-crash-"))
    try:
        trial = Trial(settings.split(), work, random.Random(arguments.seed))
        straight = trial.straight()
        print(f"uninterrupted: {trial.seconds:.1f} s", flush=True)
        folders = kill_in_three_ways(trial, arguments.kills)
        folders += kill(trial, arguments.terms, 0.9 * trial.seconds, signal.SIGTERM)
        folders.append(work / "no-growth")
        disk(trial, folders[-1], stop_growth, lambda: None)
        size = (straight / "last.safetensors").stat().st_size
        with small_disk(work / "small", 4 * size) as small:
            if small is None:
                print("  no small disk: this process may not mount one")
            else:
                out = small / "run"
                disk(trial, out, lambda process: fill_disk(small), (small / "filler").unlink)
                print(f"small disk: {compare(straight, out)} arrays the same")
        for out in folders:
            print(f"{out.name}: {compare(straight, out)} arrays the same, and metrics, position, random state")
    except Failed as failure:
        print(f"crash_test: {failure}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
