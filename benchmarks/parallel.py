"""Time data-parallel steps: `mpirun -n 2 python benchmarks/parallel.py sknet_small --batch-size 64 --steps 10`.

Rank 0 prints medians: a step, and the fastest of them; what is left to wait for after backward, with buckets sent
during backward and with one message after it; the sum of all gradients alone; an exchange of one number. Without
mpirun it times one process.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from minisk import models
from minisk.autograd import Tensor
from minisk.data import Share
from minisk.distributed import DataParallel, Group, join
from minisk.optim import SGD


def processor_time(job: "Job", steps: int) -> float:
    """Return the seconds of processor that a step takes, of all ranks and threads together."""
    before = time.process_time()
    for _ in range(steps):
        job.step()
    return float(job.group.gather(np.array([time.process_time() - before])).sum()) / steps


def median(
    work: Callable[[], float | None], times: int, choose: Callable[[list[float]], float] = statistics.median
) -> float:
    """Return the median, or another choice, of what work returns, or of the seconds that it takes."""
    found = []
    for _ in range(times):
        before = time.perf_counter()
        result = work()
        found.append(time.perf_counter() - before if result is None else result)
    return choose(found)


class Job:
    """Steps of one model on this rank's share of a random batch."""

    def __init__(self, name: str, batch_size: int, group: Group, bucket_bytes: int, sync_bn: bool) -> None:
        self.group, side = group, models.input_size(name)
        self.model = models.create(name)
        self.model.train()
        self.parallel = DataParallel(self.model, group, sync_bn, bucket_bytes)
        self.optimizer = SGD(self.model.parameters(), 1e-4, momentum=0.9)
        rows = Share(group.rank, group.size).positions(batch_size)
        rng = np.random.default_rng(0)
        images = rng.standard_normal((batch_size, 3, side, side)).astype(np.float32)
        labels = rng.integers(0, 10, batch_size)
        self.x, self.y, self.weight = Tensor(images[rows]), Tensor(labels[rows]), len(rows) / batch_size

    def step(self) -> None:
        """Take one step."""
        self.optimizer.zero_grad()
        loss = models.classification_loss(self.model(self.x), self.y) * self.weight
        with self.parallel.sending():
            loss.backward()
        self.parallel.exchange(np.array([loss.item()]))
        self.optimizer.step()

    def waited(self) -> float:
        """Take one step; return the seconds that the exchange after backward waited."""
        before = self.parallel.waited
        self.step()
        return self.parallel.waited - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--batch-size", type=int, default=64, help="images of all ranks together")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--sync-bn", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    group = join()
    job = Job(arguments.model, arguments.batch_size, group, 4 << 20, arguments.sync_bn)
    job.step()
    step, processor = median(job.step, arguments.steps), processor_time(job, arguments.steps)
    fastest = median(job.step, arguments.steps, min)
    size = sum(parameter.size for parameter in job.model.parameters())
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    lines = [f"{arguments.model}, batch {arguments.batch_size}: {group.size} × {threads} threads, {group.library}"]
    lines.append(f"  step                      {1000 * step:9.2f} ms, fastest {1000 * fastest:.2f} ms")
    lines.append(f"  processors, together      {1000 * processor:9.2f} ms")
    if group.size > 1:
        waited = median(job.waited, arguments.steps)
        late = Job(arguments.model, arguments.batch_size, group, 1 << 40, arguments.sync_bn)
        late.step()
        waited_late = median(late.waited, arguments.steps)
        gradients, number = np.ones(size, np.float32), np.ones(1)

        def alone() -> None:
            group.gather(number)  # all ranks begin together
            group.sum(gradients)

        def one_number() -> None:
            group.gather(number)

        alone()
        lines.append(
            f"  waiting after backward    {1000 * waited:9.2f} ms in buckets, {1000 * waited_late:.2f} ms in one"
        )
        lines.append(f"  sum of {size * 4 / 1e6:7.1f} MB alone {1000 * median(alone, 10):9.2f} ms")
        lines.append(f"  exchange of one number    {1e6 * median(one_number, 200):9.1f} µs")
    if group.rank == 0:
        print("\n".join(lines), flush=True)
    group.close()


if __name__ == "__main__":
    main()
