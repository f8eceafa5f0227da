"""Worker processes for the Loader: they make batches in shared memory, and this process copies them out.

The memory is anonymous (mapped from a file that has no name any more), so the system frees it with the last process
that has it, whatever way they end: there is nothing to clean up. A worker ends when its pipe does. Requests and
answers are a few bytes on one pipe per worker, not a queue with locks: a killed worker takes no lock along, and its
closed pipe is noticed at once. Batch i is worker i's, modulo their number, so nothing depends on who is faster.
"""

from __future__ import annotations

import atexit
import math
import multiprocessing
import signal
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import DataError
from .dataset import ImageDataset
from .loader import Batch, EpochPlan

_SPAWN = multiprocessing.get_context("spawn")  # a forked child hangs in the libraries that had threads


class SharedArray:
    """An array in anonymous shared memory, first of zeros; it can be sent to a process that is being started."""

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype)
        self._memory = _SPAWN.RawArray("B", math.prod(shape) * self._dtype.itemsize)

    @classmethod
    def of(cls, array: NDArray[Any]) -> SharedArray:
        """Copy an array into shared memory."""
        shared = cls(array.shape, array.dtype)
        shared.array[...] = array
        return shared

    @property
    def array(self) -> NDArray[Any]:
        """The array itself, not a copy."""
        return np.frombuffer(self._memory, dtype=self._dtype).reshape(self._shape)


@dataclass(frozen=True, eq=False)
class _Job:
    """What a worker is sent at its start: the plan, the data set, and the blocks to fill.

    All that grows with the data set is shared, also because what is sent must fit into a pipe: Process.start() would
    wait for ever for a child that died before it had read the rest.
    """

    plan: EpochPlan  # without its order
    order: SharedArray
    source: SharedArray
    labels: SharedArray
    classes: tuple[str, ...]
    name: str
    images: SharedArray  # (blocks, batch size, 3, H, W)
    targets: SharedArray  # (blocks, batch size) or (blocks, batch size, classes)


def worker_batches(
    plan: EpochPlan, dataset: ImageDataset, numbers: range, workers: int, ahead: int
) -> Generator[Batch, None, None]:
    """Yield the batches of these numbers; ``workers`` processes make up to ``ahead`` (at least one each) in advance.

    Raises DataError when one raises an exception or dies, or can't be started.
    """
    workers = min(workers, len(numbers))
    blocks = max(workers, ahead)
    with closing(_Pool(_share(plan, dataset, blocks), workers, blocks)) as pool:
        for number in numbers[:blocks]:
            pool.request(number)
        for number in numbers:
            batch = pool.receive(number)
            if number + blocks in numbers:
                pool.request(number + blocks)
            yield batch


def _share(plan: EpochPlan, dataset: ImageDataset, blocks: int) -> _Job:
    order, labels, source = SharedArray.of(plan.order), SharedArray.of(dataset.labels), SharedArray.of(dataset.images)
    images = SharedArray((blocks, plan.batch_size, *dataset.images.shape[1:]), np.float32)
    if plan.mix is None:
        targets = SharedArray((blocks, plan.batch_size), np.int64)
    else:
        targets = SharedArray((blocks, plan.batch_size, plan.mix.num_classes), np.float32)
    return _Job(
        replace(plan, order=plan.order[:0]), order, source, labels, dataset.classes, dataset.name, images, targets
    )


class _Pool:
    """The processes of one epoch. Block ``number % blocks`` is free again once that batch was received."""

    def __init__(self, job: _Job, workers: int, blocks: int) -> None:
        self._job, self._blocks = job, blocks
        self._members: list[tuple[Any, Connection]] = []
        atexit.register(self.close)  # for an iterator still open then
        try:
            for _ in range(workers):
                self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=_serve, args=(theirs, self._job), name="minisk-worker", daemon=True)
        try:
            with theirs, _without_interrupts():
                process.start()
        except (PicklingError, AttributeError, TypeError) as error:  # pickle's ways to say no
            ours.close()
            raise DataError(
                f"Loader: augment {self._job.plan.augment!r} can't be sent to a process: {error}"
            ) from error
        self._members.append((process, ours))

    def request(self, number: int) -> None:
        """Have a batch made, by the worker whose turn it is."""
        _, connection = self._members[number % len(self._members)]
        with suppress(OSError):  # a dead worker is told of when its answer is due
            connection.send((number, number % self._blocks))

    def receive(self, number: int) -> Batch:
        """Wait for a requested batch. Raises DataError instead if its worker failed or died."""
        process, connection = self._members[number % len(self._members)]
        try:
            answer = connection.recv()
        except (EOFError, OSError) as error:
            process.join()
            raise DataError(
                f"Loader: a worker process died (exit code {process.exitcode}) before batch {number} was made; "
                'a script that starts workers needs `if __name__ == "__main__":`'
            ) from error
        if isinstance(answer, str):
            raise DataError(f"Loader: batch {number} failed in a worker process: {answer}")
        block = number % self._blocks
        # Copies: the block is filled anew while the caller still has the batch.
        return self._job.images.array[block, :answer].copy(), self._job.targets.array[block, :answer].copy()

    def close(self) -> None:
        """End all processes, wait for their end, and let go of the shared memory."""
        for process, connection in self._members:
            connection.close()
            process.kill()  # it owns nothing that would need a farewell
            process.join()
        self._members.clear()
        atexit.unregister(self.close)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Have a process started that Ctrl-C and SIGTERM, which may go to all, do not reach: this process ends it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker  # not on Windows

    resource_tracker.ensure_running()  # which process.start() would do, and unblock the signals again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, job: _Job) -> None:
    """Make the batches that are asked for until the pipe ends. Answers: the number of images, or what went wrong."""
    dataset = ImageDataset(job.source.array, job.labels.array, job.classes, job.name)
    plan = replace(job.plan, order=job.order.array)
    images, targets = job.images.array, job.targets.array
    with suppress(EOFError, OSError):  # the other end is gone: so is the need for batches
        while True:
            number, block = connection.recv()
            connection.send(_fill_block(plan, dataset, number, images[block], targets[block]))


def _fill_block(
    plan: EpochPlan, dataset: ImageDataset, number: int, images: NDArray[np.float32], targets: NDArray[Any]
) -> int | str:
    try:
        made, made_targets = plan.make(dataset, number)
        if made.shape[1:] != images.shape[1:]:
            return f"augment made images {made.shape[1:]} out of {images.shape[1:]}, workers need them unchanged"
        images[: len(made)], targets[: len(made)] = made, made_targets
        return len(made)
    except BaseException as error:  # even SystemExit belongs to the consumer, who waits for an answer
        return str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
