"""What `mpirun` runs in the tests: `python rank_program.py WORK FOLDER`, with a function of this file as WORK."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import tiny_run  # noqa: E402 (found where this file is)

from minisk import models  # noqa: E402
from minisk.cli.ranks import run_on_ranks  # noqa: E402
from minisk.distributed import broadcast_json  # noqa: E402
from minisk.training import Trainer, images, run_folder  # noqa: E402

SIZES = [0, 1, 2, 5, 1000, 100_003]  # fewer numbers than ranks, and parts of unequal size
TRAINING = {"epochs": 1, "clip_norm": 1.0, "ema": 0.8, "accumulate": 2}


def numbers_of(rank, size):
    return np.random.default_rng([rank, size]).standard_normal(size).astype(np.float32) * 10.0 ** (rank % 3)


def make_tiny():
    images.load_dataset = lambda name, data_dir, split, size_limit, view: tiny_run.SPLITS[split]
    models.create = tiny_run.tiny_net
    run_folder.draw_curves = lambda *arguments: None


def exchange(folder, group):
    """Sum, gather and broadcast; the test compares the bits. Then train."""
    assert broadcast_json(group, {"from": group.rank}) == {"from": 0}
    sums = [numbers_of(group.rank, size) for size in SIZES]
    under_way = [group.start_sum(array) for array in sums]
    for steps in reversed(under_way):  # sums overtake each other
        next(steps, None)
    for steps in under_way:
        group.finish(steps)
    gathered = group.gather(numbers_of(group.rank, 7).reshape(7, 1))
    np.savez(folder / f"rank{group.rank}.npz", gathered, *sums)
    make_tiny()
    list(Trainer(tiny_run.config(**TRAINING), folder / "run", group=group).run())


def fail(folder, group, how):
    """Train; after two steps rank 1 fails, and the other ranks wait for it."""
    make_tiny()
    trainer = Trainer(tiny_run.config(epochs=50), folder / "run", group=group, log_every=1)

    def stop():
        if trainer.schedule.steps == 2 and group.rank == 1:
            (folder / "failed at").write_text(str(time.time()))
            how()
        return 0

    list(trainer.run(stop=stop))


def raise_error():
    raise ValueError("rank 1 divided by nothing")


def stand_still():
    """Stop this process; a child of it continues it after 2.5 seconds."""
    if os.fork() == 0:
        time.sleep(2.5)
        os.kill(os.getppid(), signal.SIGCONT)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGSTOP)


WORK = {
    "exchange": exchange,
    "exception": lambda folder, group: fail(folder, group, raise_error),
    "exit": lambda folder, group: fail(folder, group, lambda: sys.exit(3)),
    "kill": lambda folder, group: fail(folder, group, lambda: os.kill(os.getpid(), signal.SIGKILL)),
}


def still(folder, group):
    """Rank 1 stands still; the others report it by name."""
    group.patience = 1.0
    group.gather(np.zeros(1))
    if group.rank == 1:
        stand_still()
    group.gather(np.zeros(1))


WORK["still"] = still


def main():
    work, folder = sys.argv[1], Path(sys.argv[2])

    def run(arguments, group):
        WORK[work](folder, group)
        return 0

    return run_on_ranks("rank_program", lambda: None, run)


if __name__ == "__main__":
    sys.exit(main())
