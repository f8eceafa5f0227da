"""Worker processes that make a Loader's batches.

Worker i of n makes batches i, i + n, i + 2n, … and sends them through its own pipe. The data set is pickled once; the
pickle and the arrays in it lie in anonymous shared memory, a mapped file without a name. The system frees that memory
when the last process that has it mapped ends, so nothing needs cleaning up. A full pipe blocks its worker, a closed one
ends it, and the death of a worker closes its pipe. There are no queues, whose locks a killed worker could keep.
"""

import atexit
import copy
import multiprocessing
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .dataset import Dataset

Batch = tuple[NDArray[np.float32], NDArray[Any]]  # labels int64 (n,), or with a mix targets float32 (n, classes)


class Made(NamedTuple):
    """A batch, and the index of each image that it lacks because it can't be read, with the reason.

    Until `finish`, images that are not mixed are uint8: a quarter of the bytes for a worker to send.
    """

    batch: tuple[NDArray[Any], NDArray[Any]]
    broken: tuple[tuple[int, str], ...]


_SPAWN = multiprocessing.get_context("spawn")  # a forked child hangs in libraries that had threads
_UNPICKLABLE = (pickle.PicklingError, AttributeError, TypeError)  # the ways in which pickle refuses an object


class BatchMaker(Protocol):
    """The part of a Loader that worker processes use."""

    dataset: Dataset
    timeout: float

    def maker(self, epoch: int) -> Callable[[int], Made]:
        """Return a function that makes a batch, given its number; a worker calls it."""

    def finish(self, made: Made) -> Made:
        """Return the batch as it is used; the process that uses it calls this."""


def worker_batches(loader: BatchMaker, workers: int, epoch: int, numbers: range) -> Generator[Made, None, None]:
    """Yield the batches of these numbers, made by worker processes.

    Raises DataError if a worker raises an exception, dies, cannot be started, or sends no batch for `loader.timeout`.
    """
    # Everything that grows with the data set is shared, and the rest fits into a pipe. A larger message would make
    # Process.start() wait for ever if the child died before reading it.
    shared = SharedDataset(loader.dataset)
    rest = copy.copy(loader)
    rest.dataset = shared  # type: ignore[assignment]  # replaced again in the worker
    workers = min(workers, len(numbers))
    with ExitStack() as pool:
        atexit.register(pool.close)  # for an iterator that is still open at exit
        pool.callback(atexit.unregister, pool.close)
        serving = [pool.enter_context(_worker(rest, first, epoch, numbers[first::workers])) for first in range(workers)]
        watchdog = pool.enter_context(_watchdog(loader.timeout))
        for position, number in enumerate(numbers):
            yield loader.finish(_receive(*serving[position % workers], number, watchdog))


class SharedDataset:
    """A pickled data set in shared memory, which can be sent to a process that is being started."""

    def __init__(self, dataset: Dataset) -> None:
        buffers: list[pickle.PickleBuffer] = []
        try:
            content = pickle.dumps(dataset, protocol=5, buffer_callback=buffers.append)
        except _UNPICKLABLE as error:
            raise DataError(f"Loader: data set {dataset.name} cannot be sent to a process: {error}") from error
        self.content = _share(memoryview(content))
        self.buffers = [_share(buffer.raw()) for buffer in buffers]

    def load(self) -> Dataset:
        """Return the data set; its arrays are views of the shared memory."""
        dataset: Dataset = pickle.loads(memoryview(self.content), buffers=self.buffers)
        return dataset


def _share(content: memoryview) -> Any:
    memory = _SPAWN.RawArray("B", content.nbytes)
    np.frombuffer(memory, np.uint8)[...] = np.frombuffer(content, np.uint8)
    return memory


