"""The Loader: shuffled, augmented, normalised batches, prepared while the model computes.

One thread prepares them, or worker processes (`processes.py`). Every random choice has its own stream, keyed by its
purpose: (seed, epoch) for the order of an epoch, (seed, epoch, batch) for the augmentation of a batch. So the bits do
not depend on timing, on prefetching, on the number of workers, or on the batch at which an epoch starts.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, escaped
from .dataset import Dataset
from .processes import Batch, Made, worker_batches
from .share import Share
from .transforms import Augmentation, Mix, normalize

log = logging.getLogger("minisk")

_ORDER, _AUGMENT = 0, 1  # first part of a stream's key
_THREAD = "minisk-loader"


@dataclass(eq=False, repr=False)
class Loader:
    """Batches of a data set, epoch by epoch. Raises DataError for a number out of range.

    With workers, `augment` must be importable and a script needs ``if __name__ == "__main__":``. Workers start at each
    epoch, which takes about half a second, and end with it.

    Args:
        dataset: the images; only `len`, `draw`, `order` and, without mean or std, `mean_std` are used.
        batch_size: images per batch.
        shuffle: draw a new order in every epoch; otherwise use the stored order.
        augment: maps (uint8 images, generator) to uint8 images.
        mean, std: per channel in units of 0 … 1; by default the data set's own. Give a test set its training set's.
        seed: of all random streams.
        drop_last: leave out a last batch that is not full.
        prefetch: batches that a thread prepares ahead; 0 makes each batch when it is asked for.
        workers: processes that make the batches instead of the thread, each one batch ahead.
        mix: blends each batch; labels become float32 targets (n, classes).
        timeout: seconds to wait for a worker's next batch before it is killed and reported; 0: no limit.
        max_broken: images that may be left out of their batches because they can't be read; one more is an error.
        share: the part of each batch to return. Random choices are drawn for the whole batch, so the shares of all
            processes together are the batch that one process would get.

    Attributes:
        broken: for the index of each image that was left out so far, why.
    """

    dataset: Dataset
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
    timeout: float = 300.0
    max_broken: int = 0
    share: Share = field(default_factory=Share)
    broken: dict[int, str] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if min(self.batch_size - 1, self.seed, self.prefetch, self.workers, self.max_broken) < 0:
            raise DataError(
                f"Loader: batch_size is {self.batch_size}, seed {self.seed}, prefetch {self.prefetch}, workers"
                f" {self.workers} and max_broken {self.max_broken}, expected at least 1, 0, 0, 0 and 0"
            )
        if not 0 <= self.timeout < math.inf:
            raise DataError(f"Loader: timeout is {self.timeout}, expected seconds from 0")
        if self.mean is None or self.std is None:
            self.mean, self.std = self.dataset.mean_std()

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full if self.drop_last or rest == 0 else full + 1

    def __iter__(self) -> Iterator[Batch]:
        """Iterate over epoch 0, from its first batch."""
        return self.epoch(0)

    def epoch(self, epoch: int, start: int = 0, every: int = 1) -> Generator[Batch, None, None]:
        """Iterate over (images, labels): float32 (n, 3, H, W) and int64 (n,), or targets with a mix.

        ``close()`` and deleting the iterator end it early.

        Args:
            epoch: from 0; decides order and augmentation.
            start: the number of the first batch.
            every: take each so-many-th batch from there on.

        Raises:
            DataError: an argument is out of range; more than max_broken images can't be read, or none of a batch; a
                worker raised an exception, died or was stuck.
            Exception: without workers, any exception of preparing a batch, when that batch is due.
        """
        if epoch < 0:
            raise DataError(f"Loader: epoch is {epoch}, expected at least 0")
        if not 0 <= start <= len(self):
            raise DataError(f"Loader: start is {start}, expected 0 to {len(self)}, the number of batches")
        numbers = range(start, len(self), every)
        if self.workers:
            return self._readable(worker_batches(self, self.workers, epoch, numbers))
        make = self.maker(epoch)

        def finished(number: int) -> Made:
            return self.finish(make(number))

        if self.prefetch == 0:
            return self._readable(finished(number) for number in numbers)
        return self._readable(_prefetched(finished, numbers, self.prefetch))

    def maker(self, epoch: int) -> Callable[[int], Made]:
        """Return a function that makes a batch, given its number, for `finish` to normalise.

        The bits are the same in every thread and process.
        """
        order = np.arange(len(self.dataset), dtype=np.int64)
        if self.shuffle:
            order = self.dataset.order(_stream(self.seed, _ORDER, epoch))

        def make(number: int) -> Made:
            indices = order[number * self.batch_size : (number + 1) * self.batch_size]
            rng = _stream(self.seed, _AUGMENT, epoch, number)
            rows = self.share.positions(len(indices))
            needed = None if self.share.size == 1 or self.mix is not None else rows  # a mix needs the other images too
            images, labels, broken = self.dataset.draw(indices, rng, needed)
            own = _places(indices, broken, rows)
            if self.augment is not None:
                images = self.augment(images, rng)
            if self.mix is None:
                return Made((images[own], labels[own]), broken)
            mixed, targets = self.mix(normalize(images, self.mean, self.std), labels, rng)
            return Made((mixed[own], targets[own]), broken)

        return make

    def finish(self, made: Made) -> Made:
        """Return a batch of `maker` with its images normalised; mixed images are already, because mixing needs it."""
        if self.mix is not None:
            return made
        images, labels = made.batch
        return Made((normalize(images, self.mean, self.std), labels), made.broken)

    def _readable(self, source: Generator[Made, None, None]) -> Generator[Batch, None, None]:
        """Yield the batches; note the images that they lack, each once. Raises DataError if there are too many."""
        with closing(source):
            for batch, broken in source:
                for index, reason in broken:
                    if index not in self.broken and self.max_broken:
                        log.warning("left out: %s", escaped(reason))
                    self.broken[index] = reason
                    if len(self.broken) > self.max_broken:
                        already = f"; {self.max_broken} others were left out already" if self.max_broken else ""
                        raise DataError(f"{reason}{already}")
                if broken and len(batch[0]) == 0:
                    raise DataError(f"Loader: no image of a batch can be read: {broken[0][1]}")
                yield batch


def _stream(seed: int, *key: int) -> np.random.Generator:
    # The key is a spawn_key, because SeedSequence([s, e]) and SeedSequence([s, e, 0]) give the same stream.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _places(
    indices: NDArray[np.int64], broken: tuple[tuple[int, str], ...], rows: NDArray[np.int64]
) -> NDArray[np.int64] | slice:
    """Return where the images of these rows of a batch are among those that could be read."""
    if len(rows) == len(indices):
        return slice(None)
    readable = indices[~np.isin(indices, [index for index, _ in broken])]
    return np.flatnonzero(np.isin(readable, indices[rows]))


def _prefetched(make: Callable[[int], Made], numbers: range, prefetch: int) -> Generator[Made, None, None]:
    """Yield ``make(number)`` for every number; a thread makes up to ``prefetch`` of them ahead."""
    executor = ThreadPoolExecutor(1, _THREAD)
    try:
        ahead = deque(executor.submit(make, number) for number in numbers[:prefetch])
        for number in numbers:
            batch = ahead.popleft().result()
            later = number + prefetch * numbers.step
            if later in numbers:
                ahead.append(executor.submit(make, later))
            yield batch
    finally:
        # The garbage collector may run this in the executor's own thread, which cannot wait for itself.
        own = threading.current_thread().name.startswith(_THREAD)
        executor.shutdown(wait=not own, cancel_futures=True)
