"""The Loader: shuffled, augmented, normalised batches, prepared while the model computes.

A thread prepares them, or worker processes (`workers`). Every random choice has its own stream, keyed by what it is
for: (seed, epoch) orders an epoch, (seed, epoch, batch) augments a batch. So no bit depends on timing, on prefetching,
on the number of workers or on where in an epoch one starts.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import ImageDataset
from .transforms import Augmentation, Mix, normalize

Batch = tuple[NDArray[np.float32], NDArray[Any]]  # labels int64 (n,), or with a mix targets float32 (n, classes)

_ORDER, _AUGMENT = 0, 1  # first part of a stream's key
_THREAD = "minisk-loader"


@dataclass(eq=False, repr=False)
class Loader:
    """Batches of a data set, epoch by epoch.

    shuffle: a new order every epoch; otherwise the stored one. augment: maps (uint8 images, generator) to
    uint8 images. mean, std: per channel in units of 0 … 1, by default the data set's own (give a test set
    those of its training set). drop_last: leave out a last batch that is not full. prefetch: how many
    batches a thread prepares ahead; 0: none, each is made as it is asked for. workers: processes that make them
    instead, each a batch ahead. mix: blends each batch, whose labels become float32 targets (n, classes).
    Raises DataError for a number out of range.

    Workers start at each epoch (which takes about half a second) and end with it; ``augment`` must be
    importable, and a script that uses them needs ``if __name__ == "__main__":``.
    """

    dataset: ImageDataset
    batch_size: int
    _: KW_ONLY
    shuffle: bool = False
    augment: Augmentation | None = None
    mean: Any = None  # ArrayLike, both or neither
    std: Any = None
    seed: int = 0
    drop_last: bool = False
    prefetch: int = 2
    workers: int = 0
    mix: Mix | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.seed < 0 or self.prefetch < 0 or self.workers < 0:
            raise DataError(
                f"Loader: batch_size is {self.batch_size}, seed {self.seed}, prefetch {self.prefetch} and workers"
                f" {self.workers}, expected at least 1, 0, 0 and 0"
            )
        if self.mean is None or self.std is None:
            self.mean, self.std = self.dataset.mean_std()

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
        numbers = range(start, len(self))
        if self.workers:
            from .workers import worker_batches

            return worker_batches(self, epoch, numbers)
        if self.prefetch == 0:
            return (batch for batch in map(self.maker(epoch), numbers))
        return _prefetched(self.maker(epoch), numbers, self.prefetch)

    def maker(self, epoch: int) -> Callable[[int], Batch]:
        """Return a function that makes the batch of a number, the same bits in whichever thread or process."""
        order = np.arange(len(self.dataset), dtype=np.int64)
        if self.shuffle:
            order = _stream(self.seed, _ORDER, epoch).permutation(len(self.dataset))

        def make(number: int) -> Batch:
            indices = order[number * self.batch_size : (number + 1) * self.batch_size]
            rng = _stream(self.seed, _AUGMENT, epoch, number)
            images, labels = self.dataset.images[indices], self.dataset.labels[indices]
            if self.augment is not None:
                images = self.augment(images, rng)
            normal = normalize(images, self.mean, self.std)
            return (normal, labels) if self.mix is None else self.mix(normal, labels, rng)

        return make


def _stream(seed: int, *key: int) -> np.random.Generator:
    # As spawn_key, since SeedSequence([s, e]) and SeedSequence([s, e, 0]) are one and the same stream.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _prefetched(make: Callable[[int], Batch], numbers: range, prefetch: int) -> Generator[Batch, None, None]:
    """Yield ``make(number)`` for every number; a thread works on up to ``prefetch`` of them ahead."""
    executor = ThreadPoolExecutor(1, _THREAD)
    try:
        ahead = deque(executor.submit(make, number) for number in numbers[:prefetch])
        for number in numbers:
            batch = ahead.popleft().result()
            if number + prefetch in numbers:
                ahead.append(executor.submit(make, number + prefetch))
            yield batch
    finally:
        # Garbage is collected in any thread, in the executor's own too, which can't wait for itself.
        own = threading.current_thread().name.startswith(_THREAD)
        executor.shutdown(wait=not own, cancel_futures=True)