@contextmanager
def _worker(loader: BatchMaker, index: int, epoch: int, numbers: range) -> Iterator[tuple[Any, Connection]]:
    """Start a process that runs `_serve`; yield it and this process's end of its pipe. Raises DataError."""
    ours, theirs = _SPAWN.Pipe()
    arguments, name = (theirs, loader, epoch, numbers), f"minisk-worker {index}"
    process = _SPAWN.Process(target=_serve, args=arguments, name=name, daemon=True)
    with ours:
        try:
            with theirs, _signals_blocked():
                process.start()
        except _UNPICKLABLE as error:
            augment = getattr(loader, "augment", None)
            raise DataError(f"Loader: augment {augment!r} cannot be sent to a process: {error}") from error
        try:
            yield process, ours
        finally:
            process.kill()  # the worker holds no resource that needs cleanup
            process.join()


class _Watchdog(threading.Thread):
    """Kill the worker that the consumer has waited for too long. Its pipe then ends, and so does the waiting.

    Time is counted in slices: if the whole program was stopped meanwhile (Ctrl-Z), that is one slice. A timeout of the
    pipe itself would not do, because a worker can be stopped in the middle of a batch.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(name="minisk-loader-watchdog", daemon=True)
        self.timeout = timeout
        self.slice = min(1.0, timeout / 4)
        self.ended = threading.Event()
        self.waits_for: Any = None  # a process; None while the consumer does not wait
        self.waited = 0.0
        self.killed: Any = None

    def run(self) -> None:
        while not self.ended.wait(self.slice):
            process = self.waits_for
            self.waited += self.slice
            if process is not None and self.waited >= self.timeout:
                self.killed = process
                process.kill()
                return

    @contextmanager
    def watching(self, process: Any) -> Iterator[None]:
        """Count the time that the consumer spends in the block, waiting for this process."""
        self.waited, self.waits_for = 0.0, process
        try:
            yield
        finally:
            self.waits_for = None


@contextmanager
def _watchdog(timeout: float) -> Iterator[_Watchdog]:
    """Run a watchdog during the block; with a timeout of 0, one that never starts."""
    watchdog = _Watchdog(timeout)
    if timeout:
        watchdog.start()
    try:
        yield watchdog
    finally:
        watchdog.ended.set()  # it is not joined: the garbage collector may run this in the watchdog's own thread


def _receive(process: Any, connection: Connection, number: int, watchdog: _Watchdog) -> Made:
    """Wait for a worker's next batch. Raises DataError if the worker failed, died or kept the consumer waiting."""
    try:
        with watchdog.watching(process):
            answer: Made | str = connection.recv()
    except (EOFError, OSError) as error:
        process.join()
        if watchdog.killed is process:
            raise DataError(
                f"Loader: {process.name} (process {process.pid}) sent no batch {number} for {watchdog.timeout:g} s and"
                " was killed: it was stopped or stuck; Loader(timeout=…) sets how long to wait"
            ) from error
        raise DataError(
            f"Loader: a worker process died (exit code {process.exitcode}) before batch {number} was made; "
            'a script that starts workers needs `if __name__ == "__main__":`'
        ) from error
    if isinstance(answer, str):
        raise DataError(f"Loader: batch {number} failed in a worker process: {answer}")
    return answer


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block SIGINT and SIGTERM, so that a process started meanwhile never receives them; its parent ends it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker  # not on Windows

    resource_tracker.ensure_running()  # otherwise process.start() would start it, and unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, loader: BatchMaker, epoch: int, numbers: range) -> None:
    """Make these batches and send each, or the text of its error, until the other end of the pipe is closed."""
    shared = loader.dataset
    assert isinstance(shared, SharedDataset)
    loader.dataset = shared.load()
    make = loader.maker(epoch)
    with suppress(OSError):  # the other end is closed: no more batches are needed
        for number in numbers:
            try:
                answer: Made | str = make(number)
            except BaseException as error:  # SystemExit too: the consumer waits for an answer
                answer = str(error) if isinstance(error, DataError) else f"{type(error).__name__}: {error}"
            connection.send(answer)
