"""The Loader: shuffled, augmented, normalised batches, prepared while the model computes.

A thread prepares them, or worker processes (`workers`). Every random choice has its own stream, keyed by what it is
for: (seed, epoch) orders an epoch, (seed, epoch, batch) augments a batch. So no bit depends on timing, on prefetching,
on the number of workers or on where in an epoch one starts.

Worker i, modulo their number, makes batch i and sends it through a pipe of its own. The data set is in anonymous shared
memory (mapped from a file without a name), which the system frees with the last process that has it, whatever
way they end: there is nothing to clean up. A pipe that is full holds its worker back, one that is closed ends it, and a
killed worker's is noticed at once: there are no queues, whose locks it could take along.
"""

import atexit
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import KW_ONLY, dataclass
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import ImageDataset
from .transforms import Augmentation, Mix, normalize

Batch = tuple[NDArray[np.float32], NDArray[Any]]  # labels int64 (n,), or with a mix targets float32 (n, classes)

_ORDER, _AUGMENT = 0, 1  # first part of a stream's key
_THREAD = "minisk-loader"
_SPAWN = multiprocessing.get_context("spawn")  # a forked child hangs in the libraries that had threads


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
            return _worker_batches(self, epoch, numbers)
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


def _worker_batches(loader: Loader, epoch: int, numbers: range) -> Generator[Batch, None, None]:
    """Yield the batches of these numbers, made by the loader's ``workers``.

    Raises DataError when one raises an exception or dies, or can't be started.
    """
    # All that grows with the data set is shared, also because what a process is sent must fit into a pipe:
    # Process.start() would wait for ever for a child that died before it had read the rest.
    data, workers = loader.dataset, min(loader.workers, len(numbers))
    shared = _shared(data.images), _shared(data.labels), data.images.shape, data.classes
    settings = {**vars(loader), "dataset": None}
    with ExitStack() as pool:
        atexit.register(pool.close)  # for an iterator still open then
        pool.callback(atexit.unregister, pool.close)
        serving = [
            pool.enter_context(_worker(settings, shared, epoch, numbers[first::workers])) for first in range(workers)
        ]
        for i, number in enumerate(numbers):
            yield _receive(*serving[i % workers], number)


def _shared(array: NDArray[Any]) -> Any:
    """Copy an array's bytes to anonymous shared memory, which can be sent to a process that is being started."""
    memory = _SPAWN.RawArray("B", array.nbytes)
    np.frombuffer(memory, array.dtype)[...] = array.ravel()
    return memory


@contextmanager
def _worker(settings: dict[str, Any], *arguments: Any) -> Iterator[tuple[Any, Connection]]:
    """Start a process that runs `_serve`; give it and this process's end of its pipe. Raises DataError."""
    ours, theirs = _SPAWN.Pipe()
    arguments = (theirs, settings, *arguments)
    process = _SPAWN.Process(target=_serve, args=arguments, name="minisk-worker", daemon=True)
    with ours:
        try:
            with theirs, _without_interrupts():
                process.start()
        except (PicklingError, AttributeError, TypeError) as error:  # pickle's ways to say no
            raise DataError(f"Loader: augment {settings['augment']!r} can't be sent to a process: {error}") from error
        try:
            yield process, ours
        finally:
            process.kill()  # it owns nothing that would need a farewell
            process.join()


def _receive(process: Any, connection: Connection, number: int) -> Batch:
    """Wait for a worker's next batch. Raises DataError instead if it failed or died."""
    try:
        answer: Batch | str = connection.recv()
    except (EOFError, OSError) as error:
        process.join()
        raise DataError(
            f"Loader: a worker process died (exit code {process.exitcode}) before batch {number} was made; "
            'a script that starts workers needs `if __name__ == "__main__":`'
        ) from error
    if isinstance(answer, str):
        raise DataError(f"Loader: batch {number} failed in a worker process: {answer}")
    return answer


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


def _serve(connection: Connection, settings: dict[str, Any], shared: Any, epoch: int, numbers: range) -> None:
    """Make these batches, and send each, or what went wrong, until there is nobody to send it to."""
    images, labels, shape, classes = shared
    pixels = np.frombuffer(images, np.uint8).reshape(shape)
    dataset = ImageDataset(pixels, np.frombuffer(labels, np.int64), classes, "the worker's data set")
    make = Loader(**{**settings, "dataset": dataset}).maker(epoch)
    with suppress(OSError):  # the other end is gone: so is the need for batches
        for number in numbers:
            try:
                answer: Batch | str = make(number)
            except BaseException as error:  # even SystemExit belongs to the consumer, who waits for an answer
                answer = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            connection.send(answer)
