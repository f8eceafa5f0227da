"""The Loader: shuffled, augmented, normalised batches, prepared while the model computes.

A thread prepares them, or worker processes (`workers`). Every random choice has its own stream, keyed by what it is
for: (seed, epoch) orders an epoch, (seed, epoch, batch) augments a batch. So no bit depends on timing, on prefetching,
on the number of workers or on where in an epoch one starts.
"""

from __future__ import annotations

import atexit
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import DataError
from .dataset import ImageDataset
from .mix import Mix
from .transforms import Augmentation, normalize

Batch = tuple[NDArray[np.float32], NDArray[Any]]  # labels int64 (n,), or with a mix targets float32 (n, classes)

_ORDER, _AUGMENT = 0, 1  # first part of a stream's key


def make_batch(
    dataset: ImageDataset,
    indices: NDArray[np.int64],
    rng: np.random.Generator,
    augment: Augmentation | None,
    mean: ArrayLike,
    std: ArrayLike,
    mix: Mix | None = None,
) -> Batch:
    """Gather, augment, normalise and mix the images at ``indices``: float32 (n, 3, H, W) and int64 labels (n,).

    With ``mix``, float32 targets (n, classes) are in the labels' place. Pure but for ``rng``: the same arguments
    give the same bits in whichever thread or process it runs.
    """
    images = dataset.images[indices]
    if augment is not None:
        images = augment(images, rng)
    normal, labels = normalize(images, mean, std), dataset.labels[indices]
    return (normal, labels) if mix is None else mix(normal, labels, rng)


@dataclass(frozen=True, eq=False)
class EpochPlan:
    """All that decides one epoch's batches but the images themselves; can be pickled if ``augment`` can."""

    order: NDArray[np.int64]
    batch_size: int
    seed: int
    epoch: int
    augment: Augmentation | None
    mean: ArrayLike
    std: ArrayLike
    mix: Mix | None

    def make(self, dataset: ImageDataset, batch: int) -> Batch:
        """Return the batch of that number."""
        indices = self.order[batch * self.batch_size : (batch + 1) * self.batch_size]
        rng = _stream(self.seed, _AUGMENT, self.epoch, batch)
        return make_batch(dataset, indices, rng, self.augment, self.mean, self.std, self.mix)


class Loader:
    """Batches of a data set, epoch by epoch.

    shuffle: a new order every epoch; otherwise the stored one. augment: maps (uint8 images, generator) to
    uint8 images. mean, std: per channel in units of 0 … 1, by default the data set's own (give a test set
    those of its training set). drop_last: leave out a last batch that is not full. prefetch: how many
    batches are prepared ahead. workers: by how many processes; 0 means by a thread, or with ``prefetch`` 0
    as they are asked for. mix: blends each batch, whose labels become float32 targets (n, classes).
    Raises DataError for a number out of range.

    Workers start at each epoch (which takes about half a second) and end with it; ``augment`` must be
    importable, and a script that uses them needs ``if __name__ == "__main__":``.
    """

    def __init__(
        self,
        dataset: ImageDataset,
        batch_size: int,
        *,
        shuffle: bool = False,
        augment: Augmentation | None = None,
        mean: ArrayLike | None = None,
        std: ArrayLike | None = None,
        seed: int = 0,
        drop_last: bool = False,
        prefetch: int = 2,
        workers: int = 0,
        mix: Mix | None = None,
    ) -> None:
        if batch_size < 1 or seed < 0 or prefetch < 0 or workers < 0:
            raise DataError(
                f"Loader: batch_size is {batch_size}, seed {seed}, prefetch {prefetch} and workers {workers},"
                " expected at least 1, 0, 0 and 0"
            )
        if mean is None or std is None:
            own_mean, own_std = dataset.mean_std()
            mean = own_mean if mean is None else mean
            std = own_std if std is None else std
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.augment = augment
        self.mean = mean
        self.std = std
        self.seed = seed
        self.drop_last = drop_last
        self.prefetch = prefetch
        self.workers = workers
        self.mix = mix

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full if self.drop_last or rest == 0 else full + 1

    def __iter__(self) -> Iterator[Batch]:
        """Epoch 0, from its first batch."""
        return self.epoch(0)

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Iterate over (images, labels) from batch ``start``: float32 (n, 3, H, W) and int64 (n,).

        An exception raised while a batch is prepared is raised here, when that batch's turn comes; one in a
        worker process as a DataError, as is a worker's death. ``close()`` ends the iteration early, and so
        does dropping the iterator. Raises DataError.
        """
        if epoch < 0:
            raise DataError(f"Loader: epoch is {epoch}, expected at least 0")
        if not 0 <= start <= len(self):
            raise DataError(f"Loader: start is {start}, expected 0 to {len(self)}, the number of batches")
        plan = EpochPlan(
            self._order(epoch), self.batch_size, self.seed, epoch, self.augment, self.mean, self.std, self.mix
        )
        numbers = range(start, len(self))
        if self.workers:
            from .workers import worker_batches

            return worker_batches(plan, self.dataset, numbers, self.workers, self.prefetch)
        if self.prefetch == 0:
            return (plan.make(self.dataset, batch) for batch in numbers)
        return _prefetched(partial(plan.make, self.dataset), numbers, self.prefetch)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(len(self.dataset), dtype=np.int64)
        return _stream(self.seed, _ORDER, epoch).permutation(len(self.dataset))


def _stream(seed: int, *key: int) -> np.random.Generator:
    # As spawn_key, since SeedSequence([s, e]) and SeedSequence([s, e, 0]) are one and the same stream.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _prefetched(make: Callable[[int], Batch], numbers: range, prefetch: int) -> Generator[Batch, None, None]:
    """Yield ``make(number)`` for every number; a thread works on up to ``prefetch`` of them ahead."""
    # SimpleQueue, because garbage collection may close this generator in any thread at any moment, even
    # inside a `put`: an ordinary Queue would then wait for its own lock.
    requests: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    answers: queue.SimpleQueue[Batch | BaseException] = queue.SimpleQueue()
    stopping = threading.Event()
    arguments = (make, requests, answers, stopping)
    thread = threading.Thread(target=_serve, args=arguments, name="minisk-loader", daemon=True)

    def stop() -> None:
        """Let the thread finish the batch in hand and drop the other requests; wait for its end."""
        stopping.set()
        requests.put(None)
        if thread is not threading.current_thread():  # garbage is collected in any thread, in this one too
            thread.join()

    thread.start()
    atexit.register(stop)  # for a generator still open then; exit functions wait for all threads but daemons
    try:
        for number in numbers[:prefetch]:
            requests.put(number)
        for number in numbers:
            answer = answers.get()
            if isinstance(answer, BaseException):
                raise answer
            if number + prefetch in numbers:
                requests.put(number + prefetch)
            yield answer
    finally:
        stop()
        atexit.unregister(stop)


def _serve(
    make: Callable[[int], Batch],
    requests: queue.SimpleQueue[int | None],
    answers: queue.SimpleQueue[Batch | BaseException],
    stopping: threading.Event,
) -> None:
    """Answer requests in the order they come, each with a batch or with the exception it raised."""
    while (number := requests.get()) is not None and not stopping.is_set():
        try:
            answers.put(make(number))
        except BaseException as error:  # even SystemExit belongs to the consumer, who waits for an answer
            answers.put(error)
